"""What residents did reaches their hospital once, in order, whatever its system does; and another hospital never notices."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.models import Incident
from hospitals import audit, tenancy
from hospitals.connectors.base import Acknowledgement, Command, CommandKind
from hospitals.exceptions import ConnectorRefused, ConnectorUnavailable, OutcomeUnknown
from hospitals.models import Appointment, Circuit, Hospital, OutboxCommand
from hospitals.services import booking, circuit, outbox
from tests.hospitals.clinics import NOW, Clinic, a_clinic
from tests.hospitals.own_rows import change
from tests.hospitals.paid import paid

FAULTS = ("down", "silent", "broken")
State = OutboxCommand.State


@dataclass
class HospitalSystem:
    """A hospital's system with a script of what each call meets; afterwards it is well. It knows a key it has seen."""

    script: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    done: list[tuple[CommandKind, str]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def execute(self, command: Command) -> Acknowledgement:
        meets = self.script.pop(0) if self.script else "well"
        self.calls.append(meets)
        if meets == "down":
            raise ConnectorUnavailable
        if meets == "refuse":
            return Acknowledgement(accepted=False, reason="号源已满")
        if meets == "refuse by error":
            raise ConnectorRefused
        if command.idempotency_key not in self.keys:
            self.keys.add(command.idempotency_key)
            self.done.append((command.kind, command.appointment_id))
        if meets == "silent":
            raise OutcomeUnknown
        if meets == "broken":
            raise RuntimeError("a bug in the connector")
        return Acknowledgement(accepted=True, reference="R1")


class Clock:
    def __init__(self) -> None:
        self.now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def on(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@contextmanager
def systems(**by_code: HospitalSystem) -> Iterator[Clock]:
    """These systems behind the connectors, and a clock that moves by hand; the jitter is the middle of its range."""
    clock = Clock()
    with (
        patch.object(outbox.connecting, "connector", lambda hospital: by_code[hospital.code]),
        patch.object(timezone, "now", clock),
        patch.object(outbox._jitter, "uniform", lambda low, high: (low + high) / 2),
    ):
        yield clock


def booked(clinic: Clinic) -> Appointment:
    made = clinic.book(clinic.slot(of=clinic.schedule()), number=1, now=NOW)
    with tenancy.scope(clinic.hospital.id):
        return Appointment.objects.get(id=made.appointment_id)


def command(row: Appointment, kind: CommandKind, key: str) -> None:
    with tenancy.scope(row.hospital_id):
        outbox.put(row, kind, key=key, data={"invoice_id": "i1"} if kind is CommandKind.PAY else {})


def commands(clinic: Clinic) -> list[OutboxCommand]:
    with tenancy.scope(clinic.hospital.id):
        return list(OutboxCommand.objects.order_by("created_at"))


def settle(clock: Clock, rounds: int = 60) -> None:
    """Beat after beat, until nothing is due for a long time."""
    for _ in range(rounds):
        clock.on(seconds=400)
        outbox.sweep()


@pytest.mark.django_db()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(script=st.lists(st.sampled_from(["well", *FAULTS]), max_size=12), pays=st.integers(0, 2))
def test_every_deed_is_done_once_and_in_order_whatever_the_system_meets(script: list[str], pays: int) -> None:
    with transaction.atomic():
        clinic, system = a_clinic(), HospitalSystem(script)
        with systems(lake=system) as clock:
            row = booked(clinic)
            clock.on(seconds=1)
            command(row, CommandKind.CHECK_IN, "check-in")
            for number in range(pays):
                clock.on(seconds=1)
                command(row, CommandKind.PAY, f"pay:{number}")
            settle(clock)
            kinds = [kind for kind, _appointment in system.done]
            assert kinds == [CommandKind.BOOK, CommandKind.CHECK_IN, *[CommandKind.PAY] * pays]
            assert [row.state for row in commands(clinic)] == [State.ACCEPTED] * (2 + pays)
        transaction.set_rollback(True)


@pytest.mark.django_db()
def test_the_same_deed_put_twice_is_one_command() -> None:
    clinic = a_clinic()
    with systems(lake=HospitalSystem()):
        row = booked(clinic)
        for _ in range(3):
            command(row, CommandKind.CHECK_IN, "check-in")
    assert [c.kind for c in commands(clinic)] == ["book", "check_in"]


@pytest.mark.django_db()
def test_waiting_doubles_up_to_five_minutes_and_ends_after_a_day_for_a_person_to_look_at() -> None:
    clinic, system = a_clinic(), HospitalSystem(["down"] * 10_000)
    with systems(lake=system) as clock, patch.object(circuit, "check"):
        booked(clinic)
        waits = []
        for _ in range(10):
            (row,) = commands(clinic)
            clock.now = max(clock.now, row.next_attempt_at)
            outbox.sweep()
            (row,) = commands(clinic)
            waits.append((row.next_attempt_at - clock.now).total_seconds())
        assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
        clock.on(hours=24)
        outbox.sweep()
        (row,) = commands(clinic)
        assert row.state == State.GIVEN_UP
        system.script.clear()
        assert not outbox.replay(clinic.hospital.id, row.id, actor=audit.SERVICE), (
            "her place was given back, and she was told"
        )
        assert not Incident.objects.exclude(kind="undelivered").exists() and Incident.objects.count() == 1


@pytest.mark.django_db()
def test_what_was_given_up_and_is_taken_up_again_goes_before_what_was_made_after_it() -> None:
    clinic, system = a_clinic(), HospitalSystem()
    with systems(lake=system) as clock, patch.object(circuit, "check"):
        row = booked(clinic)
        outbox.sweep()
        system.script = ["down"] * 10_000
        command(row, CommandKind.PAY, "pay:1")
        for _ in range(2):
            clock.on(hours=25)
            outbox.sweep()
        command(row, CommandKind.CANCEL, "cancel")
        first, second = commands(clinic)[1:]
        assert (first.state, second.state) == (State.GIVEN_UP, State.WAITING)
        system.script.clear()
        assert outbox.replay(clinic.hospital.id, first.id, actor=audit.SERVICE)
        assert not outbox.deliver(clinic.hospital.id, second.id), "the earlier one is on its way again"
        settle(clock)
        assert [kind for kind, _appointment in system.done][:2] == [CommandKind.BOOK, CommandKind.PAY]


@pytest.mark.django_db()
def test_a_booking_is_tried_until_the_slot_begins_and_not_sent_once_it_is_over() -> None:
    clinic, system = a_clinic(), HospitalSystem(["down"] * 10_000)
    with systems(lake=system) as clock, patch.object(circuit, "check"), patch("companion.visits.on_hospital_event"):
        row = booked(clinic)
        late = clinic.book(clinic.slot(start=NOW + timedelta(hours=1)), number=2, now=NOW)
        outbox.sweep()
        clock.on(hours=1, seconds=1)
        outbox.sweep()
        states = {c.appointment_id: c.state for c in commands(clinic)}
        assert states == {row.id: State.WAITING, late.appointment_id: State.GIVEN_UP}
        over = clinic.book(clinic.slot(start=NOW + timedelta(hours=2)), number=3, now=NOW)
        calls = len(system.calls)
        clock.on(hours=2)
        outbox.deliver(
            clinic.hospital.id, next(c.id for c in commands(clinic) if c.appointment_id == over.appointment_id)
        )
        assert len(system.calls) == calls, "nobody can be seen in a slot that is over"
        clinic.settle()
        assert clinic.states() == ["pending", "refused", "refused"]


@pytest.mark.django_db()
def test_a_booking_given_up_that_may_have_arrived_is_undone_there_when_the_hospital_is_back() -> None:
    clinic, system = a_clinic(), HospitalSystem(["silent"] * 500)
    with systems(lake=system) as clock, patch.object(circuit, "check"), patch("companion.visits.on_hospital_event"):
        booked(clinic)
        outbox.sweep()
        clock.on(hours=24, seconds=1)
        outbox.sweep()
        system.script.clear()
        settle(clock)
        clinic.settle()
        assert [kind for kind, _appointment in system.done] == [CommandKind.BOOK, CommandKind.CANCEL]
        assert clinic.states() == ["refused"]


@pytest.mark.django_db()
@pytest.mark.parametrize("kind", [CommandKind.CHECK_IN, CommandKind.PAY, CommandKind.CANCEL])
def test_what_a_hospital_refused_can_be_asked_again_and_what_it_accepted_cannot(kind: CommandKind) -> None:
    clinic, system = a_clinic(), HospitalSystem(["well", "refuse"])
    with systems(lake=system) as clock:
        row = booked(clinic)
        outbox.sweep()
        for _ in range(2):
            clock.on(seconds=1)
            command(row, kind, "deed")
            command(row, kind, "deed")
            outbox.sweep()
        command(row, kind, "deed")
        made = [(c.idempotency_key, c.state) for c in commands(clinic)[1:]]
        assert made == [("deed", State.REFUSED), ("deed#2", State.ACCEPTED)]


@pytest.mark.django_db()
@pytest.mark.parametrize("kind", [CommandKind.CHECK_IN, CommandKind.PAY])
def test_what_was_given_up_and_asked_for_anew_is_not_sent_again_beside_it(kind: CommandKind) -> None:
    clinic, system = a_clinic(), HospitalSystem()
    with systems(lake=system) as clock:
        row = booked(clinic)
        outbox.sweep()
        clock.on(seconds=1)
        command(row, kind, "deed")
        first = commands(clinic)[1]
        with tenancy.scope(clinic.hospital.id):
            OutboxCommand.objects.filter(id=first.id).update(state=State.GIVEN_UP)
        clock.on(seconds=1)
        command(row, kind, "deed")
        assert not outbox.replay(clinic.hospital.id, first.id, actor=audit.SERVICE)
        settle(clock, rounds=1)
        assert [done for done, _appointment in system.done] == [CommandKind.BOOK, kind]


@pytest.mark.django_db()
def test_bills_whose_numbers_begin_alike_are_paid_each() -> None:
    clinic = a_clinic()
    with systems(lake=HospitalSystem()):
        row = booked(clinic)
        for bill in ("20260302#1", "20260302#2", "20260302", "x" * 80, "#" * 80):
            for _ in range(2):
                booking.pay(appointment_id=row.id, paid=paid(bill))
        told = [c.data["invoice_id"] for c in commands(clinic)[1:] if c.data]
        assert sorted(told) == sorted(["20260302#1", "20260302#2", "20260302", "x" * 80, "#" * 80])
        assert all(len(c.idempotency_key) <= 156 for c in commands(clinic))


@pytest.mark.django_db()
def test_an_answer_that_comes_after_the_end_changes_nothing() -> None:
    clinic, system = a_clinic(), HospitalSystem()
    with systems(lake=system):
        booked(clinic)
        (row,) = commands(clinic)
        with tenancy.scope(clinic.hospital.id):
            late = outbox._claim(row.id)
            OutboxCommand.objects.update(state=State.GIVEN_UP)
            assert late is not None
            outbox._end(late, State.ACCEPTED, "", reference="R9")
            outbox._later(late, "down", heard=True)
        assert commands(clinic)[0].state == State.GIVEN_UP


@pytest.mark.django_db()
def test_to_a_suspended_hospital_nothing_goes_until_it_is_back_and_to_one_that_left_never() -> None:
    clinic, system = a_clinic(), HospitalSystem()
    with systems(lake=system) as clock:
        row = booked(clinic)
        change(Hospital, clinic.hospital.id, state=Hospital.State.SUSPENDED)
        outbox.sweep()
        assert system.calls == [] and commands(clinic)[0].reason == "hospital_suspended"
        change(Hospital, clinic.hospital.id, state=Hospital.State.LIVE)
        settle(clock, rounds=1)
        assert len(system.done) == 1
        command(row, CommandKind.CHECK_IN, "check-in")
        change(Hospital, clinic.hospital.id, state=Hospital.State.LEFT)
        settle(clock, rounds=1)
        assert len(system.done) == 1 and commands(clinic)[1].state == State.GIVEN_UP


@pytest.mark.django_db()
@pytest.mark.parametrize("how", ["refuse", "refuse by error"])
def test_a_booking_the_hospital_will_not_have_is_told_and_its_place_given_back(how: str) -> None:
    clinic = a_clinic()
    with systems(lake=HospitalSystem([how])) as clock, patch("companion.visits.on_hospital_event") as told:
        row = booked(clinic)
        clock.on(seconds=1)
        outbox.sweep()
        clinic.settle()
        (event,) = [call.args[0] for call in told.call_args_list]
    assert event.type == "appointment.refused" and event.appointment_id == str(row.id)
    assert commands(clinic)[0].state == State.REFUSED
    assert clinic.states() == ["refused"]
    assert clinic.balance(row.slot)[0] == row.slot.capacity


@pytest.mark.django_db()
def test_a_system_that_is_down_costs_a_few_calls_and_another_hospital_nothing() -> None:
    ill, well = a_clinic("lake"), a_clinic("river")
    sick, sound = HospitalSystem(["down"] * 10_000), HospitalSystem()
    with systems(lake=sick, river=sound) as clock:
        for _ in range(30):
            booked_one = ill.book(ill.slot(of=ill.schedule()), uuid4(), number=len(commands(ill)) + 1, now=NOW)
            assert booked_one.appointment_id
        for _ in range(4):
            clock.on(seconds=1)
            outbox.sweep()
        assert len(sick.calls) == circuit.OPENS_AFTER, "the rest wait without a call"
        assert outbox.due() == [], "nobody's worker is kept with a hospital that is left alone"
        booked(well)
        clock.on(seconds=1)
        outbox.sweep()
        assert sound.done and [row.state for row in commands(well)] == [State.ACCEPTED]
        calls = len(sick.calls)
        clock.on(seconds=circuit.FIRST_REST_S + 1)
        assert len(outbox.due()) == 1
        outbox.sweep()
        assert len(sick.calls) == calls + 1, "one call looks whether it is well again"
        sick.script.clear()
        settle(clock)
        assert {row.state for row in commands(ill)} == {State.ACCEPTED}
        assert len(sick.done) == 30
    with tenancy.scope(well.hospital.id):
        assert not Circuit.objects.filter(hospital_id=well.hospital.id, failures__gt=0).exists()


@pytest.mark.django_db()
def test_when_it_answers_again_all_that_waited_follows_one_by_one_without_waiting_for_the_next_sweep() -> None:
    clinic, system = a_clinic(), HospitalSystem(["down"])
    with systems(lake=system) as clock, patch.object(outbox, "after_commit") as sent:
        for number in range(9):
            clinic.book(clinic.slot(of=clinic.schedule()), uuid4(), number=number + 1, now=NOW)
        sent.reset_mock()  # their own tasks, which a dead worker lost
        clock.on(seconds=1)
        assert outbox.sweep() == 3
        clock.on(seconds=600)
        ((first, *_),) = [outbox.due(each=1)]
        outbox.deliver(*first)
        while sent.called:
            task, *ids = sent.call_args.args
            assert task == "hospitals.tasks.deliver_command"
            sent.reset_mock()
            outbox.deliver(*map(UUID, ids))
        assert {row.state for row in commands(clinic)} == {State.ACCEPTED}
        assert len(system.done) == 9 and len(system.calls) == 10


@pytest.mark.django_db()
def test_a_connector_with_a_bug_does_not_stop_the_sweep_for_others() -> None:
    ill, well = a_clinic("lake"), a_clinic("river")
    with systems(lake=HospitalSystem(["broken"] * 9), river=HospitalSystem()) as clock:
        booked(ill)
        booked(well)
        clock.on(seconds=1)
        outbox.sweep()
        assert [row.state for row in commands(well)] == [State.ACCEPTED]
        assert [(row.state, row.reason) for row in commands(ill)] == [(State.WAITING, "connector_failed")]


@pytest.mark.django_db()
def test_a_command_that_is_being_sent_is_not_sent_by_another_worker_too() -> None:
    clinic, system = a_clinic(), HospitalSystem()
    with systems(lake=system) as clock:
        booked(clinic)
        (row,) = commands(clinic)
        clock.on(seconds=1)
        with tenancy.scope(clinic.hospital.id):
            assert outbox._claim(row.id) is not None
        assert not outbox.deliver(clinic.hospital.id, row.id)
        assert system.calls == []
        clock.on(seconds=outbox.CLAIM_S + 1)  # that worker died
        assert outbox.deliver(clinic.hospital.id, row.id)
        assert not outbox.deliver(clinic.hospital.id, row.id)
    assert len(system.done) == 1


@pytest.mark.django_db()
def test_a_command_that_another_worker_claims_meanwhile_is_not_put_back_in_the_queue() -> None:
    clinic, system = a_clinic(), HospitalSystem()
    with systems(lake=system) as clock:
        row = booked(clinic)
        clock.on(seconds=1)
        command(row, CommandKind.CHECK_IN, "check-in")
        first, second = commands(clinic)

        def the_earlier_one_ends_and_another_worker_claims(_earlier: Any) -> bool:
            OutboxCommand.objects.filter(id=first.id).update(state=State.ACCEPTED)
            taken = OutboxCommand.objects.filter(id=second.id)
            taken.update(next_attempt_at=clock.now + timedelta(seconds=outbox.CLAIM_S))
            return True

        with patch.object(QuerySet, "exists", the_earlier_one_ends_and_another_worker_claims):
            assert not outbox.deliver(clinic.hospital.id, second.id)
        clock.on(seconds=outbox.CLAIM_S - 1)
        assert not outbox.deliver(clinic.hospital.id, second.id) and system.calls == []


@pytest.mark.django_db()
def test_while_it_waits_the_truth_is_that_the_hospital_has_not_answered() -> None:
    clinic = a_clinic()
    with systems(lake=HospitalSystem(["down"])) as clock:
        row = booked(clinic)
        clock.on(seconds=1)
        outbox.sweep()
        with tenancy.scope(clinic.hospital.id):
            assert outbox.unsent(row.id) == ("book",)
            assert Appointment.objects.get(id=row.id).state == Appointment.State.PENDING


@pytest.mark.django_db()
def test_a_hospital_that_is_slow_to_answer_holds_few_of_a_process_s_threads_and_no_other_hospital_waits() -> None:
    clinic, other = a_clinic(), a_clinic("hill")
    lake, hill = HospitalSystem(), HospitalSystem()
    with systems(lake=lake, hill=hill) as clock:
        mine, theirs = booked(clinic), booked(other)
        clock.on(seconds=1)
        with ExitStack() as under_way:
            for _ in range(circuit.AT_ONCE):
                under_way.enter_context(circuit.place(clinic.hospital.id))
            assert outbox.sweep() == 1
            assert (lake.done, len(hill.done)) == ([], 1)
        assert outbox.sweep() == 1  # it stayed due, and no attempt was counted
        (sent,) = commands(clinic)
        assert (sent.state, sent.attempts) == (State.ACCEPTED, 1)
    assert mine.id != theirs.id


@pytest.mark.django_db()
def test_a_hospital_for_which_much_waits_does_not_take_all_places_of_a_sweep() -> None:
    clinic, other = a_clinic(), a_clinic("hill")
    with systems(lake=HospitalSystem(), hill=HospitalSystem()) as clock:
        row = booked(clinic)
        for number in range(6):
            command(row, CommandKind.PAY, f"pay-{number}")
        clock.on(seconds=1)
        late = booked(other)
        clock.on(seconds=1)
        due = outbox.due(limit=4, each=3)
        assert [hospital for hospital, _ in due].count(clinic.hospital.id) == 3
        assert due[-1][0] == late.hospital_id
