"""Reading a FHIR server as it is: page by page, careless or spoiled, without one resource spoiling the others."""

import json
import random
from typing import Any
from uuid import uuid4

import pytest

from hospitals.addresses import Policy
from hospitals.connectors import codec
from hospitals.connectors.base import (
    Command,
    CommandKind,
    EventType,
)
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.fhir.client import FhirClient
from hospitals.exceptions import AddressRefused, ConnectorUnavailable
from hospitals.outgoing import Answer
from tests.hospitals.fhir_server import START, FhirServer
from tests.hospitals.fhir_visit import (
    BOOK,
    CARD,
    HOSPITAL,
    LOCAL,
    arrived,
    bill,
    quick,
)

E = EventType


def test_all_pages_are_read(server: FhirServer, hospital: FhirConnector) -> None:
    visits = [str(uuid4()) for _ in range(8)]
    for number, visit in enumerate(visits):
        server.slot(f"p{number}")
        hospital.execute(Command(CommandKind.BOOK, f"book:{visit}", HOSPITAL, visit, f"p{number}", CARD))
    assert {e.appointment_id for e in hospital.poll(HOSPITAL, START).events} == set(visits)


def test_a_page_on_another_server_is_not_read(server: FhirServer) -> None:
    for number in range(4):
        server.slot(f"p{number}")
    server.other_origin = "https://elsewhere.example"
    with pytest.raises(AddressRefused, match="other_origin"):
        list(FhirClient(quick(Policy.of(**LOCAL)), server.base).search("Slot", {}))


def test_one_unusable_resource_does_not_stop_the_others(server: FhirServer, hospital: FhirConnector) -> None:
    encounter = arrived(server, hospital)
    server.task(encounter, "queue", "accepted", ahead=-3, ticket="70")
    poll = hospital.poll(HOSPITAL, START)
    assert poll.unusable == 1 and [e.type for e in poll.events] == [E.APPOINTMENT_BOOKED]


def whole_visit(server: FhirServer, hospital: FhirConnector) -> None:
    """One of every kind of resource."""
    encounter = arrived(server, hospital)
    patient = f"Patient/{server.of_kind('Patient')[0]['id']}"
    bill(server)
    server.task(encounter, "examination", "requested", "t1", kind="imaging")
    server.task(encounter, "follow-up", "requested", "f1")
    server.change("Task/f1", restriction={"period": {"start": "2026-03-16"}})
    code = {"coding": [{"code": "1"}], "text": "x"}
    server.put({"resourceType": "Observation", "id": "o1", "status": "final", "code": code, "valueString": "1"})
    visit = {"encounter": {"reference": f"Encounter/{encounter}"}}
    result = [{"reference": "Observation/o1"}]
    server.put(
        {"resourceType": "DiagnosticReport", "id": "d1", "status": "final", "code": code, "result": result, **visit}
    )
    medicine = {"resourceType": "MedicationRequest", "id": "m1", "status": "active", "intent": "order", **visit}
    more = {"subject": {"reference": patient}, "medicationCodeableConcept": code, "dosageInstruction": [{"text": "x"}]}
    server.put({**medicine, **more, "groupIdentifier": {"value": "RX"}})


ODD = [
    None,
    "",
    "x",
    -1,
    1e400,
    True,
    [],
    {},
    [[]],
    ["x"],
    {"reference": 3},
    "9999-12-31T23:59:59-12:00",
    "0001-01-01T00:00:00Z",
]


def spoiled(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """The same with one thing in it replaced by something odd, or left out."""
    if isinstance(value, dict) and value and (depth == 0 or chance.random() < 0.8):
        key = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: spoiled(value[key], chance, depth + 1)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [*value[:place], spoiled(value[place], chance, depth + 1), *value[place + 1 :]]
    return chance.choice(ODD)


class Careless:
    """A server that checks nothing: every search finds all it has of that kind."""

    def __init__(self, rows: dict[str, Any]) -> None:
        self.rows = rows
        self.headers: dict[str, str] = {}

    def send(self, method: str, url: str, **_more: Any) -> Answer:
        path = url.partition("/fhir/")[2].partition("?")[0]
        if "/" in path:
            found = self.rows.get(path)
            return Answer(200 if path in self.rows else 404, {}, json.dumps(found).encode())
        entries = [{"resource": row} for key, row in self.rows.items() if key.startswith(path + "/")]
        return Answer(200, self.headers, json.dumps({"resourceType": "Bundle", "entry": entries}).encode())


def test_whatever_a_server_sends_one_spoiled_resource_spoils_no_other(
    server: FhirServer, hospital: FhirConnector, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is odd is counted or read as far as it goes; nothing is raised, and other people's visits are told."""
    whole_visit(server, hospital)
    server.slot("s2")
    other = str(uuid4())
    assert hospital.execute(Command(CommandKind.BOOK, "k2", HOSPITAL, other, "s2", CARD)).accepted
    whole = {key: versions[-1] for key, versions in server.rows.items()}
    mine = [key for key, row in whole.items() if other not in str(row)]
    chance = random.Random(11)
    told = unusable = 0
    for turn in range(1500):
        key = mine[turn % len(mine)]
        careless = Careless({**whole, key: {**spoiled(whole[key], chance), "resourceType": key.split("/")[0]}})
        poll = FhirConnector(base_url=server.base, outgoing=lambda *_a, it=careless, **_o: it, **LOCAL).poll(
            HOSPITAL, START
        )
        assert other in {event.appointment_id for event in poll.events}
        for event in poll.events:
            assert codec.parse_event(HOSPITAL, codec.dump_event(event)) == event
        told, unusable = told + len(poll.events), unusable + poll.unusable
    assert told > 10_000 and unusable > 200
    capsys.readouterr()


@pytest.mark.parametrize(
    "page",
    [
        {"entry": [{"resource": {"resourceType": "Appointment"}, "search": "match"}]},
        {"link": [{"relation": "next", "url": "http://["}]},
    ],
    ids=["mode", "link"],
)
def test_a_page_that_is_ill_formed_is_a_failed_poll(server: FhirServer, page: dict[str, Any]) -> None:
    class Gateway:
        def send(self, method: str, url: str, **_more: Any) -> Answer:
            return Answer(200, {}, json.dumps({"resourceType": "Bundle", **page}).encode())

    hospital = FhirConnector(base_url=server.base, outgoing=lambda *_a, **_o: Gateway(), **LOCAL)
    with pytest.raises(ConnectorUnavailable) as error:
        hospital.poll(HOSPITAL, START)
    assert error.value.code == "bad_answer"


def test_a_clock_of_no_zone_is_not_counted_with(server: FhirServer, hospital: FhirConnector) -> None:
    hospital.execute(BOOK)
    careless = Careless({key: versions[-1] for key, versions in server.rows.items()})
    careless.headers = {"date": "Mon, 02 Mar 2026 08:00:00 -0000"}
    poll = FhirConnector(base_url=server.base, outgoing=lambda *_a, **_o: careless, **LOCAL).poll(HOSPITAL, START)
    assert poll.events and poll.reached["Appointment"].replace(microsecond=0) == server.now


def test_a_search_that_the_server_refuses_is_a_failed_poll(server: FhirServer, hospital: FhirConnector) -> None:
    server.unsupported = "encounter:Encounter.appointment.identifier"
    with pytest.raises(ConnectorUnavailable) as error:
        hospital.poll(HOSPITAL, START)
    assert error.value.code == "http_400"
