"""Commands out as signed POSTs, each kind, and whatever a hospital's address answers."""

import json
from typing import Any

import pytest

from hospitals import tenancy
from hospitals.connectors.base import CommandKind
from hospitals.models import Delivery, OutboxCommand
from hospitals.outgoing import Answer, Outgoing
from hospitals.services import access, circuit, outbox, webhooks
from tests.canaries import clear
from tests.canaries.places import Watch
from tests.canaries.visiting import a_visit
from tests.canaries.words import ALL, PHONE, SYMPTOM
from tests.hospitals.joining import OFFICER, Joined, a_token
from tests.hospitals.pushing import endpoint

ANSWERS: list[tuple[int, bytes]] = [
    (200, json.dumps({"accepted": False, "reason": ALL}).encode()),
    (200, json.dumps({"accepted": True, "reference": "R1", ALL: PHONE}).encode()),
    (409, json.dumps({"reason": SYMPTOM}).encode()),
    (200, json.dumps({"accepted": ALL}).encode()),
    (200, ALL.encode()),
    (302, ALL.encode()),
    (422, ALL.encode("gbk")),
    (500, ALL.encode()),
]


def signed_up(row: Any) -> Joined:
    """This hospital with a client of its own, and an address for commands."""
    made = access.create_client(hospital_id=row.hospital_id, environment="live", actor=OFFICER)
    return Joined(row.hospital_id, row.hospital.code, "", made.client_id, "", a_token(made.client_id))


def test_every_command_and_whatever_is_answered(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    row = a_visit("push")
    monkeypatch.setattr(webhooks, "system_resolve", lambda _host, _port: ["1.1.1.1"])
    monkeypatch.setattr(circuit, "check", lambda _hospital_id: None)
    hospital = signed_up(row)
    assert endpoint(hospital).status_code == 201
    answers = iter([ALL])
    told: list[Any] = []

    def send(_self: Outgoing, *asked: Any, **more: Any) -> Answer:
        told.append((asked, more))
        status, body = next(answers)
        return Answer(status, {"location": f"https://x/{PHONE}", "x-said": PHONE}, body)

    monkeypatch.setattr(Outgoing, "send", send)
    for kind in CommandKind:
        answers = iter(ANSWERS)
        for number in range(len(ANSWERS)):
            with tenancy.scope(row.hospital_id):
                OutboxCommand.objects.update(state="given_up")
                type(row).objects.update(state="booked")
                data = {"invoice_id": "i1", "receipt": "t1", "reason": ALL}
                made = outbox.put(row, kind, key=f"{kind}:{number}", data=data)
                command = OutboxCommand.objects.get(id=getattr(made, "id", made))
            outbox.deliver(row.hospital_id, command.id)
    answers = iter(ANSWERS)
    for _ in ANSWERS:
        pinged = hospital.call("POST", "/webhooks/live/ping/")
        watch.answers[f"ping {len(told)}"] = pinged.content
    log = hospital.get("/deliveries/")
    watch.answers["deliveries"] = log.content
    watch.work()
    assert len(told) >= len(ANSWERS) * len(CommandKind), "each was sent"
    with tenancy.scope(row.hospital_id):
        assert Delivery.objects.count() == len(told)
    assert watch.found(clear.IDS) == {}
