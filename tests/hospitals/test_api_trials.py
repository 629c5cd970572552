"""Test appointments and conformance runs over HTTP."""

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from hospitals import tenancy
from hospitals.connectors import push
from hospitals.models import Hospital, InboxEvent
from hospitals.services import inbox
from tests.hospitals.joining import Joined, fill, joined

pytestmark = pytest.mark.django_db


@pytest.fixture
def river() -> Joined:
    cache.clear()
    found = joined("river")
    fill(found)
    return found


def event(river: Joined, appointment_id: str, kind: str, sequence: int) -> Any:
    body = {
        "event_id": f"e-{sequence}",
        "type": kind,
        "appointment_id": appointment_id,
        "sequence": sequence,
        "occurred_at": timezone.now().isoformat(),
    }
    raw = json.dumps(body).encode()
    headers = push.sign(river.signing_secret, f"m-{sequence}", raw) | {"hospital-code": river.code}
    return Client().post("/api/hospitals/v1/events/", raw, content_type="application/json", headers=headers)


def test_an_event_for_a_test_appointment_is_seen_and_moves_it(river: Joined) -> None:
    made = river.call("POST", "/test-appointments/", {"slot": "T1"}).json()
    assert (made["slot"], made["state"], made["events"]) == ("T1", "pending", [])
    assert event(river, made["appointment_id"], "appointment.booked", 1).status_code == 202
    with tenancy.scope(river.hospital_id):
        row = InboxEvent.objects.get()
    inbox.handle(river.hospital_id, row.id)  # the worker's part
    seen = river.get(f"/test-appointments/{made['appointment_id']}/").json()
    assert seen["state"] == "booked"
    assert seen["events"] == [{"event_id": "e-1", "type": "appointment.booked", "sequence": 1, "state": "done"}]


def test_a_test_appointment_takes_a_place_and_needs_one(river: Joined) -> None:
    for left in range(4, -1, -1):
        assert river.call("POST", "/test-appointments/", {}).status_code == 201
        assert river.get("/directory/slots/T1/").json()["free"] == left
    answer = river.call("POST", "/test-appointments/", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_free_slot")


def test_the_same_key_makes_one_test_appointment(river: Joined) -> None:
    first, again = (river.call("POST", "/test-appointments/", {}, idempotency_key="k") for _ in range(2))
    assert first.json() == again.json()
    assert river.get("/directory/slots/T1/").json()["free"] == 4


def test_nothing_invented_in_a_live_hospital(river: Joined) -> None:
    Hospital.objects.filter(id=river.hospital_id).update(state="live")
    answer = river.call("POST", "/test-appointments/", {})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_in_sandbox")


def test_a_run_is_begun_read_and_looked_at(river: Joined) -> None:
    """This hospital has no system behind its connector: the run ends with what to mend."""
    started = river.call("POST", "/conformance-runs/")
    assert started.status_code == 201, started.content
    run = started.json()
    assert river.call("POST", "/conformance-runs/").json()["code"] == "run_in_progress"
    for _ in range(2):
        river.call("POST", f"/conformance-runs/{run['id']}/look/")
    looked = river.call("POST", f"/conformance-runs/{run['id']}/look/").json()
    assert looked == river.get(f"/conformance-runs/{run['id']}/").json()
    points = {point["id"]: point["passed"] for point in looked["points"]}
    assert points["directory"] is True and points["book_accepted"] is False
    assert looked["passed"] is False and looked["finished_at"]
