"""Booking by a hospital's rules: no place twice, one a person and half day, deadlines, no-shows, stopped clinics."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.db import transaction

from hospitals import tenancy, vault
from hospitals.connectors.base import EventType
from hospitals.exceptions import (
    AlreadyBooked,
    BookingBarred,
    IdempotencyConflict,
    NotFound,
    SlotClosed,
    SlotTaken,
    TooLate,
    WrongState,
)
from hospitals.models import Appointment, AuditEvent, Department, Hospital, OutboxCommand, Practitioner, Slot
from hospitals.services import booking
from hospitals.services.rows import ScheduleRow, parse
from hospitals.services.upsert import write
from tests.hospitals.clinics import MORNING, NOW, Clinic, a_clinic, card
from tests.hospitals.own_rows import change, make

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
E = EventType


@pytest.fixture()
def clinic(monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """Its events end in ``heard`` instead of a visit."""
    made = a_clinic(no_show_limit=2, no_show_days=90, cancel_until_min=60, hold_min=10)
    monkeypatch.setattr("companion.visits.on_hospital_event", made.heard.append)
    return made


class TestTakingAPlace:
    def test_the_last_place_is_sold_once_and_the_error_says_so(self, clinic: Clinic) -> None:
        slot = clinic.slot(capacity=1)
        clinic.book(slot, number=1)
        with pytest.raises(SlotTaken) as caught:
            clinic.book(slot, number=2)
        assert (caught.value.code, caught.value.status_code) == ("slot_taken", 409)
        assert clinic.balance(slot) == (0, 0, 1)

    def test_booking_commands_the_hospital_and_is_on_the_audit_log_once(self, clinic: Clinic) -> None:
        made = clinic.book(clinic.slot())
        assert made.unsent == ("book",)
        with tenancy.scope(clinic.hospital.id):
            assert [row.kind for row in OutboxCommand.objects.all()] == ["book"]
        assert AuditEvent.objects.filter(action="appointment.book", entity_id=str(made.appointment_id)).count() == 1

    def test_the_card_is_kept_under_the_hospital_s_key_with_her_real_name(self, clinic: Clinic) -> None:
        made = clinic.book(clinic.slot(), number=7)
        with tenancy.scope(clinic.hospital.id):
            row = Appointment.objects.get(id=made.appointment_id)
            assert isinstance(row.__dict__["card"], vault.Ciphertext)
            assert booking.card_of(row) == card(7)

    def test_the_same_key_is_the_same_booking(self, clinic: Clinic) -> None:
        slot, subject = clinic.slot(capacity=3), uuid4()
        first = clinic.book(slot, subject, key="k")
        assert clinic.book(slot, subject, key="k") == first
        assert clinic.balance(slot) == (2, 0, 1)

    def test_the_same_key_for_another_slot_or_person_is_refused(self, clinic: Clinic) -> None:
        slot, subject = clinic.slot(capacity=3), uuid4()
        clinic.book(slot, subject, key="k")
        with pytest.raises(IdempotencyConflict):
            clinic.book(clinic.slot(start=MORNING + DAY), subject, key="k")
        with pytest.raises(IdempotencyConflict):
            clinic.book(slot, key="k", number=2)

    def test_an_unknown_slot_is_not_found(self) -> None:
        with pytest.raises(NotFound):
            booking.wish(slot_id=uuid4(), patient=card(), subject=uuid4(), keeper=None, idempotency_key="k")

    @pytest.mark.parametrize("why", ["stopped", "over", "suspended"])
    def test_what_is_not_on_sale_cannot_be_booked_or_held(self, clinic: Clinic, why: str) -> None:
        slot = clinic.slot()
        if why == "stopped":
            change(Slot, slot.id, stopped=True)
        elif why == "suspended":
            change(Hospital, clinic.hospital.id, state="suspended")
        now = slot.end if why == "over" else NOW
        with pytest.raises(SlotClosed):
            clinic.book(slot, now=now)
        with pytest.raises(SlotClosed):
            booking.hold(slot_id=slot.id, subject=uuid4(), now=now)
        assert clinic.balance(slot) == (1, 0, 0)


def sees_no_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one was not committed when she looked."""
    look = booking.rules.look
    monkeypatch.setattr(booking.rules, "look", lambda slot_id, **who: (look(slot_id, **who)[0], []))


