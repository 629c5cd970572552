"""What breaks while it has somebody's words in hand says none of them: in no log line, task message, Redis key, error or dump.

Every door, operation by operation, is searched in tests/canaries, and whole processes in tests/scenario/test_canaries.py.
"""

import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
import structlog
from celery import current_app
from celery.signals import before_task_publish
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from companion.observability import LOGGING, DropArguments
from hospitals import tenancy
from hospitals.connectors import codec, push
from hospitals.connectors.base import Command, EventType
from hospitals.models import HospitalCredential, InboxEvent, OutboxCommand
from hospitals.services import connecting, outbox
from tests.companion.people import Person, id_number
from tests.embedded import ON_SERVICES
from tests.hospitals.clinics import NOW, Clinic, a_clinic
from tests.hospitals.joining import V1
from tests.hospitals.test_inbox_order import VISITS, OneVisit
from tests.scenario.test_canaries import everything_in
from tests.test_dump import dump

pytestmark = pytest.mark.django_db(transaction=True)
CANARIES = {
    "name": "金丝雀林小棠",
    "id number": "990101196101150028",
    "card number": id_number("19610115", "002"),
    "phone": "13900007788",
    "symptom": "金丝雀右侧头疼三天",
}
ALL = "、".join(CANARIES.values())


def found_in(text: str) -> list[str]:
    """As it is, escaped in JSON, and as hex."""
    text = text.lower()
    return [
        what
        for what, canary in CANARIES.items()
        if any(form.lower() in text for form in (canary, json.dumps(canary)[1:-1], canary.encode().hex()))
    ]


@pytest.fixture()
def logs() -> Iterator[io.StringIO]:
    """What the service's handlers write, with its own formatter and filter."""
    out = io.StringIO()
    shape: Any = LOGGING
    chosen = shape["formatters"]["json"]
    added = []
    for name in ("", *(name for name, way in shape["loggers"].items() if way["handlers"])):
        handler = logging.StreamHandler(out)
        handler.setFormatter(structlog.stdlib.ProcessorFormatter(**{k: v for k, v in chosen.items() if k != "()"}))
        if not name:
            handler.addFilter(DropArguments())
        logging.getLogger(name).addHandler(handler)
        added.append((name, handler))
    yield out
    for name, handler in added:
        logging.getLogger(name).removeHandler(handler)


@pytest.fixture()
def sent() -> Iterator[list[tuple[str, Any]]]:
    """Each task message as it goes to the broker: its name, and body with headers."""
    messages: list[tuple[str, Any]] = []

    def publish(sender: str, body: Any, headers: Any, **_more: Any) -> None:
        messages.append((sender, (body, headers)))

    before_task_publish.connect(publish)
    yield messages
    before_task_publish.disconnect(publish)


def work(messages: list[tuple[str, Any]]) -> None:
    """Do what was sent, as a worker would, until nothing more comes."""
    done = 0
    while done < len(messages):
        name, (body, _headers) = messages[done]
        done += 1
        current_app.tasks[name].apply(args=body[0], kwargs=body[1])


def in_redis() -> str:
    return everything_in(redis.Redis.from_url(configured.REDIS_URL)).decode(errors="replace")


@pytest.fixture()
def clinic() -> Clinic:
    return a_clinic(code=f"lake-{uuid4().hex[:8]}")


@pytest.fixture()
def visit(clinic: Clinic) -> OneVisit:
    made = OneVisit(clinic, VISITS["the whole visit"])
    with tenancy.scope(made.hospital_id):
        HospitalCredential.objects.create(
            kind=HospitalCredential.Kind.EVENTS, secret=push.new_secret(), hospital=clinic.hospital
        )
    return made


def told(clinic: Clinic, visit: OneVisit, **changes: Any) -> Any:
    """A signed report about this visit, full of canaries, at the door."""
    line = {"code": "1", "name": CANARIES["symptom"], "value": CANARIES["phone"]}
    report = {"id": "d1", "name": ALL, "issued_at": NOW.isoformat(), "observations": [line], "conclusion": ALL}
    body = json.dumps(
        {
            "event_id": "canary",
            "type": EventType.REPORT_ISSUED.value,
            "appointment_id": visit.events[0].appointment_id,
            "sequence": 99,
            "occurred_at": NOW.isoformat(),
            "data": report,
        }
        | changes
    ).encode()
    with tenancy.scope(clinic.hospital.id):
        secret = HospitalCredential.objects.get().secret
    signed = push.sign(secret, "m-1", body) | {"hospital-code": clinic.hospital.code}
    return Client().post(f"{V1}/events/", body, content_type="application/json", headers=signed)


def nobody_told(logs: io.StringIO, sent: list[tuple[str, Any]]) -> None:
    assert found_in(logs.getvalue()) == []
    assert found_in(repr(sent)) == []
    if not ON_SERVICES:  # a shared Redis holds others' words too
        assert found_in(in_redis()) == []
    assert found_in(dump()) == []


