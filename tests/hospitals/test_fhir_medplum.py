"""The connector at a FHIR server that others made: the whole visit, pages, versions, signing in."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hospitals.addresses import Policy
from hospitals.connectors.base import Command, CommandKind, EventType
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.fhir.client import FhirClient, NotOne
from hospitals.exceptions import ConnectorRefused, ConnectorUnavailable
from hospitals.outgoing import Answer
from tests.hospitals.fhir_script import Tape, Visit, on_sale
from tests.hospitals.fhir_visit import BOOK, CANCEL, CARD, CHECK_IN, HOSPITAL, LOCAL, VISIT, command, quick
from tests.hospitals.medplum_peer import MedplumPeer, needs_medplum
from tests.hospitals.test_fhir_sign_in import pem

pytestmark = needs_medplum
E = EventType
KEYS: dict[str, Any] = {
    "RS384": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
}


@pytest.fixture
def peer(medplum: MedplumPeer) -> MedplumPeer:
    medplum.begin()
    on_sale(medplum)
    return medplum


@pytest.fixture
def tape(peer: MedplumPeer) -> Tape:
    return Tape(peer)


@pytest.fixture
def hospital(peer: MedplumPeer, tape: Tape) -> FhirConnector:
    return FhirConnector(base_url=peer.base, outgoing=tape.outgoing, **LOCAL)


def asked(tape: Tape, method: str) -> int:
    return sum(exchange["asked"][0] == method for exchange in tape.exchanges)


def test_a_whole_visit(peer: MedplumPeer, hospital: FhirConnector) -> None:
    visit = Visit(peer, hospital)
    visit.whole()
    assert all(answer.accepted for answer in visit.answers)
    assert [kind for kind, _data in visit.told] == [
        E.APPOINTMENT_BOOKED,
        E.ENCOUNTER_CHECKED_IN,
        E.QUEUE_CHANGED,
        E.ENCOUNTER_CALLED,
        E.ENCOUNTER_STARTED,
        E.EXAMINATION_ORDERED,
        E.INVOICE_ISSUED,
        E.INVOICE_PAID,
        E.EXAMINATION_COMPLETED,
        E.REPORT_ISSUED,
        E.PRESCRIPTION_ISSUED,
        E.PRESCRIPTION_DISPENSED,
        E.FOLLOW_UP_PLANNED,
        E.ENCOUNTER_FINISHED,
        E.VISIT_CLOSED,
    ]
    assert peer.get("Invoice/i1")["status"] == "balanced"
    assert peer.get(f"Appointment/{visit.answers[0].reference}")["status"] == "arrived"
    assert len(peer.of_kind("Patient")) == len(peer.of_kind("Appointment")) == 1


def test_what_is_on_sale_is_read_over_all_pages(peer: MedplumPeer, hospital: FhirConnector) -> None:
    found = Visit(peer, hospital).offers()
    assert {slot.identifier: slot.free for slot in found.slots} == {f"s{n}": n != 4 for n in range(1, 8)}
    assert [half_day.period for half_day in found.half_days] == ["morning", "afternoon"]
    assert all((h.department, h.practitioner) == ("eye", "qian") for h in found.half_days) and not found.unusable


def test_every_search_of_a_visit_is_one_that_the_server_knows(peer: MedplumPeer, hospital: FhirConnector) -> None:
    steps = dict(hospital.probe())
    assert set(steps.values()) == {""} and {"metadata", "DiagnosticReport", "Slot"} <= set(steps)


def test_all_pages_of_changes_are_read_and_only_those_since(peer: MedplumPeer, hospital: FhirConnector) -> None:
    began = peer.now
    visits = [visit for visit, _reference in booked(peer, hospital)]
    assert [e.appointment_id for e in hospital.poll(HOSPITAL, began).events] == visits
    assert hospital.poll(HOSPITAL, peer.now + timedelta(minutes=2)).events == ()


def booked(peer: MedplumPeer, hospital: FhirConnector) -> list[tuple[str, str]]:
    """Five visits, more than a page, as the hospital has confirmed them: (visit, its Appointment)."""
    made = []
    for number in (1, 2, 3, 5, 6):
        visit = str(uuid4())
        command = Command(CommandKind.BOOK, f"book:{visit}", HOSPITAL, visit, f"s{number}", CARD)
        made.append((visit, f"Appointment/{hospital.execute(command).reference}"))
        peer.change(made[-1][1], status="booked")
    return made


class Between:
    """Calls out, after the first of whose searches for this kind the hospital writes something."""

    def __init__(self, kind: str, write: Callable[[], object]) -> None:
        self.kind, self.due = kind, [write]

    def outgoing(self, policy: Policy, **options: Any) -> "Between":
        self.inner = quick(policy, **options)
        return self

    def send(self, method: str, url: str, **more: Any) -> Answer:
        answer = self.inner.send(method, url, **more)
        if f"/{self.kind}?" in url and self.due:
            self.due.pop()()
        return answer


def test_a_resource_that_moves_while_pages_are_read_hides_no_other(peer: MedplumPeer, hospital: FhirConnector) -> None:
    began = peer.now
    made = booked(peer, hospital)
    between = Between("Appointment", lambda: peer.change(made[0][1], comment="请带病历"))
    reading = FhirConnector(base_url=peer.base, outgoing=between.outgoing, **LOCAL)
    assert {e.appointment_id for e in reading.poll(HOSPITAL, began).events} == {visit for visit, _reference in made}
    assert not between.due


class Interrupted:
    """Calls out, before whose first writes the hospital writes something itself."""

    def __init__(self, peer: MedplumPeer, reference: str, times: int) -> None:
        self.peer, self.reference, self.times = peer, reference, times

    def outgoing(self, policy: Policy, **options: Any) -> "Interrupted":
        self.inner = quick(policy, **options)
        return self

    def send(self, method: str, url: str, **more: Any) -> Answer:
        if method == "PUT" and self.times:
            self.times -= 1
            self.peer.change(self.reference, comment="请带病历")
        return self.inner.send(method, url, **more)


@pytest.mark.parametrize(("times", "accepted"), [(1, True), (9, False)])
def test_what_the_hospital_writes_meanwhile_is_not_overwritten(
    peer: MedplumPeer, hospital: FhirConnector, times: int, accepted: bool
) -> None:
    reference = f"Appointment/{hospital.execute(BOOK).reference}"
    between = Interrupted(peer, reference, times)
    busy = FhirConnector(base_url=peer.base, outgoing=between.outgoing, **LOCAL)
    if accepted:
        assert busy.execute(CHECK_IN).accepted
    else:
        with pytest.raises(ConnectorUnavailable, match="version_conflict"):
            busy.execute(CHECK_IN)
    row = peer.get(reference)
    assert row["comment"] == "请带病历" and row["status"] == ("arrived" if accepted else "proposed")


def test_cancelling_twice_writes_once(peer: MedplumPeer, hospital: FhirConnector, tape: Tape) -> None:
    reference = hospital.execute(BOOK).reference
    assert hospital.execute(CANCEL).accepted and hospital.execute(CANCEL).accepted
    assert asked(tape, "PUT") == 1 and not hospital.execute(CHECK_IN).accepted
    assert peer.get(f"Appointment/{reference}")["cancelationReason"]["text"] == "有事"


def test_what_is_not_there_is_refused_in_our_own_words(peer: MedplumPeer, hospital: FhirConnector) -> None:
    gone = hospital.execute(Command(CommandKind.BOOK, "k", HOSPITAL, VISIT, "nowhere", CARD))
    unknown = hospital.execute(command(CommandKind.PAY, invoice_id="nowhere", receipt="R-1"))
    assert (gone.accepted, gone.reason) == (False, "医院没有这个号源。")
    assert (unknown.accepted, unknown.reason) == (False, "没有这笔费用。")


def test_a_person_whom_the_hospital_holds_twice_is_sent_to_its_window(
    peer: MedplumPeer, hospital: FhirConnector
) -> None:
    for key in ("p1", "p2"):
        mine = [{"system": "urn:oid:2.16.156.10011.1.3", "value": CARD.id_number}]
        peer.put({"resourceType": "Patient", "id": key, "identifier": mine})
    with pytest.raises(NotOne) as error:
        hospital.execute(BOOK)
    assert "窗口" in error.value.detail and not peer.of_kind("Appointment")


def test_a_server_s_words_about_the_request_are_not_read_to_a_resident(peer: MedplumPeer) -> None:
    with pytest.raises(ConnectorRefused) as error:
        FhirClient(quick(Policy.of(**LOCAL)), peer.base).create({"resourceType": "Appointment"}, once="identifier=a|b")
    assert error.value.code == "http_400" and error.value.detail == ConnectorRefused.detail


# --- signing in -----------------------------------------------------------------------------------------------


@pytest.fixture(params=sorted(KEYS))
def closed(medplum: MedplumPeer, request: pytest.FixtureRequest) -> tuple[MedplumPeer, Any]:
    """A server that asks who is there, and the key that it knows."""
    key = KEYS[request.param]
    medplum.begin(key.public_key())
    on_sale(medplum)
    return medplum, key


def signed_in(peer: MedplumPeer, tape: Tape, folder: Path, key: Any, key_id: str = "k1") -> FhirConnector:
    (folder / "key.pem").write_bytes(pem(key))
    sign_in = {"token_url": peer.token_url, "client_id": "companion", "key_id": key_id}
    return FhirConnector(
        base_url=peer.base, key_file=str(folder / "key.pem"), outgoing=tape.outgoing, **sign_in, **LOCAL
    )


def test_our_assertion_satisfies_another_s_verifier_and_a_token_that_ended_is_renewed(
    closed: tuple[MedplumPeer, Any], tmp_path: Path
) -> None:
    peer, key = closed
    tape = Tape(peer)
    hospital = signed_in(peer, tape, tmp_path, key)
    assert hospital.execute(BOOK).accepted and hospital.execute(BOOK).accepted
    assert tape.tokens == 1
    peer.end_tokens()
    assert hospital.execute(CHECK_IN).accepted
    assert tape.tokens == 2 and [exchange["status"] for exchange in tape.exchanges].count(401) == 1


@pytest.mark.parametrize("wrong", ["key", "key id"])
def test_nobody_else_is_signed_in(closed: tuple[MedplumPeer, Any], tmp_path: Path, wrong: str) -> None:
    peer, key = closed
    if wrong == "key":
        rsa_key = isinstance(key, rsa.RSAPrivateKey)
        key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP384R1())
    hospital = signed_in(peer, Tape(peer), tmp_path, key, "k2" if wrong == "key id" else "k1")
    with pytest.raises(ConnectorUnavailable, match="sign_in_failed"):
        hospital.execute(BOOK)
    assert not peer.of_kind("Appointment")
