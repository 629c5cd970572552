"""What every connector promises, whatever the hospital speaks: the sandbox, FHIR, HL7 v2.

Each way of connecting brings a ``Side``: the connector, the hospital behind it, and what to make that hospital do.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from hospitals.connectors.base import Acknowledgement, Command, CommandKind, Connector, PatientCard
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.hl7v2 import Hl7v2Connector
from hospitals.connectors.sandbox.connector import SandboxConnector
from hospitals.connectors.sandbox.desk import play_of
from hospitals.connectors.sandbox.models import SandboxClinic, SandboxMessage, SandboxSystem, SandboxVisit
from hospitals.exceptions import ConnectorRefused, ConnectorUnavailable, OutcomeUnknown
from hospitals.outgoing import Outgoing
from tests.hospitals.fhir_server import FhirServer
from tests.hospitals.mllp_peer import HisPeer

pytestmark = pytest.mark.django_db

CARD = PatientCard("林晓雨", "440000199001010000", "13800000000", date(1990, 1, 1), "female")
HOSPITAL = uuid.UUID(int=9)
LOCAL = {"networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}


@dataclass
class Side:
    """``state``: what the hospital holds of a visit; ``effects``: how often it has acted; ``slot``: a free one of its own."""

    connector: Connector
    impatient: Connector  # onto the same hospital, with a time-out of an instant
    slot: str
    state: Callable[[str], str]
    effects: Callable[[], int]
    refuse: Callable[[], None]
    silent: Callable[[], None]  # does what it is told, and does not answer
    heard: Callable[[], None]  # answers again
    down: Callable[[], None]
    bill: Callable[[], str]  # a bill of VISIT, by its id there


def sandbox() -> Iterator[Side]:
    system = SandboxSystem.objects.create(hospital_id=HOSPITAL, code="one", secret="whsec_AAAA", missed_rule="重新报到")
    room = {"room_code": "r1", "room_name": "诊室", "place": "2楼"}
    SandboxClinic.objects.create(system=system, department="eye", name="眼科", script="eye", **room)

    def breaks(how: str) -> Callable[[], None]:
        return lambda: SandboxSystem.objects.update(broken=how) and None

    names = {"off": "cancelled", "waiting": "arrived"}

    def state(visit: str) -> str:
        found = SandboxVisit.objects.filter(appointment_id=visit).first()
        return names.get(found.stage, found.stage) if found else ""

    yield Side(
        SandboxConnector(),
        SandboxConnector(),
        "eye.d1.20260302.0900",
        state,
        SandboxMessage.objects.count,
        breaks("refuse"),
        breaks("slow"),
        breaks(""),
        breaks("down"),
        lambda: play_of(SandboxVisit.objects.select_related("clinic__system").get()).invoices[0].id,
    )


def fhir() -> Iterator[Side]:
    server = FhirServer()
    server.slot("s1")

    def quick(policy: Any, **options: Any) -> Outgoing:
        return Outgoing(policy, attempts=1, **options)

    def state(visit: str) -> str:
        mine = [r for r in server.of_kind("Appointment") if r["identifier"][0]["value"] == visit]
        assert len(mine) <= 1
        return str(mine[0]["status"]) if mine else ""

    def silent() -> None:
        server.faults = ["", "", "silence after"]  # the slot and the patient are answered, the booking is not

    def bill() -> str:
        mine = [{"system": "urn:health-companion:appointment", "value": VISIT}]
        server.put({"resourceType": "Invoice", "id": "i1", "status": "issued", "identifier": mine})
        return "i1"

    yield Side(
        FhirConnector(base_url=server.base, outgoing=quick, **LOCAL),
        FhirConnector(base_url=server.base, outgoing=quick, read_s=0.3, **LOCAL),
        "s1",
        state,
        lambda: sum(len(versions) for key, versions in server.rows.items() if key.startswith("Appointment/")),
        lambda: setattr(server, "refuse_bookings", "这个号刚刚挂出去了"),
        silent,
        server.faults.clear,
        server.close,
        bill,
    )
    if server._thread.is_alive():
        server.close()


def hl7v2() -> Iterator[Side]:
    his = HisPeer()

    def connector(**options: Any) -> Hl7v2Connector:
        return Hl7v2Connector(host="127.0.0.1", port=his.port, tls=False, **LOCAL, **options)

    yield Side(
        connector(),
        connector(answer_s=0.3),
        "eye.d1.20260302.0900",
        lambda visit: his.appointments.get(visit, ""),
        lambda: len(his.done),
        lambda: setattr(his, "mood", "refuse"),
        lambda: setattr(his, "mood", "silence"),
        lambda: setattr(his, "mood", ""),
        his.close,
        lambda: "i1",
    )
    his.close()


@pytest.fixture(params=[sandbox, fhir, hl7v2], ids=lambda side: side.__name__)
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    yield from request.param()


VISIT = "22222222-2222-4222-8222-222222222222"


def command(side: Side, kind: CommandKind, visit: str = VISIT) -> Command:
    book = {"patient": CARD} if kind is CommandKind.BOOK else {}
    return Command(kind, f"{kind}:{visit}", HOSPITAL, visit, side.slot, **book)


def answered(side: Side, kind: CommandKind, visit: str = VISIT) -> Acknowledgement:
    """The answer, however the connector says no."""
    try:
        return side.connector.execute(command(side, kind, visit))
    except ConnectorRefused as refused:
        return Acknowledgement(accepted=False, reason=refused.detail)


def test_a_booking_is_accepted_and_known_there(side: Side) -> None:
    assert answered(side, CommandKind.BOOK).accepted
    assert side.state(VISIT) == "booked" and side.effects() == 1


def test_a_refusal_has_words_for_the_resident_and_no_effect(side: Side) -> None:
    side.refuse()
    answer = answered(side, CommandKind.BOOK)
    assert not answer.accepted and answer.reason
    assert side.state(VISIT) == "" and side.effects() == 0


def test_check_in(side: Side) -> None:
    answered(side, CommandKind.BOOK)
    assert answered(side, CommandKind.CHECK_IN).accepted and side.state(VISIT) == "arrived"


def test_cancel(side: Side) -> None:
    answered(side, CommandKind.BOOK)
    assert answered(side, CommandKind.CANCEL).accepted and side.state(VISIT) == "cancelled"


def test_pay_is_accepted_and_has_one_effect_however_often_it_is_sent(side: Side) -> None:
    answered(side, CommandKind.BOOK)
    paid = Command(CommandKind.PAY, "pay:1", HOSPITAL, VISIT, data={"invoice_id": side.bill(), "receipt": "T1"})
    assert side.connector.execute(paid).accepted
    effects = side.effects()
    assert all(side.connector.execute(paid).accepted for _ in range(2)) and side.effects() == effects


@pytest.mark.parametrize("kind", [CommandKind.CANCEL, CommandKind.CHECK_IN])
def test_a_visit_nobody_booked_is_refused_with_words(side: Side, kind: CommandKind) -> None:
    answer = answered(side, kind)
    assert not answer.accepted and answer.reason and side.effects() == 0


@pytest.mark.parametrize("kind", list(CommandKind)[:3])
def test_the_same_command_again_has_one_effect_and_is_accepted_each_time(side: Side, kind: CommandKind) -> None:
    first = answered(side, CommandKind.BOOK)
    if kind is not CommandKind.BOOK:
        first = answered(side, kind)
    state, effects = side.state(VISIT), side.effects()
    again = [answered(side, kind) for _ in range(3)]
    assert first.accepted and all(answer.accepted for answer in again)
    assert (side.state(VISIT), side.effects()) == (state, effects)


def test_silence_is_an_unknown_outcome_and_asking_again_settles_it(side: Side) -> None:
    side.silent()
    with pytest.raises(OutcomeUnknown) as unknown:
        side.impatient.execute(command(side, CommandKind.BOOK))
    assert unknown.value.retryable and unknown.value.code == "outcome_unknown"
    side.heard()
    assert answered(side, CommandKind.BOOK).accepted
    assert side.state(VISIT) == "booked" and side.effects() == 1


def test_a_system_that_is_down_got_nothing_and_is_tried_again(side: Side) -> None:
    side.down()
    with pytest.raises(ConnectorUnavailable) as down:
        side.connector.execute(command(side, CommandKind.BOOK))
    assert down.value.retryable and not isinstance(down.value, OutcomeUnknown)
