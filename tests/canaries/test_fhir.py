"""A FHIR hospital, both ways: what is asked of it with her card, and every resource that is read, full of canaries."""

import json
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import cache

from hospitals import tenancy
from hospitals.connectors.base import CommandKind
from hospitals.connectors.fhir import FhirConnector, connector
from hospitals.models import OutboxCommand
from hospitals.outgoing import Answer
from hospitals.services import circuit, connecting, outbox, polling
from tests.canaries import clear
from tests.canaries.places import Watch
from tests.canaries.visiting import a_visit, kept
from tests.canaries.words import ALL, NAME, PHONE, SYMPTOM
from tests.hospitals.fhir_server import START, FhirServer
from tests.hospitals.fhir_visit import LOCAL, VISIT, quick
from tests.hospitals.test_fhir_reading import Careless, spoiled, whole_visit

WORDS = {"text", "display", "name", "description", "conclusion", "patientInstruction", "valueString", "comment", "unit"}
READ = {*connector._SEARCHES, "Observation", "Location", "ChargeItem"}
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"details": {"text": ALL}, "diagnostics": ALL}]}


@pytest.fixture
def server(settings: Any) -> Iterator[FhirServer]:
    made = FhirServer()
    made.slot("s1")
    settings.HOSPITALS_CONNECTORS = {"one-fhir": {"BACKEND": "fhir", "OPTIONS": {"base_url": made.base, **LOCAL}}}
    connecting.forget()
    yield made
    connecting.forget()
    made.close()


def full(value: Any, name: str = "") -> Any:
    """The same resource with canaries for its words."""
    if isinstance(value, dict):
        return {key: full(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [full(inner, name) for inner in value]
    return ALL if isinstance(value, str) and name in WORDS else value


class Refusing:
    """Refuses everything with her words."""

    def __init__(self, status: int, body: bytes) -> None:
        self.answer = Answer(status, {"location": f"/{PHONE}", "etag": PHONE, "date": ALL}, body)

    def send(self, *_asked: Any, **_more: Any) -> Answer:
        return self.answer


def speaks(monkeypatch: pytest.MonkeyPatch, server: FhirServer, outgoing: Any) -> None:
    made = FhirConnector(base_url=server.base, outgoing=lambda *_a, **_o: outgoing, **LOCAL)
    monkeypatch.setattr(connecting, "connector", lambda _hospital: made)
    monkeypatch.setattr(circuit, "check", lambda _hospital_id: None)
    cache.clear()


def test_every_resource_that_is_read(watch: Watch, server: FhirServer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_visit(server, FhirConnector(base_url=server.base, outgoing=quick, **LOCAL))
    whole = {key: full(versions[-1]) for key, versions in server.rows.items()}
    assert {key.partition("/")[0] for key in whole} >= READ
    row = a_visit("one-fhir", UUID(VISIT))
    speaks(monkeypatch, server, Careless(whole))
    assert polling.poll(row.hospital_id, now=START) >= 6
    watch.work()
    chance = random.Random(7)
    for turn in range(60):
        key = sorted(whole)[turn % len(whole)]
        odd = spoiled(whole[key], chance)
        odd = {name: ALL if value in (None, "x", "") else value for name, value in odd.items()}
        speaks(monkeypatch, server, Careless({**whole, key: {**odd, "resourceType": key.split("/")[0]}}))
        polling.poll(row.hospital_id, now=START)
    for body in (json.dumps(OUTCOME).encode(), ALL.encode(), b'{"resourceType": "Bundle", "entry": "' + ALL.encode()):
        for status in (200, 400, 404, 500):
            speaks(monkeypatch, server, Refusing(status, body))
            polling.poll(row.hospital_id, now=START)
    watch.work()
    assert set(kept(row).values()) == {"done"}
    assert watch.found(clear.IDS) == {}


@pytest.mark.parametrize("kind", CommandKind)
def test_every_command_and_every_answer(
    watch: Watch, server: FhirServer, monkeypatch: pytest.MonkeyPatch, kind: CommandKind
) -> None:
    row = a_visit("one-fhir")
    speaks(monkeypatch, server, quick(connecting.policy("live")))
    outgoings: list[Any] = [Refusing(status, ALL.encode()) for status in (200, 500)]
    outgoings += [Refusing(status, json.dumps(OUTCOME).encode()) for status in (201, 400, 409, 412, 422)]
    for number, outgoing in enumerate(outgoings):
        speaks(monkeypatch, server, outgoing)
        with tenancy.scope(row.hospital_id):
            OutboxCommand.objects.update(state="given_up")
            type(row).objects.update(state="booked")
            data = {"invoice_id": "i1", "receipt": "t1", "reason": ALL, "said": f"{NAME}{SYMPTOM}"}
            made = outbox.put(row, kind, key=f"{kind}:{number}", data=data)
            command = OutboxCommand.objects.get(id=getattr(made, "id", made))
        outbox.deliver(row.hospital_id, command.id)
    watch.work()
    assert watch.found(clear.IDS) == {}
