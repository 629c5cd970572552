"""What becomes of a booking that its hospital never answered, and of what waits behind one that came to nothing."""

from datetime import timedelta
from unittest.mock import patch

import pytest

from companion.models import Incident
from hospitals import tenancy
from hospitals.connectors.base import Acknowledgement, Command, CommandKind, EventType, HospitalEvent
from hospitals.models import Appointment, OutboxCommand
from hospitals.services import circuit, inbox, outbox
from tests.hospitals.clinics import NOW, Clinic, a_clinic
from tests.hospitals.test_outbox import Clock, HospitalSystem, booked, command, commands, settle, systems

State = OutboxCommand.State
pytestmark = pytest.mark.django_db


def booked_ten_minutes_before(clinic: Clinic, clock: Clock) -> Appointment:
    """Sent at ten to nine for nine o'clock."""
    slot = clinic.slot(start=NOW + timedelta(hours=1))
    clock.on(minutes=50)
    made = clinic.book(slot, number=1, now=clock.now)
    outbox.sweep()
    with tenancy.scope(clinic.hospital.id):
        return Appointment.objects.select_related("slot").get(id=made.appointment_id)


@pytest.mark.parametrize(
    "told",
    [
        [EventType.APPOINTMENT_BOOKED],
        [EventType.APPOINTMENT_BOOKED, EventType.ENCOUNTER_CHECKED_IN],
        [EventType.APPOINTMENT_BOOKED, EventType.APPOINTMENT_NO_SHOW],
        [EventType.ENCOUNTER_CHECKED_IN, EventType.ENCOUNTER_FINISHED],
    ],
)
def test_a_booking_that_was_never_answered_holds_when_the_hospital_s_events_tell_of_it(told: list[EventType]) -> None:
    clinic, system = a_clinic(), HospitalSystem(["silent"] + ["down"] * 500)
    with systems(lake=system) as clock, patch.object(circuit, "check"), patch("companion.visits.on_hospital_event"):
        row = booked_ten_minutes_before(clinic, clock)
        for sequence, kind in enumerate(told, start=1):
            clinic.tells(kind, row.id, sequence)
        clock.on(seconds=1)
        command(row, CommandKind.PAY, "pay:1")
        states = clinic.states()
        clock.on(minutes=11)
        outbox.sweep()
        assert [c.state for c in commands(clinic)] == [State.ACCEPTED, State.WAITING]
        system.script.clear()
        settle(clock)
        clinic.settle()
        assert clinic.states() == states and states[0] not in Appointment.GAVE_ITS_PLACE_BACK
        row.slot.refresh_from_db()
        assert row.slot.free == 0
        assert [kind for kind, _appointment in system.done] == [CommandKind.BOOK, CommandKind.PAY]
    assert not Incident.objects.exists()


def test_what_the_hospital_told_counts_also_before_it_is_handled() -> None:
    clinic, system = a_clinic(), HospitalSystem(["silent"] + ["down"] * 500)
    with systems(lake=system) as clock, patch.object(circuit, "check"), patch("companion.visits.on_hospital_event"):
        row = booked_ten_minutes_before(clinic, clock)
        event = HospitalEvent("e1", EventType.APPOINTMENT_BOOKED, clinic.hospital.id, str(row.id), 1, NOW, None)
        with tenancy.scope(clinic.hospital.id):
            inbox.store(event)
        clock.on(minutes=11)
        outbox.sweep()
        clinic.settle()
        assert commands(clinic)[0].state == State.ACCEPTED and clinic.states() == ["booked"]


def test_a_payment_behind_a_booking_that_was_refused_is_the_hospital_s_to_refuse_too() -> None:
    clinic, system = a_clinic(), HospitalSystem(["silent", "refuse", "refuse"])
    with (
        systems(lake=system) as clock,
        patch("companion.visits.on_hospital_event"),
        patch("companion.answered.on_command_answered") as answered,
    ):
        row = booked(clinic)
        outbox.sweep()
        for kind in (CommandKind.CHECK_IN, CommandKind.PAY):
            clock.on(seconds=1)
            command(row, kind, kind.value)
        settle(clock, rounds=3)
    assert [c.state for c in commands(clinic)] == [State.REFUSED, State.WITHDRAWN, State.REFUSED]
    assert [(c.args[0].kind, c.args[0].outcome) for c in answered.call_args_list] == [
        (CommandKind.BOOK, "refused"),
        (CommandKind.PAY, "refused"),  # by which her money goes back
    ]


def test_a_payment_behind_a_booking_that_was_given_up_is_told_and_the_booking_undone_all_the_same() -> None:
    clinic, system = a_clinic(), HospitalSystem(["silent"] + ["down"] * 500)
    with systems(lake=system) as clock, patch.object(circuit, "check"), patch("companion.visits.on_hospital_event"):
        row = booked_ten_minutes_before(clinic, clock)
        clock.on(seconds=1)
        command(row, CommandKind.PAY, "pay:1")
        clock.on(minutes=11)
        outbox.sweep()
        assert commands(clinic)[0].state == State.GIVEN_UP
        system.script.clear()
        settle(clock)
        assert [kind for kind, _appointment in system.done] == [CommandKind.BOOK, CommandKind.PAY, CommandKind.CANCEL]


class OddWords:
    """A hospital whose answers hold what no database takes: half an emoji, and NUL."""

    def __init__(self, *, accepts: bool) -> None:
        self.accepts, self.calls = accepts, 0

    def execute(self, command: Command) -> Acknowledgement:
        self.calls += 1
        return Acknowledgement(self.accepts, reference="R\ud83d\0", reason="号满\ud83d\0")


@pytest.mark.services
@pytest.mark.parametrize(("accepts", "state"), [(True, State.ACCEPTED), (False, State.REFUSED)])
def test_an_answer_in_odd_characters_is_taken_and_not_asked_for_again(accepts: bool, state: str) -> None:
    clinic, system = a_clinic(), OddWords(accepts=accepts)
    with systems(lake=system) as clock, patch("companion.visits.on_hospital_event") as told:  # type: ignore[arg-type]
        row = booked(clinic)
        settle(clock, rounds=2)
        clinic.settle()
    assert commands(clinic)[0].state == state and system.calls == 1
    with tenancy.scope(clinic.hospital.id):
        assert Appointment.objects.get(id=row.id).reference == ("R?" if accepts else "")
    assert [call.args[0].data.text for call in told.call_args_list] == ([] if accepts else ["号满?"])