class TestOnePlaceAPersonAndHalfDay:
    def test_the_same_doctor_s_half_day_is_not_booked_twice(self, clinic: Clinic) -> None:
        half_day, subject = clinic.schedule(), uuid4()
        early, late = clinic.slot(of=half_day), clinic.slot(of=half_day, start=MORNING + timedelta(hours=1))
        clinic.book(early, subject)
        with pytest.raises(AlreadyBooked) as caught:
            clinic.book(late, subject)
        assert caught.value.code == "already_booked"
        assert clinic.balance(late) == (1, 0, 0)

    def test_nor_the_same_department_s_with_another_doctor(self, clinic: Clinic) -> None:
        subject = uuid4()
        other = make(
            Practitioner, hospital=clinic.hospital, department=clinic.department, identifier="d2", name="孙医生"
        )
        clinic.book(clinic.slot(), subject)
        with pytest.raises(AlreadyBooked):
            clinic.book(clinic.slot(of=clinic.schedule(practitioner=other)), subject)

    def test_it_goes_by_the_person_whoever_keeps_her_card(self, clinic: Clinic) -> None:
        half_day = clinic.schedule()
        clinic.book(clinic.slot(of=half_day, capacity=2), uuid4(), number=5)
        with pytest.raises(AlreadyBooked):
            clinic.book(clinic.slot(of=half_day, capacity=2), uuid4(), number=5)

    def test_the_afternoon_another_day_and_another_department_are_free(self, clinic: Clinic) -> None:
        subject = uuid4()
        bones = make(
            Department,
            hospital=clinic.hospital,
            identifier="bone",
            name="骨科",
            standard_name="骨科",
            national_code="04",
        )
        other = make(Practitioner, hospital=clinic.hospital, department=bones, identifier="d9", name="李医生")
        clinic.book(clinic.slot(), subject)
        clinic.book(clinic.slot(start=MORNING + timedelta(hours=5)), subject)
        clinic.book(clinic.slot(start=MORNING + DAY), subject)
        clinic.book(clinic.slot(of=clinic.schedule(department=bones, practitioner=other)), subject)
        assert clinic.states() == ["pending"] * 4

    def test_a_cancelled_place_does_not_count(self, clinic: Clinic) -> None:
        slot, subject = clinic.slot(), uuid4()
        made = clinic.book(slot, subject)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        clinic.book(slot, subject)
        assert clinic.states() == ["cancelled", "pending"]

    def test_the_database_refuses_the_second_of_two_at_the_same_moment(
        self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        half_day, subject = clinic.schedule(), uuid4()
        clinic.book(clinic.slot(of=half_day), subject)
        slot = clinic.slot(of=half_day, start=MORNING + timedelta(hours=1))
        sees_no_earlier_one(monkeypatch)
        with pytest.raises(AlreadyBooked):
            clinic.book(slot, subject)
        assert clinic.balance(slot) == (1, 0, 0)

    def test_the_same_key_at_the_same_moment_gets_the_same_answer(
        self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slot, subject = clinic.slot(capacity=2), uuid4()
        first = clinic.book(slot, subject, key="k")
        sees_no_earlier_one(monkeypatch)
        assert clinic.book(slot, subject, key="k") == first
        assert clinic.balance(slot) == (1, 0, 1)


class TestCancelling:
    def test_it_gives_the_place_back_once_and_tells_the_hospital_once(self, clinic: Clinic) -> None:
        slot = clinic.slot(capacity=2)
        clinic.book(slot, number=1)
        made = clinic.book(slot, number=2)
        clinic.told_the_hospital()
        for _ in range(2):
            assert booking.cancel(appointment_id=made.appointment_id, reason="有事", now=NOW).state == "cancelling"
        assert clinic.balance(slot) == (0, 0, 2), "still hers while the hospital may refuse"
        clinic.answers("cancel", accepted=True)
        assert clinic.balance(slot) == (1, 0, 1)
        with tenancy.scope(clinic.hospital.id):
            assert OutboxCommand.objects.filter(kind="cancel").count() == 1

    def test_what_the_hospital_has_never_heard_of_is_undone_at_once_and_never_sent(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot)
        assert booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW).state == "cancelled"
        assert clinic.balance(slot) == (1, 0, 0)
        with tenancy.scope(clinic.hospital.id):
            assert [(row.kind, row.state) for row in OutboxCommand.objects.all()] == [("book", "withdrawn")]

    def test_refused_by_the_hospital_it_is_hers_again_and_can_be_asked_for_again(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot)
        clinic.told_the_hospital()
        clinic.tells(E.APPOINTMENT_BOOKED, made.appointment_id)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        with pytest.raises(AlreadyBooked):
            clinic.book(clinic.slot(of=slot.schedule), number=1)
        clinic.answers("cancel", accepted=False)
        assert clinic.states() == ["booked"] and clinic.balance(slot) == (0, 0, 1)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        clinic.answers("cancel", accepted=True)
        assert clinic.states() == ["cancelled"] and clinic.balance(slot) == (1, 0, 0)

    def test_the_hospital_s_event_agrees_as_well_as_its_answer(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot)
        clinic.told_the_hospital()
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        clinic.tells(E.APPOINTMENT_BOOKED, made.appointment_id, 1)
        assert clinic.states() == ["cancelling"], "that it was booked is no answer"
        clinic.tells(E.APPOINTMENT_CANCELLED, made.appointment_id, 2)
        clinic.answers("cancel", accepted=True)
        assert clinic.balance(slot) == (1, 0, 0)

    def test_the_hospital_s_own_cancellation_after_hers_gives_nothing_back_again(self, clinic: Clinic) -> None:
        slot = clinic.slot(capacity=2)
        clinic.book(slot, number=1)
        made = clinic.book(slot, number=2)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        clinic.tells(E.APPOINTMENT_CANCELLED, made.appointment_id)
        assert clinic.balance(slot) == (1, 0, 1)

    def test_until_the_hospital_s_deadline_and_not_a_second_longer(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot)
        latest = slot.start - timedelta(minutes=60)
        with pytest.raises(TooLate) as caught:
            booking.cancel(appointment_id=made.appointment_id, reason="", now=latest + timedelta(seconds=1))
        assert (caught.value.code, caught.value.status_code) == ("too_late", 409)
        assert "60分钟" in caught.value.detail and datetime.fromisoformat(caught.value.extra["latest"]) == latest
        assert clinic.balance(slot) == (0, 0, 1)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=latest)
        assert clinic.balance(slot) == (1, 0, 0)

    def test_each_hospital_has_its_own_deadline(self, clinic: Clinic) -> None:
        strict = a_clinic("hill", cancel_until_min=24 * 60)
        slots = clinic.slot(), strict.slot()
        late = slots[0].start - timedelta(hours=2)
        booking.cancel(appointment_id=clinic.book(slots[0]).appointment_id, reason="", now=late)
        with pytest.raises(TooLate):
            booking.cancel(appointment_id=strict.book(slots[1]).appointment_id, reason="", now=late)

    def test_what_has_begun_or_is_over_is_not_cancelled(self, clinic: Clinic) -> None:
        made = clinic.book(clinic.slot())
        clinic.tells(E.ENCOUNTER_FINISHED, made.appointment_id)
        with pytest.raises(WrongState) as caught:
            booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        assert caught.value.code == "wrong_state"

    def test_one_that_moved_meanwhile_is_answered_as_it_is_now(
        self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slot = clinic.slot()
        made = clinic.book(slot)
        seen_before = booking.locate(made.appointment_id)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        monkeypatch.setattr(booking, "locate", lambda appointment_id: seen_before)
        assert booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW).state == "cancelled"
        assert clinic.balance(slot) == (1, 0, 0)


