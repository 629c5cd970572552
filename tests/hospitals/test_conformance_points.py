"""A hospital with exactly one fault fails exactly that point of the conformance run, and is told what to mend."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from hospitals import tenancy
from hospitals.connectors import push
from hospitals.connectors.base import Acknowledgement, Command, CommandKind
from hospitals.connectors.sandbox import sending
from hospitals.connectors.sandbox.connector import SandboxConnector
from hospitals.exceptions import AddressRefused, ConnectorUnavailable
from hospitals.models import ConformanceRun, InboxEvent, Practitioner
from hospitals.services import conformance, connecting, inbox
from hospitals.services.conformance_checks import BROKEN
from hospitals.services.conformance_points import NOT_REACHED, POINTS
from tests.hospitals.joining import OFFICER
from tests.hospitals.test_conformance import ID, _ready, province, run

__all__ = ["_ready", "province", "run"]  # fixtures
pytestmark = pytest.mark.django_db
Run = Callable[..., ConformanceRun]
Event = dict[str, Any]

YES, NO = Acknowledgement(accepted=True, reference="R"), Acknowledgement(accepted=False, reason="不行")


@dataclass(frozen=True)
class Fault:
    """``command``: (command, which time its key comes) → its answer, not acted on; None: the right one.

    ``event``: what it sends in place of an event.
    """

    command: Callable[[Command, int], Acknowledgement | None] = lambda command, time: None
    event: Callable[[Event], list[Event]] = lambda event: [event]


def refuses(kind: CommandKind, *, again: bool = False) -> Fault:
    """A no to the visit's own command; ``again``: to its repetition only."""

    def no(command: Command, time: int) -> Acknowledgement | None:
        real = command.slot_identifier != conformance.NO_SLOT and command.data.get("invoice_id") != "no-such-bill"
        return NO if command.kind is kind and real and (time > 1 or not again) else None

    return Fault(no)


def accepts(wrong: Callable[[Command], bool]) -> Fault:
    return Fault(lambda command, time: YES if wrong(command) else None)


def never_sends(kind: str) -> Fault:
    return Fault(event=lambda event: [] if event["type"] == kind else [event])


def changes(kind: str, **values: Any) -> Fault:
    return Fault(event=lambda event: [event | values if event["type"] == kind else event])


def sends_twice(kind: str) -> Fault:
    def twice(event: Event) -> list[Event]:
        later = event | {"event_id": event["event_id"] + ".2", "sequence": event["sequence"] + 1000}
        return [event, later] if event["type"] == kind else [event]

    return Fault(event=twice)


def another_room(event: Event) -> list[Event]:
    at_room = event["type"] == "encounter.called"
    return [event | {"data": event["data"] | {"room_code": "ZZ-99-99"}} if at_room else event]


def an_hour_off(event: Event) -> list[Event]:
    then = datetime.fromisoformat(event["occurred_at"]) - timedelta(hours=1)
    return [event | {"occurred_at": then.isoformat()} if event["type"] == "encounter.called" else event]


def new_reference(command: Command, time: int) -> Acknowledgement | None:
    return replace(YES, reference=f"R{time}") if command.kind is CommandKind.BOOK and time > 1 else None