def refuses_with_everything(*_given: Any) -> None:
    raise ValueError(ALL)


def test_the_search_finds_what_is_there() -> None:
    cache.set("canary", ALL, 5)
    assert ON_SERVICES or found_in(in_redis()) == list(CANARIES)
    cache.delete("canary")
    User.objects.create(username="canary", first_name=CANARIES["phone"])
    assert found_in(dump()) == ["phone"]


def test_a_report_that_comes_in(
    clinic: Clinic, visit: OneVisit, logs: io.StringIO, sent: list[tuple[str, Any]]
) -> None:
    assert told(clinic, visit).status_code == 202
    work(sent)
    with tenancy.scope(clinic.hospital.id):
        assert InboxEvent.objects.get(event_id="canary").state == InboxEvent.State.DONE
    assert "hospitals.tasks.hand_over" in dict(sent)
    nobody_told(logs, sent)


def test_a_report_on_which_the_visit_breaks(
    clinic: Clinic, visit: OneVisit, logs: io.StringIO, sent: list[tuple[str, Any]], settings: Any
) -> None:
    settings.HOSPITALS_EVENT_SINK = f"{__name__}.refuses_with_everything"
    assert told(clinic, visit).status_code == 202
    work(sent)
    assert "event_waits" in logs.getvalue()
    nobody_told(logs, sent)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"name": ALL}},
        {"type": ALL},
        {"event_id": CANARIES["symptom"] + " "},
        {"appointment_id": CANARIES["phone"]},
        {CANARIES["name"]: ALL},
        {"sequence": CANARIES["id number"]},
    ],
)
def test_an_event_that_is_refused(
    clinic: Clinic,
    visit: OneVisit,
    logs: io.StringIO,
    sent: list[tuple[str, Any]],
    changes: dict[str, Any],
) -> None:
    answer = told(clinic, visit, **changes)
    assert 400 <= answer.status_code < 500
    assert found_in(answer.content.decode()) == []
    assert found_in(logs.getvalue()) == []
    assert found_in(repr(sent)) == []


def test_a_booking_whose_connector_breaks_quoting_the_card(
    clinic: Clinic, logs: io.StringIO, sent: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Quoting:
        def execute(self, command: Command) -> None:
            raise RuntimeError(f"{command!r} {ALL}")

    monkeypatch.setattr(connecting, "connector", lambda _hospital: Quoting())
    clinic.book(clinic.slot(of=clinic.schedule(), start=timezone.now() + timedelta(days=1)), now=NOW)
    work(sent)
    outbox.sweep()
    with tenancy.scope(clinic.hospital.id):
        assert OutboxCommand.objects.get().reason == "connector_failed"
    assert "connector_failed" in logs.getvalue()
    nobody_told(logs, sent)


def test_a_resident_s_real_name_card_and_her_family_s(logs: io.StringIO, sent: list[tuple[str, Any]]) -> None:
    """Filled, refused, changed, removed, and asked for: by every address of hers, also where it does not belong."""
    said = {"name": CANARIES["name"], "phone": CANARIES["phone"], "id_number": CANARIES["card number"]}
    mine, child = Person("c1", filled=False), {"relation": "child", "guardian": True}
    born = {"document": "passport", "birth_date": "2020-01-02"}
    answers = [
        mine.call("post", "people/", said | {"relation": "self"}),
        mine.call("post", "people/", {**said, **child, **born, "id_number": CANARIES["phone"]}),
        mine.call("post", "people/", {**said, "id_number": CANARIES["id number"], **child}),
        mine.call("post", "people/", {"relation": ALL, "name": ALL, "id_number": ALL, "phone": ALL, ALL: ALL}),
        mine.call("patch", f"people/{mine.patient.id}/", said | {"version": 2}),
        mine.call("patch", f"people/{mine.patient.id}/", {"phone": CANARIES["symptom"], "version": 3}),
        mine.call("post", "people/invitations/", {"relation": CANARIES["name"]}),
        mine.call("get", f"people/invitations/{CANARIES['phone']}/"),
        mine.call("get", "people/"),
        mine.call("delete", f"people/{mine.patient.id}/"),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 400, 400, 200, 400, 400, 404, 200, 204]
    told = "".join(answer.content.decode() for answer in answers)
    assert found_in(told) == ["name"]  # her own name comes back to her; no number does
    nobody_told(logs, sent)


def test_a_body_is_encrypted_and_comes_back(clinic: Clinic, visit: OneVisit) -> None:
    assert told(clinic, visit).status_code == 202
    with tenancy.scope(clinic.hospital.id):
        row = InboxEvent.objects.get(event_id="canary")
    assert getattr(codec.parse_event(clinic.hospital.id, row.body.encode()).data, "conclusion", "") == ALL
