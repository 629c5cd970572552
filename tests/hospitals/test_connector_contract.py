"""What every connector promises, whatever the hospital speaks: the sandbox, FHIR, HL7 v2, signed POSTs.

Each way of connecting brings a ``Side``: the connector, the hospital behind it, and what to make that hospital do.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from hospitals.addresses import Policy
from hospitals.connectors.base import Acknowledgement, Command, CommandKind, Connector, PatientCard
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.hl7v2 import Hl7v2Connector
from hospitals.connectors.sandbox import desk
from hospitals.connectors.sandbox.connector import SandboxConnector
from hospitals.connectors.sandbox.models import SandboxClinic, SandboxMessage, SandboxSystem, SandboxVisit
from hospitals.connectors.webhook import WebhookConnector
from hospitals.exceptions import ConnectorRefused, ConnectorUnavailable, OutcomeUnknown
from hospitals.outgoing import Outgoing
from tests.hospitals.fhir_server import FhirServer
from tests.hospitals.fhir_visit import bill as fhir_bill
from tests.hospitals.mllp_peer import HisPeer
from tests.hospitals.paid import paid
from tests.hospitals.webhook_peer import WebhookPeer

pytestmark = pytest.mark.django_db

CARD = PatientCard("林晓雨", "440000199001010000", "13800000000", date(1990, 1, 1), "female")
HOSPITAL = uuid.UUID(int=9)
LOCAL = {"networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}


@dataclass
class Side:
    """``state``: what the hospital holds of a visit; ``effects``: how often it has acted; ``slot``: a free one of its own;
    ``bill``: it issues one for a visit and says its id; ``due``: for how much; ``paid``: whether it has the money.
    """

    connector: Connector
    impatient: Connector  # onto the same hospital, with a time-out of an instant
    slot: str
    state: Callable[[str], str]
    effects: Callable[[], int]
    refuse: Callable[[], None]
    silent: Callable[[], None]  # does what it is told, and does not answer
    heard: Callable[[], None]  # answers again
    down: Callable[[], None]
    bill: Callable[[str], str]
    paid: Callable[[str], bool]
    due: Callable[[], int] = lambda: 2000


def sandbox() -> Iterator[Side]:
    system = SandboxSystem.objects.create(hospital_id=HOSPITAL, code="one", secret="whsec_AAAA", missed_rule="重新报到")
    room = {"room_code": "r1", "room_name": "诊室", "place": "2楼"}
    SandboxClinic.objects.create(system=system, department="eye", name="眼科", script="eye", **room)

    def breaks(how: str) -> Callable[[], None]:
        return lambda: SandboxSystem.objects.update(broken=how) and None

    def visit_of(appointment: str) -> SandboxVisit:
        return SandboxVisit.objects.select_related("clinic__system").get(appointment_id=appointment)

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
        lambda visit: desk.play_of(visit_of(visit)).invoices[0].id,
        lambda bill: bill in SandboxVisit.objects.get().paid,
        lambda: sum(
            bill.self_pay_fen for visit in SandboxVisit.objects.all() for bill in desk.play_of(visit).invoices[:1]
        ),
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

    yield Side(
        FhirConnector(base_url=server.base, outgoing=quick, **LOCAL),
        FhirConnector(base_url=server.base, outgoing=quick, read_s=0.3, **LOCAL),
        "s1",
        state,
        lambda: sum(len(kept) for key, kept in server.rows.items() if key.startswith(("Appointment/", "Invoice/"))),
        lambda: setattr(server, "refuse_bookings", "这个号刚刚挂出去了"),
        silent,
        server.faults.clear,
        server.close,
        lambda _visit: str(fhir_bill(server)["id"]),
        lambda bill: server.get(f"Invoice/{bill}")["status"] == "balanced",
        lambda: 5205,
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
        lambda _visit: "B1",
        lambda bill: (
            bill in [message.first("FT1").field(3) for message in his.done.values() if message.kind == "DFT^P03"]
        ),
    )
    his.close()


def webhook() -> Iterator[Side]:
    peer = WebhookPeer()

    def connector(**options: Any) -> WebhookConnector:
        outgoing = Outgoing(Policy.of(**LOCAL), attempts=1, **options)
        return WebhookConnector(url=peer.url, secrets=[peer.secret], outgoing=outgoing)

    yield Side(
        connector(),
        connector(read_s=0.3),
        peer.slot,
        lambda visit: peer.visits.get(visit, ""),
        lambda: len(peer.done),
        lambda: peer.moods.append("refuse"),
        lambda: peer.moods.append("silence"),
        peer.moods.clear,
        peer.close,
        peer.bill,
        lambda bill: peer.paid[bill],
    )
    peer.close()


@pytest.fixture(params=[sandbox, fhir, hl7v2, webhook], ids=lambda side: side.__name__)
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    yield from request.param()


VISIT = "22222222-2222-4222-8222-222222222222"


def command(side: Side, kind: CommandKind, visit: str = VISIT, bill: str = "", more_fen: int = 0) -> Command:
    book: dict[str, Any] = {"patient": CARD} if kind is CommandKind.BOOK else {}
    data = paid(bill, side.due() + more_fen).as_data() if kind is CommandKind.PAY else {}
    return Command(kind, f"{kind}:{visit}", HOSPITAL, visit, side.slot, data=data, **book)


def answered(side: Side, kind: CommandKind, visit: str = VISIT, bill: str = "", more_fen: int = 0) -> Acknowledgement:
    """The answer, however the connector says no."""
    try:
        return side.connector.execute(command(side, kind, visit, bill, more_fen))
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


@pytest.mark.parametrize("kind", list(CommandKind)[1:])
def test_a_visit_nobody_booked_is_refused_with_words(side: Side, kind: CommandKind) -> None:
    answer = answered(side, kind, bill="B0")
    assert not answer.accepted and answer.reason and side.effects() == 0


def test_pay(side: Side) -> None:
    answered(side, CommandKind.BOOK)
    bill = side.bill(VISIT)
    assert not side.paid(bill)
    assert answered(side, CommandKind.PAY, bill=bill).accepted and side.paid(bill)
    assert side.state(VISIT) == "booked"


@pytest.mark.parametrize("more_fen", [-1, 1])
def test_a_bill_that_has_another_sum_by_now_is_not_paid_with_what_came_for_the_first(side: Side, more_fen: int) -> None:
    answered(side, CommandKind.BOOK)
    bill = side.bill(VISIT)
    answer = answered(side, CommandKind.PAY, bill=bill, more_fen=more_fen)
    assert not answer.accepted and answer.reason and not side.paid(bill)


@pytest.mark.parametrize("kind", list(CommandKind))
def test_the_same_command_again_has_one_effect_and_is_accepted_each_time(side: Side, kind: CommandKind) -> None:
    first = answered(side, CommandKind.BOOK)
    bill = side.bill(VISIT) if kind is CommandKind.PAY else ""
    if kind is not CommandKind.BOOK:
        first = answered(side, kind, bill=bill)
    state, effects = side.state(VISIT), side.effects()
    again = [answered(side, kind, bill=bill) for _ in range(3)]
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
