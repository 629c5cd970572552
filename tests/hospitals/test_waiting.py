"""Holds that run out, and the waiting list: a freed place is held for the first in line, who is told; then for the next."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from hospitals import dispatch, tenancy
from hospitals.exceptions import AlreadyBooked, BookingBarred, InvalidInput, NotFound, SlotTaken
from hospitals.models import Appointment, Hospital, Practitioner, Schedule, Slot, WaitingEntry
from hospitals.services import booking, waiting
from tests.hospitals.clinics import MORNING, NOW, TOMORROW, Clinic, a_clinic
from tests.hospitals.own_rows import change, make

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
ANNE, BAO, CHEN = UUID(int=1), UUID(int=2), UUID(int=3)


@pytest.fixture()
def clinic() -> Clinic:
    return a_clinic(hold_min=10, no_show_limit=1)


@pytest.fixture()
def told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[waiting.PlaceOffered]:
    heard: list[waiting.PlaceOffered] = []
    monkeypatch.setattr("companion.visits.on_place_offered", heard.append)
    return heard


def waits(clinic: Clinic, subject: UUID, at: int = 0, **changes: Any) -> UUID:
    """She joins the line ``at`` minutes after NOW."""
    values = {"first_day": TOMORROW, "last_day": TOMORROW, "now": NOW + at * MINUTE, **changes}
    return waiting.join(department_id=clinic.department.id, subject=subject, **values)


def state_of(clinic: Clinic, entry_id: UUID) -> str:
    with tenancy.scope(clinic.hospital.id):
        return WaitingEntry.objects.get(id=entry_id).state


class TestHolding:
    def test_a_held_place_is_nobody_else_s_until_it_runs_out(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        assert booking.hold(slot_id=slot.id, subject=ANNE, now=NOW) == NOW + 10 * MINUTE
        assert clinic.balance(slot) == (0, 1, 0)
        with pytest.raises(SlotTaken):
            clinic.book(slot, BAO)
        assert booking.expire_holds(NOW + 10 * MINUTE - timedelta(seconds=1)) == 0
        assert booking.expire_holds(NOW + 10 * MINUTE) == 1
        assert clinic.balance(slot) == (1, 0, 0)

    def test_it_comes_back_exactly_once(self, clinic: Clinic) -> None:
        slot = clinic.slot(capacity=3)
        clinic.book(slot, number=1)
        booking.hold(slot_id=slot.id, subject=ANNE, now=NOW)
        assert [booking.expire_holds(NOW + n * 60 * MINUTE) for n in (1, 1, 2)] == [1, 0, 0]
        assert clinic.balance(slot) == (2, 0, 1)

    def test_she_books_the_place_she_holds(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        booking.hold(slot_id=slot.id, subject=ANNE, now=NOW)
        clinic.book(slot, ANNE, now=NOW + MINUTE)
        assert clinic.balance(slot) == (0, 0, 1)
        assert booking.expire_holds(NOW + 60 * MINUTE) == 0

    def test_a_hold_that_ran_out_takes_nothing_any_more(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        booking.hold(slot_id=slot.id, subject=ANNE, now=NOW)
        with pytest.raises(SlotTaken):
            clinic.book(slot, ANNE, now=NOW + 11 * MINUTE)
        assert clinic.balance(slot) == (0, 1, 0)

    def test_asking_again_changes_nothing_until_it_ran_out(self, clinic: Clinic) -> None:
        slot = clinic.slot(capacity=2)
        first = booking.hold(slot_id=slot.id, subject=ANNE, now=NOW)
        assert booking.hold(slot_id=slot.id, subject=ANNE, now=NOW + MINUTE) == first
        again = booking.hold(slot_id=slot.id, subject=ANNE, now=NOW + 11 * MINUTE)
        assert again == NOW + 21 * MINUTE
        assert clinic.balance(slot) == (1, 1, 0)

    def test_nobody_keeps_two_places_by_holding(self, clinic: Clinic) -> None:
        booking.hold(slot_id=clinic.slot().id, subject=ANNE, now=NOW)
        other = clinic.slot(start=MORNING + timedelta(days=1))
        with pytest.raises(AlreadyBooked) as caught:
            booking.hold(slot_id=other.id, subject=ANNE, now=NOW)
        assert caught.value.code == "holding_another"
        assert clinic.balance(other) == (1, 0, 0)

    def test_who_may_not_book_may_not_hold(self, clinic: Clinic) -> None:
        missed = clinic.slot(start=MORNING - timedelta(days=9))
        made = clinic.book(missed, ANNE, now=NOW - timedelta(days=9))
        with tenancy.scope(clinic.hospital.id):
            Appointment.objects.filter(id=made.appointment_id).update(state="no_show")
        with pytest.raises(BookingBarred):
            booking.hold(slot_id=clinic.slot().id, subject=ANNE, now=NOW)

    def test_an_unknown_slot_is_not_found(self) -> None:
        with pytest.raises(NotFound):
            booking.hold(slot_id=uuid4(), subject=ANNE)


class TestWaiting:
    def test_the_first_in_line_is_offered_the_freed_place_and_told(
        self,
        clinic: Clinic,
        told: list[waiting.PlaceOffered],
        django_capture_on_commit_callbacks: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        slot = clinic.slot()
        made = clinic.book(slot, CHEN)
        second, first = waits(clinic, BAO, at=2), waits(clinic, ANNE, at=1)
        sent: list[tuple[str, tuple[str, ...]]] = []
        monkeypatch.setattr(dispatch, "_send", lambda task, args: sent.append((task, args)))
        with django_capture_on_commit_callbacks(execute=True):
            booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        assert [state_of(clinic, e) for e in (first, second)] == ["offered", "waiting"]
        assert clinic.balance(slot) == (0, 1, 0)
        assert ("hospitals.tasks.tell_of_place", (str(clinic.hospital.id), str(first))) in sent
        assert waiting.sweep(now=NOW) == 1
        offer = told[0]
        assert (offer.subject, offer.slot_id, offer.entry_id) == (ANNE, slot.id, first)
        assert (offer.hospital, offer.department, offer.practitioner) == ("lake医院", "眼科", "钱医生")
        assert (offer.start, offer.expires_at) == (MORNING, NOW + 30 * MINUTE)

    def test_she_is_told_until_she_heard_it_and_then_never_again(
        self, clinic: Clinic, told: list[waiting.PlaceOffered]
    ) -> None:
        made = clinic.book(clinic.slot(), CHEN)
        waits(clinic, ANNE)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        assert [waiting.sweep(now=NOW), waiting.sweep(now=NOW)] == [1, 1]
        assert waiting.offers(subject=BAO, now=NOW) == []
        offers = waiting.offers(subject=ANNE, now=NOW)
        assert [offer.subject for offer in offers] == [ANNE]
        waiting.told(offers, now=NOW)
        assert waiting.offers(subject=ANNE, now=NOW) == []
        assert waiting.sweep(now=NOW) == 0

    def test_an_offer_that_runs_out_goes_on_to_the_next(self, clinic: Clinic, told: list[waiting.PlaceOffered]) -> None:
        slot = clinic.slot()
        made = clinic.book(slot, CHEN)
        first, second = waits(clinic, ANNE, at=1), waits(clinic, BAO, at=2)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        waiting.told(waiting.offers(subject=ANNE, now=NOW), now=NOW)
        assert booking.expire_holds(NOW + 30 * MINUTE) == 1
        assert [state_of(clinic, e) for e in (first, second)] == ["left", "offered"]
        assert [o.subject for o in waiting.offers(subject=BAO, now=NOW + 30 * MINUTE)] == [BAO]
        assert booking.expire_holds(NOW + 60 * MINUTE) == 1
        assert clinic.balance(slot) == (1, 0, 0)

    def test_an_offer_that_nobody_heard_of_costs_no_place_in_the_line(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot, CHEN)
        first, second = waits(clinic, ANNE, at=1), waits(clinic, BAO, at=2)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        booking.expire_holds(NOW + 30 * MINUTE)
        assert [state_of(clinic, e) for e in (first, second)] == ["waiting", "offered"]
        # the same place does not go round and round between those who do not hear
        booking.expire_holds(NOW + 60 * MINUTE)
        assert [state_of(clinic, e) for e in (first, second)] == ["waiting", "waiting"]
        assert clinic.balance(slot) == (1, 0, 0)
        other = clinic.slot(start=MORNING + 60 * MINUTE)
        booking.cancel(appointment_id=clinic.book(other, CHEN).appointment_id, reason="", now=NOW)
        assert [state_of(clinic, e) for e in (first, second)] == ["offered", "waiting"]

    @pytest.mark.parametrize(
        ("hour", "minute", "until"),
        [(21, 20, "02 21:50"), (21, 40, "03 07:30"), (22, 0, "03 07:30"), (26, 0, "03 07:30"), (31, 0, "03 07:30")],
    )
    def test_an_offer_does_not_run_out_in_the_night(self, clinic: Clinic, hour: int, minute: int, until: str) -> None:
        now = NOW.replace(hour=0) + timedelta(hours=hour, minutes=minute)
        made = clinic.book(clinic.slot(), CHEN)
        waits(clinic, ANNE)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=now)
        (offer,) = waiting.offers(subject=ANNE, now=now)
        assert f"{timezone.localtime(offer.expires_at):%d %H:%M}" == until

    def test_nor_is_it_held_past_the_clinic_of_the_early_morning(self, clinic: Clinic) -> None:
        slot = clinic.slot(start=MORNING.replace(hour=7, minute=10))
        made = clinic.book(slot, CHEN)
        waits(clinic, ANNE)
        night = NOW.replace(hour=23)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=night)
        assert [o.expires_at for o in waiting.offers(subject=ANNE, now=night)] == [slot.start]

    def test_she_books_what_is_held_for_her_and_nobody_else_can(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot, CHEN, number=3)
        entry = waits(clinic, ANNE)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        assert waiting.holds(hospital_id=clinic.hospital.id, slot_id=slot.id, subject=ANNE, now=NOW)
        with pytest.raises(SlotTaken):
            clinic.book(slot, BAO, number=2)
        clinic.book(slot, ANNE, number=1)
        assert state_of(clinic, entry) == "booked"
        assert clinic.balance(slot) == (0, 0, 1)

    def test_who_booked_elsewhere_in_the_department_waits_no_more(self, clinic: Clinic) -> None:
        entry = waits(clinic, ANNE)
        clinic.book(clinic.slot(start=MORNING + timedelta(days=3)), ANNE)
        assert state_of(clinic, entry) == "booked"

    def test_another_day_or_another_doctor_is_not_what_she_waits_for(self, clinic: Clinic) -> None:
        other = make(
            Practitioner, hospital=clinic.hospital, department=clinic.department, identifier="d2", name="孙医生"
        )
        later = TOMORROW + timedelta(days=1)
        waits(clinic, ANNE, first_day=later, last_day=later)
        waits(clinic, BAO, practitioner_id=other.id)
        slot = clinic.slot()
        booking.cancel(appointment_id=clinic.book(slot, CHEN).appointment_id, reason="", now=NOW)
        assert clinic.balance(slot) == (1, 0, 0)

    def test_a_long_line_for_somebody_else_hides_nobody(self, clinic: Clinic) -> None:
        other = make(
            Practitioner, hospital=clinic.hospital, department=clinic.department, identifier="d2", name="孙医生"
        )
        for n in range(60):
            waits(clinic, UUID(int=100 + n), practitioner_id=other.id)
        entry = waits(clinic, ANNE, at=5)
        booking.cancel(appointment_id=clinic.book(clinic.slot(), CHEN).appointment_id, reason="", now=NOW)
        assert state_of(clinic, entry) == "offered"

    def test_a_place_too_late_to_reach_goes_back_on_sale(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        clinic.book(slot, CHEN)
        waits(clinic, ANNE)
        with tenancy.scope(clinic.hospital.id):
            Appointment.objects.update(state="cancelled")
            waiting.give_back(slot, now=slot.start)
        assert clinic.balance(slot)[:2] == (1, 0)

    def test_an_offer_ends_before_the_clinic_begins(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot, CHEN)
        waits(clinic, ANNE)
        change(Hospital, clinic.hospital.id, cancel_until_min=0)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=slot.start - 5 * MINUTE)
        (offer,) = waiting.offers(subject=ANNE, now=slot.start - 5 * MINUTE)
        assert offer.expires_at == slot.start

    def test_who_leaves_passes_the_place_on_at_once(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot, CHEN)
        first, second = waits(clinic, ANNE, at=1), waits(clinic, BAO, at=2)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        waiting.leave(hospital_id=clinic.hospital.id, entry_id=first, subject=ANNE, now=NOW)
        assert [state_of(clinic, e) for e in (first, second)] == ["left", "offered"]
        assert clinic.balance(slot) == (0, 1, 0)

    def test_nobody_leaves_for_another(self, clinic: Clinic) -> None:
        entry = waits(clinic, ANNE)
        with pytest.raises(NotFound):
            waiting.leave(hospital_id=clinic.hospital.id, entry_id=entry, subject=BAO)
        assert state_of(clinic, entry) == "waiting"

    def test_a_stopped_clinic_sends_her_back_to_where_she_stood(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        made = clinic.book(slot, CHEN)
        first, second = waits(clinic, ANNE, at=1), waits(clinic, BAO, at=2)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        with tenancy.scope(clinic.hospital.id):
            booking.stop(schedule_id=slot.schedule_id)
        assert [state_of(clinic, e) for e in (first, second)] == ["waiting", "waiting"]
        assert clinic.balance(slot) == (1, 0, 0)
        other = clinic.slot()
        change(Schedule, slot.schedule_id, stopped_at=timezone.now())
        booking.cancel(appointment_id=clinic.book(other, CHEN).appointment_id, reason="", now=NOW)
        assert state_of(clinic, first) == "offered"


class TestJoining:
    def test_once_a_department(self, clinic: Clinic) -> None:
        waits(clinic, ANNE)
        with pytest.raises(AlreadyBooked) as caught:
            waits(clinic, ANNE)
        assert caught.value.code == "already_waiting"

    def test_not_while_a_place_is_offered(self, clinic: Clinic) -> None:
        made = clinic.book(clinic.slot(), CHEN)
        waits(clinic, ANNE)
        booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
        with pytest.raises(AlreadyBooked) as caught:
            waits(clinic, ANNE)
        assert caught.value.code == "already_offered"

    def test_days_that_brought_nothing_do_not_bar_new_ones(self, clinic: Clinic) -> None:
        old = waits(clinic, ANNE)
        later = TOMORROW + timedelta(days=7)
        waits(clinic, ANNE, first_day=later, last_day=later, now=NOW + timedelta(days=3))
        assert state_of(clinic, old) == "left"

    @pytest.mark.parametrize("first, last", [(1, 0), (-3, -1)])
    def test_for_days_that_can_come(self, clinic: Clinic, first: int, last: int) -> None:
        days = {"first_day": NOW.date() + timedelta(days=first), "last_day": NOW.date() + timedelta(days=last)}
        with pytest.raises(InvalidInput):
            waits(clinic, ANNE, **days)

    def test_only_where_one_can_book(self, clinic: Clinic) -> None:
        change(Hospital, clinic.hospital.id, state="suspended")
        with pytest.raises(NotFound):
            waits(clinic, ANNE)


def test_a_place_that_the_hospital_counted_already_is_not_put_back_twice(clinic: Clinic) -> None:
    slot = clinic.slot()
    made = clinic.book(slot, CHEN)
    change(Slot, slot.id, free=1)  # its own system was quicker
    waits(clinic, ANNE)
    booking.cancel(appointment_id=made.appointment_id, reason="", now=NOW)
    assert clinic.balance(slot) == (1, 0, 0)
