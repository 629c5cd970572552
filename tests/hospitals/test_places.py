"""What is on sale: nothing that is stopped or withdrawn, nothing twice, and what comes free goes to the line first."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from hospitals import tenancy
from hospitals.connectors.base import EventType
from hospitals.exceptions import SlotClosed, SlotTaken
from hospitals.models import Slot, WaitingEntry
from hospitals.services import booking, upsert, waiting
from hospitals.services.rows import BY_KIND, parse
from tests.hospitals.clinics import MORNING, NOW, TOMORROW, Clinic, a_clinic

pytestmark = pytest.mark.django_db
ANNE, BAO = UUID(int=1), UUID(int=2)


@pytest.fixture()
def clinic() -> Clinic:
    return a_clinic(hold_min=10, cancel_until_min=0)


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("companion.visits.on_hospital_event", lambda event: None)


def uploads(clinic: Clinic, kind: str, identifier: str, **row: Any) -> None:
    with tenancy.scope(clinic.hospital.id):
        written = [(identifier, parse(BY_KIND[kind], row))]
        (outcome,) = upsert.write(hospital_id=clinic.hospital.id, kind=kind, rows=written, now=NOW)
    assert outcome.fault is None, outcome.fault and outcome.fault.shown()


def withdraws(clinic: Clinic, kind: str, identifier: str) -> None:
    with tenancy.scope(clinic.hospital.id):
        assert upsert.withdraw(hospital_id=clinic.hospital.id, kind=kind, identifier=identifier)


def uploads_slot(clinic: Clinic, slot: Slot, **changes: Any) -> None:
    row = {"schedule": slot.schedule.identifier, "start": slot.start, "end": slot.end, "capacity": slot.capacity}
    uploads(clinic, "slots", slot.identifier, **row | changes)


def uploads_schedule(clinic: Clinic, slot: Slot, **changes: Any) -> None:
    row = {"department": "eye", "practitioner": "d1", "day": slot.schedule.day, "period": slot.schedule.period}
    uploads(clinic, "schedules", slot.schedule.identifier, **row | changes)


def on_sale(slot: Slot) -> bool:
    slot.refresh_from_db()
    return not slot.stopped


class TestStopped:
    def test_a_slot_uploaded_again_does_not_reopen_its_stopped_clinic(self, clinic: Clinic) -> None:
        slot = clinic.slot(capacity=2)
        uploads_schedule(clinic, slot, stopped=True)
        uploads_slot(clinic, slot, fee_fen=900)
        assert not on_sale(slot)
        uploads(
            clinic,
            "slots",
            "new",
            schedule=slot.schedule.identifier,
            start=slot.start + timedelta(hours=1),
            end=slot.end + timedelta(hours=1),
            capacity=1,
        )
        assert not on_sale(Slot.objects.get(identifier="new"))
        uploads_schedule(clinic, slot, stopped=False)
        assert on_sale(slot) and on_sale(Slot.objects.get(identifier="new"))

    def test_a_clinic_stopped_by_an_event_outlasts_the_nightly_uploads(self, clinic: Clinic) -> None:
        slot = clinic.slot(capacity=2)
        made = clinic.book(slot, ANNE)
        clinic.tells(EventType.SCHEDULE_STOPPED, made.appointment_id)
        uploads_schedule(clinic, slot)
        uploads_slot(clinic, slot)
        assert not on_sale(slot)
        with pytest.raises(SlotClosed):
            clinic.book(slot, BAO, number=2)

    def test_a_clinic_that_resumes_or_moves_does_not_bring_back_a_slot_that_was_stopped_itself(
        self, clinic: Clinic
    ) -> None:
        half_day = clinic.schedule()
        stopped, withdrawn, other = (
            clinic.slot(of=half_day, start=MORNING + timedelta(minutes=30 * n)) for n in range(3)
        )
        uploads_slot(clinic, stopped, stopped=True)
        withdraws(clinic, "slots", withdrawn.identifier)
        for word in (True, False):
            uploads_schedule(clinic, other, stopped=word)
        assert [on_sale(slot) for slot in (stopped, withdrawn, other)] == [False, False, True]
        uploads_slot(clinic, withdrawn)
        assert on_sale(withdrawn)


class TestWithdrawn:
    @pytest.mark.parametrize("kind", ["departments", "practitioners", "schedules"])
    def test_what_a_slot_hangs_on_takes_it_off_sale_and_back(self, clinic: Clinic, kind: str) -> None:
        slot = clinic.slot()
        rows: dict[str, tuple[str, dict[str, Any]]] = {
            "departments": ("eye", {"name": "眼科"}),
            "practitioners": ("d1", {"department": "eye", "name": "钱医生"}),
            "schedules": (
                slot.schedule.identifier,
                {"department": "eye", "practitioner": "d1", "day": slot.schedule.day, "period": "morning"},
            ),
        }
        identifier, row = rows[kind]
        withdraws(clinic, kind, identifier)
        assert not on_sale(slot)
        with pytest.raises(SlotClosed):
            clinic.book(slot, ANNE)
        uploads(clinic, kind, identifier, **row)
        assert on_sale(slot)

    def test_a_department_that_takes_no_bookings_sells_nothing(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        uploads(clinic, "departments", "eye", name="眼科", bookable=False)
        assert not on_sale(slot)
        uploads(clinic, "departments", "eye", name="眼科")
        assert on_sale(slot)

    def test_who_is_booked_stays_booked(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        clinic.book(slot, ANNE)
        withdraws(clinic, "practitioners", "d1")
        clinic.settle()
        assert clinic.states() == ["pending"]


class TestCounting:
    def test_a_stale_upload_does_not_sell_a_confirmed_place_again(self, clinic: Clinic) -> None:
        slot = clinic.slot()
        clinic.tells(EventType.APPOINTMENT_BOOKED, clinic.book(slot, ANNE).appointment_id)
        uploads_slot(clinic, slot, free=1)
        assert clinic.balance(slot) == (0, 0, 1)
        with pytest.raises(SlotTaken):
            clinic.book(slot, BAO, number=2)

    @pytest.mark.parametrize("state", ["checked_in", "no_show", "finished"])
    def test_a_place_that_was_used_is_not_free_either(self, clinic: Clinic, state: str) -> None:
        slot = clinic.slot()
        made = clinic.book(slot, ANNE)
        with tenancy.scope(clinic.hospital.id):
            booking.Appointment.objects.filter(id=made.appointment_id).update(state=state)
        uploads_slot(clinic, slot, free=1)
        slot.refresh_from_db()
        assert slot.free == 0

    def test_what_the_hospital_sold_itself_counts(self, clinic: Clinic) -> None:
        slot = clinic.slot(capacity=5)
        clinic.tells(EventType.APPOINTMENT_BOOKED, clinic.book(slot, ANNE).appointment_id)
        clinic.book(slot, BAO, number=2)
        booking.hold(slot_id=slot.id, subject=UUID(int=3), now=NOW)
        uploads_slot(clinic, slot, free=3)  # it knows of Anne and sold one at its window
        assert clinic.balance(slot) == (1, 1, 2)
        uploads_slot(clinic, slot, free=5)  # from before all of them
        assert clinic.balance(slot) == (2, 1, 2)

    def test_a_slot_with_fewer_places_gets_none_back_until_they_fit(self, clinic: Clinic) -> None:
        slot = clinic.slot(capacity=3)
        made = [clinic.book(slot, UUID(int=n), number=n) for n in range(1, 4)]
        uploads_slot(clinic, slot, capacity=2)
        for expected, one in zip([0, 1], made, strict=False):
            booking.cancel(appointment_id=one.appointment_id, reason="", now=NOW)
            assert clinic.balance(slot)[0] == expected


class TestTheLineComesFirst:
    def wait(self, clinic: Clinic, subject: UUID, minutes: int) -> None:
        waiting.join(
            department_id=clinic.department.id,
            subject=subject,
            first_day=TOMORROW,
            last_day=TOMORROW,
            now=NOW + timedelta(minutes=minutes),
        )

    def states(self, clinic: Clinic) -> list[str]:
        with tenancy.scope(clinic.hospital.id):
            return list(WaitingEntry.objects.order_by("created_at").values_list("state", flat=True))

    def full(self, clinic: Clinic) -> Slot:
        slot = clinic.slot(capacity=3)
        uploads_slot(clinic, slot, free=0)
        self.wait(clinic, ANNE, 1)
        self.wait(clinic, BAO, 2)
        return slot

    def test_places_that_an_upload_frees_are_held_for_those_who_wait(self, clinic: Clinic) -> None:
        slot = self.full(clinic)
        uploads_slot(clinic, slot, free=1)
        assert (self.states(clinic), clinic.balance(slot)) == (["offered", "waiting"], (0, 1, 0))

    def test_what_nobody_waits_for_is_on_sale(self, clinic: Clinic) -> None:
        slot = self.full(clinic)
        uploads_slot(clinic, slot, free=3)
        assert (self.states(clinic), clinic.balance(slot)) == (["offered", "offered"], (1, 2, 0))

    def test_so_are_new_slots_and_clinics_that_resume(self, clinic: Clinic) -> None:
        slot = self.full(clinic)
        uploads_schedule(clinic, slot, stopped=True)
        uploads_slot(clinic, slot, free=1)
        assert self.states(clinic) == ["waiting", "waiting"]
        uploads_schedule(clinic, slot, stopped=False)
        assert self.states(clinic) == ["offered", "waiting"]
        later = {"start": slot.start + timedelta(hours=1), "end": slot.end + timedelta(hours=1), "capacity": 1}
        uploads(clinic, "slots", uuid4().hex, schedule=slot.schedule.identifier, **later)
        assert self.states(clinic) == ["offered", "offered"]
