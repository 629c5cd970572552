"""Test appointments and conformance runs over HTTP."""

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from hospitals import tasks, tenancy
from hospitals.connectors import push
from hospitals.models import ConformanceRun, Hospital, InboxEvent
from hospitals.services import conformance, idempotency, inbox, rehearsal
from tests.hospitals.joining import Joined, fill, joined
from tests.hospitals.own_rows import change

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


def test_a_process_killed_between_the_deed_and_its_answer_leaves_neither_and_the_key_is_free(
    river: Joined, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing of ours runs after it, as after kill -9."""

    def killed(*_given: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "finish", killed)
        with pytest.raises(Killed):
            river.call("POST", "/test-appointments/", {}, idempotency_key="k")
    assert river.get("/directory/slots/T1/").json()["free"] == 5
    answers = [river.call("POST", "/test-appointments/", {}, idempotency_key="k") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201] and answers[0].json() == answers[1].json()
    assert river.get("/directory/slots/T1/").json()["free"] == 4


def test_nothing_invented_in_a_live_hospital(river: Joined) -> None:
    change(Hospital, river.hospital_id, state="live")
    answer = river.call("POST", "/test-appointments/", {})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_in_sandbox")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Tasks that a worker would do: (name, *arguments)."""
    found: list[tuple[str, ...]] = []
    monkeypatch.setattr(conformance, "after_commit", lambda *task: found.append(task))
    return found


def test_no_call_to_the_hospital_is_made_in_a_request(
    river: Joined, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "_execute", None)
    run = river.call("POST", "/conformance-runs/").json()
    river.call("POST", f"/conformance-runs/{run['id']}/look/")
    assert river.get(f"/conformance-runs/{run['id']}/").json()["passed"] is None


def test_a_run_is_ended(river: Joined, sent: list[Any]) -> None:
    run = river.call("POST", "/conformance-runs/").json()
    assert river.get("/directory/slots/T1/").json()["free"] == 3
    ended = river.call("POST", f"/conformance-runs/{run['id']}/abort/")
    assert (ended.status_code, ended.json()["passed"], ended.json()["looking"]) == (200, False, False)
    assert river.get("/directory/slots/T1/").json()["free"] == 5
    assert river.call("POST", "/conformance-runs/").status_code == 202


def test_runs_are_listed_the_newest_first_and_page_by_page(river: Joined) -> None:
    begun = []
    for _ in range(3):
        begun.append(river.call("POST", "/conformance-runs/").json())
        river.call("POST", f"/conformance-runs/{begun[-1]['id']}/abort/")
    first = river.get("/conformance-runs/?limit=2").json()
    then = river.get(f"/conformance-runs/?limit=2&cursor={first['cursor']}").json()
    assert [run["id"] for run in first["items"] + then["items"]] == [run["id"] for run in reversed(begun)]
    assert (first["more"], then["more"]) == (True, False)
    assert "points" not in first["items"][0] and first["items"][0]["passed"] is False
    assert river.get("/conformance-runs/?limit=0").json()["code"] == "invalid_input"


def test_an_ended_test_appointment_gives_its_place_back_once(river: Joined) -> None:
    made = river.call("POST", "/test-appointments/", {}).json()
    for _ in range(2):
        assert river.call("DELETE", f"/test-appointments/{made['appointment_id']}/").status_code == 204
        assert river.get("/directory/slots/T1/").json()["free"] == 5
    assert event(river, made["appointment_id"], "appointment.booked", 1).status_code == 202
    assert river.get(f"/test-appointments/{made['appointment_id']}/").json()["state"] == "cancelled"


def test_too_many_stand_only_while_they_take_a_place(river: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "KEPT_MOST", 1)
    made = river.call("POST", "/test-appointments/", {}).json()
    assert river.call("POST", "/test-appointments/", {}).json()["code"] == "too_many_test_appointments"
    river.call("DELETE", f"/test-appointments/{made['appointment_id']}/")
    assert river.call("POST", "/test-appointments/", {}).status_code == 201


@pytest.fixture
def without_redis(settings: Any) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}}


def test_nothing_is_begun_while_no_worker_can_be_asked(river: Joined, without_redis: None) -> None:
    answer = river.call("POST", "/conformance-runs/", idempotency_key="k")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert (answer.json()["code"], answer.json()["retryable"]) == ("cache_unavailable", True)
    assert river.get("/directory/slots/T1/").json()["free"] == 5
    with tenancy.scope(river.hospital_id):
        assert not ConformanceRun.objects.exists()


def test_a_run_is_begun_read_and_looked_at(river: Joined, sent: list[Any]) -> None:
    """This hospital has no system behind its connector: the run ends with what to mend."""
    started = river.call("POST", "/conformance-runs/")
    assert started.status_code == 202, started.content
    run = started.json()
    here = f"/conformance-runs/{run['id']}/"
    assert started["Location"].endswith(here) and run["looking"] is True
    assert river.call("POST", "/conformance-runs/").json()["code"] == "run_in_progress"
    for number in range(3):
        assert sent == [("hospitals.tasks.look_at_run", str(river.hospital_id), run["id"], "hospital", river.client_id)]
        tasks.look_at_run(*sent.pop()[1:])
        assert river.get(here).json()["looking"] is False
        if number < 2:
            for _ in range(2):  # asked twice it is looked once
                assert river.call("POST", f"{here}look/").status_code == 202
    looked = river.get(here).json()
    assert river.call("POST", f"{here}look/").json() == looked and not sent
    points = {point["id"]: point["passed"] for point in looked["points"]}
    assert points["directory"] is True and points["book_accepted"] is False
    assert looked["passed"] is False and looked["finished_at"]