FAULTS: dict[str, list[Fault]] = {
    "book_accepted": [refuses(CommandKind.BOOK)],
    "book_repeated": [Fault(new_reference), sends_twice("appointment.booked")],
    "unknown_slot": [
        accepts(lambda c: c.slot_identifier == conformance.NO_SLOT),
        Fault(lambda c, time: silence() if c.slot_identifier == conformance.NO_SLOT else None),
    ],
    "unknown_patient": [accepts(lambda c: c.appointment_id == Faulty.stranger and c.kind is CommandKind.CHECK_IN)],
    "booked_event": [never_sends("appointment.booked")],
    "check_in_accepted": [refuses(CommandKind.CHECK_IN)],
    "checked_in_event": [never_sends("encounter.checked_in")],
    "check_in_repeated": [refuses(CommandKind.CHECK_IN, again=True)],
    "called_event": [never_sends("encounter.called")],
    "started_event": [never_sends("encounter.started")],
    "finished_event": [never_sends("encounter.finished")],
    "invoice_event": [never_sends("invoice.issued")],
    "other_sum": [
        accepts(lambda c: other_sum(c)),
        Fault(lambda c, time: silence() if other_sum(c) else None),
    ],
    "pay_accepted": [refuses(CommandKind.PAY)],
    "paid_event": [never_sends("invoice.paid")],
    "pay_repeated": [refuses(CommandKind.PAY, again=True), sends_twice("invoice.paid")],
    "unknown_invoice": [accepts(lambda c: c.data.get("invoice_id") == "no-such-bill")],
    "closed_event": [never_sends("visit.closed")],
    "cancel_accepted": [refuses(CommandKind.CANCEL)],
    "cancel_repeated": [refuses(CommandKind.CANCEL, again=True)],
    "cancelled_event": [never_sends("appointment.cancelled")],
    "late_cancel": [accepts(lambda c: c.kind is CommandKind.CANCEL and c.appointment_id == Faulty.visit)],
    "order": [changes("visit.closed", sequence=1)],
    "clock": [Fault(event=an_hour_off)],
    "rooms": [Fault(event=another_room)],
}


def other_sum(command: Command) -> bool:
    """Whether another sum than any bill's is paid: what the sandbox's own bills ask for is no secret to it."""
    return command.idempotency_key.endswith(":other-sum")


def silence() -> Acknowledgement:
    raise ConnectorUnavailable


class Faulty(SandboxConnector):
    """The sandbox with one fault. ``visit``, ``stranger``: the run's appointments, as soon as they are known."""

    fault = Fault()
    visit = stranger = ""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()

    def execute(self, command: Command) -> Acknowledgement:
        kind = type(self)
        if command.kind is CommandKind.BOOK and command.slot_identifier != conformance.NO_SLOT:
            kind.visit = kind.visit or command.appointment_id
        if command.slot_identifier == conformance.NO_SLOT:
            kind.stranger = command.appointment_id
        self.times[command.idempotency_key] += 1
        return kind.fault.command(command, self.times[command.idempotency_key]) or super().execute(command)


@pytest.fixture
def hospital_with(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Fault], None]:
    settings.HOSPITALS_CONNECTORS = {"sandbox": {"BACKEND": f"{__name__}.Faulty", "OPTIONS": {}}}

    def put(fault: Fault) -> None:
        connecting.forget()
        for name, value in (("fault", fault), ("visit", ""), ("stranger", "")):
            monkeypatch.setattr(Faulty, name, value)

        def send(system: Any, row: Any) -> None:
            for event in fault.event(json.loads(row.body)):
                body = json.dumps(event).encode()
                headers = push.sign(system.secret, event["event_id"], body)
                inbox.accept(hospital_id=row.hospital_id, body=body, headers=headers)

        monkeypatch.setattr(sending, "_send", send)

    return put


def to_the_end(found: ConformanceRun) -> ConformanceRun:
    """What has not come by now never comes."""
    if found.finished_at is None:
        with tenancy.scope(ID):
            ConformanceRun.objects.filter(id=found.id).update(started_at=timezone.now() - timedelta(hours=3))
        found = conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER)
    assert found.finished_at is not None
    return found


def only_cause(found: ConformanceRun) -> str:
    """The one point that failed for itself; every failed one says what to mend."""
    failed = [point for point in found.points if not point["passed"]]
    assert found.passed is (not failed) and all(point["mend"] for point in failed)
    causes = [point["id"] for point in failed if point["detail"] != NOT_REACHED]
    assert len(causes) == 1, causes
    return causes[0]


CASES = [(point, number) for point, faults in FAULTS.items() for number in range(len(faults))]


@pytest.mark.parametrize(("point", "number"), CASES)
def test_one_fault_fails_one_point(run: Run, hospital_with: Callable[[Fault], None], point: str, number: int) -> None:
    hospital_with(FAULTS[point][number])
    assert only_cause(to_the_end(run(looks=30))) == point


def test_no_fault_fails_none(run: Run, hospital_with: Callable[[Fault], None]) -> None:
    hospital_with(Fault())
    assert run().passed