class TestNoShows:
    def missed(self, clinic: Clinic, number: int, days_ago: int, subject: object = None) -> None:
        slot = clinic.slot(start=MORNING - timedelta(days=days_ago))
        made = clinic.book(slot, subject, number=number, now=slot.start - DAY)  # type: ignore[arg-type]
        clinic.tells(E.APPOINTMENT_NO_SHOW, made.appointment_id)

    def test_the_hospital_s_number_of_them_bars_her_and_says_until_when(self, clinic: Clinic) -> None:
        self.missed(clinic, 1, 30)
        self.missed(clinic, 1, 20)
        with pytest.raises(BookingBarred) as caught:
            clinic.book(clinic.slot())
        assert (caught.value.code, caught.value.status_code) == ("booking_barred", 409)
        assert caught.value.extra["until"].startswith("2026-05-02")  # 90 days after the older of the two
        assert "5月2日" in caught.value.detail

    def test_one_less_does_not(self, clinic: Clinic) -> None:
        self.missed(clinic, 1, 30)
        assert clinic.book(clinic.slot()).state == "pending"

    def test_they_are_forgotten_after_the_hospital_s_number_of_days(self, clinic: Clinic) -> None:
        self.missed(clinic, 1, 92)
        self.missed(clinic, 1, 20)
        assert clinic.book(clinic.slot()).state == "pending"

    def test_another_card_of_the_same_person_does_not_help(self, clinic: Clinic) -> None:
        self.missed(clinic, 4, 30, uuid4())
        self.missed(clinic, 4, 20, uuid4())
        with pytest.raises(BookingBarred):
            clinic.book(clinic.slot(), uuid4(), number=4)

    def test_they_count_in_their_own_hospital_only(self, clinic: Clinic) -> None:
        self.missed(clinic, 1, 30)
        self.missed(clinic, 1, 20)
        other = a_clinic("hill")
        assert other.book(other.slot()).state == "pending"

    def test_a_hospital_may_have_no_such_rule(self, clinic: Clinic) -> None:
        change(Hospital, clinic.hospital.id, no_show_limit=0)
        self.missed(clinic, 1, 30)
        self.missed(clinic, 1, 20)
        assert clinic.book(clinic.slot()).state == "pending"

    def test_a_mark_that_the_desk_takes_back_does_not_count(self, clinic: Clinic) -> None:
        self.missed(clinic, 1, 30)
        slot = clinic.slot(start=MORNING - timedelta(days=20))
        made = clinic.book(slot, now=slot.start - DAY)
        clinic.tells(E.APPOINTMENT_NO_SHOW, made.appointment_id)
        clinic.tells(E.ENCOUNTER_CHECKED_IN, made.appointment_id, sequence=2)
        assert clinic.book(clinic.slot()).state == "pending"