def test_a_slow_answer_fails_its_point(run: Run, hospital_with: Callable[[Fault], None]) -> None:
    clock = [0.0]

    def slow(command: Command, time: int) -> None:
        clock[0] += 11 * (command.kind is CommandKind.CHECK_IN and time == 1)

    hospital_with(Fault(slow))
    assert only_cause(run(now_s=lambda: clock[0])) == "answers_in_time"


def test_a_time_out_that_is_made_good_fails_nothing(run: Run, hospital_with: Callable[[Fault], None]) -> None:
    """No answer the first time: the same command comes again with the same key."""

    def once(command: Command, time: int) -> Acknowledgement | None:
        return silence() if command.kind is CommandKind.CHECK_IN and time == 1 else None

    hospital_with(Fault(once))
    assert run().passed


def test_a_directory_that_empties_fails_its_point(run: Run, hospital_with: Callable[[Fault], None]) -> None:
    hospital_with(Fault())
    found = run(looks=0)
    with tenancy.scope(ID):
        assert Practitioner.objects.filter(hospital_id=ID).update(withdrawn_at=timezone.now())
    found = conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER)
    assert only_cause(found) == "directory"


def test_a_dead_letter_fails_its_point(
    run: Run, hospital_with: Callable[[Fault], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def twisted(event: Event) -> list[Event]:
        with tenancy.scope(ID):
            InboxEvent.objects.filter(appointment_key=Faulty.visit, type="appointment.booked").update(state="dead")
        return [event]

    hospital_with(Fault(event=twisted))
    assert only_cause(run()) == "no_dead_letters"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AddressRefused(), "address_refused"),
        (KeyError("a connector's own mistake"), "connector_failed"),
        (ConnectorUnavailable(code="connector_misconfigured"), "connector_misconfigured"),
    ],
)
@pytest.mark.parametrize("kind", [CommandKind.BOOK, CommandKind.PAY])
def test_a_command_that_cannot_be_sent_ends_the_run_and_says_what_to_mend(
    run: Run, hospital_with: Callable[[Fault], None], error: Exception, code: str, kind: CommandKind
) -> None:
    def fails(command: Command, time: int) -> None:
        if command.kind is kind:
            raise error

    hospital_with(Fault(fails))
    found = run()
    assert only_cause(found) == "delivered"
    assert found.points[0]["mend"] == BROKEN[code]
    assert conformance.start(hospital_id=ID, actor=OFFICER).finished_at is None  # nothing is left open


@pytest.mark.parametrize("code", ["no_connection", "private_address", "sign_in_failed"])
def test_a_system_that_is_never_reached_is_not_called_delivered(
    run: Run, hospital_with: Callable[[Fault], None], code: str
) -> None:
    """Not one command arrived: the address is to be mended, not what the system answers."""

    def nobody_there(command: Command, time: int) -> None:
        raise ConnectorUnavailable(code=code)

    hospital_with(Fault(nobody_there))
    found = run(looks=1)
    assert found.points[0]["passed"] is None and code in found.points[0]["detail"]  # told before the last try
    for _ in range(2):
        found = conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER)
    assert only_cause(found) == "delivered"
    assert found.points[0]["mend"] != BROKEN["connector_failed"] and code in found.points[0]["detail"]


def test_an_answer_that_cannot_be_used_is_named(run: Run, hospital_with: Callable[[Fault], None]) -> None:
    """The system was reached: what it answered is in the report as the log of deliveries has it."""

    def broken(command: Command, time: int) -> None:
        if command.kind is CommandKind.CHECK_IN and command.appointment_id != Faulty.stranger:
            raise ConnectorUnavailable(code="http_500")

    hospital_with(Fault(broken))
    found = run()
    assert only_cause(found) == "check_in_accepted"
    (point,) = [one for one in found.points if one["id"] == "check_in_accepted"]
    assert "http_500" in point["detail"]


def test_each_point_has_a_hospital_that_fails_it() -> None:
    tried_above = {"delivered", "directory", "answers_in_time", "no_dead_letters"}
    assert {point.id for point in POINTS} == set(FAULTS) | tried_above