class TestAStoppedClinic:
    def stopped_by_upload(self, clinic: Clinic, schedule: object) -> None:
        row = parse(
            ScheduleRow,
            {
                "department": "eye",
                "practitioner": "d1",
                "day": schedule.day,  # type: ignore[attr-defined]
                "period": schedule.period,  # type: ignore[attr-defined]
                "stopped": True,
            },
        )
        with tenancy.scope(clinic.hospital.id):
            write(hospital_id=clinic.hospital.id, kind="schedules", rows=[(schedule.identifier, row)])  # type: ignore[attr-defined]

    @pytest.mark.parametrize("how", ["upload", "event"])
    def test_everybody_booked_is_freed_and_told(self, clinic: Clinic, how: str) -> None:
        half_day = clinic.schedule()
        early = clinic.slot(of=half_day, capacity=2)
        late = clinic.slot(of=half_day, start=MORNING + timedelta(hours=1))
        elsewhere = clinic.slot(start=MORNING + DAY)
        booked = [clinic.book(slot, number=n) for n, slot in enumerate([early, early, late])]
        clinic.book(elsewhere, number=9)
        if how == "upload":
            self.stopped_by_upload(clinic, half_day)
            clinic.settle()
        else:
            clinic.tells(E.SCHEDULE_STOPPED, booked[0].appointment_id)
            clinic.settle()
        assert clinic.states() == ["pending", "stopped", "stopped", "stopped"]
        assert sorted(e.appointment_id for e in clinic.heard) == sorted(str(b.appointment_id) for b in booked)
        assert {e.type for e in clinic.heard} == {E.SCHEDULE_STOPPED}
        assert (clinic.balance(early), clinic.balance(late)) == ((2, 0, 0), (1, 0, 0))
        assert clinic.balance(elsewhere) == (0, 0, 1)

    def test_its_places_are_off_sale_and_its_holds_ended(self, clinic: Clinic) -> None:
        slot, subject = clinic.slot(capacity=2), uuid4()
        booking.hold(slot_id=slot.id, subject=subject, now=NOW)
        self.stopped_by_upload(clinic, slot.schedule)
        assert clinic.balance(slot) == (2, 0, 0)
        with pytest.raises(SlotClosed):
            clinic.book(slot, subject)
        assert booking.expire_holds(NOW + DAY) == 0

    def test_each_is_told_once_however_often_it_is_stopped(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot)
        self.stopped_by_upload(clinic, slot.schedule)
        with tenancy.scope(clinic.hospital.id):
            booking.stop(schedule_id=slot.schedule_id)
        clinic.settle()
        clinic.tells(E.SCHEDULE_STOPPED, made.appointment_id, sequence=9)
        assert len([e for e in clinic.heard if e.event_id.startswith("stopped:")]) == 1
        assert clinic.balance(slot) == (1, 0, 0)

    def test_it_comes_after_all_the_hospital_has_told_of_her(self, clinic: Clinic) -> None:
        made = clinic.book(clinic.slot())
        clinic.tells(E.APPOINTMENT_BOOKED, made.appointment_id, sequence=41)
        with tenancy.scope(clinic.hospital.id):
            booking.stop(schedule_id=Slot.objects.get(id=made.slot_id).schedule_id)
        clinic.settle()
        assert clinic.heard[-1].sequence == 42

    def test_she_may_book_another_half_day_at_once(self, clinic: Clinic) -> None:
        slot, subject = clinic.slot(), uuid4()
        clinic.book(slot, subject)
        self.stopped_by_upload(clinic, slot.schedule)
        clinic.settle()
        assert clinic.book(clinic.slot(start=MORNING + timedelta(hours=2)), subject).state == "pending"


def test_a_booking_that_fails_later_leaves_nothing_taken(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = clinic.slot()
    monkeypatch.setattr(booking.outbox, "put", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        clinic.book(slot)
    assert clinic.balance(slot) == (1, 0, 0)
