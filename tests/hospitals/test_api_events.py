"""The events door: what is signed and known is taken once; everything else is a typed refusal."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.test import AsyncClient, Client
from django.utils import timezone

from hospitals import tenancy
from hospitals.connectors import push
from hospitals.models import (
    Appointment,
    Department,
    Hospital,
    HospitalCredential,
    InboxEvent,
    Practitioner,
    Schedule,
    Slot,
)
from hospitals.services import copies, limits
from tests.hospitals.own_rows import a_hospital, make

DOOR = "/api/hospitals/v1/events/"
pytestmark = pytest.mark.django_db


def hospital(code: str = "river", state: str = Hospital.State.SANDBOX) -> tuple[Hospital, str]:
    row = a_hospital(code=code, name=f"{code}医院", city="岚州市", state=state, connector="sandbox")
    secret = push.new_secret()
    with tenancy.scope(row.id):
        HospitalCredential.objects.create(kind=HospitalCredential.Kind.EVENTS, secret=secret, hospital=row)
    return row, secret


def appointment(row: Hospital) -> Appointment:
    department = make(Department, hospital=row, identifier="D1", name="眼科", standard_name="眼科", national_code="10")
    doctor = make(Practitioner, hospital=row, department=department, identifier="P1", name="高明")
    schedule = make(
        Schedule,
        hospital=row,
        department=department,
        practitioner=doctor,
        identifier="S1",
        day=timezone.localdate(),
        period="morning",
    )
    start = timezone.now() + timedelta(hours=2)
    slot = make(
        Slot,
        hospital=row,
        identifier="T1",
        schedule=schedule,
        department=department,
        practitioner=doctor,
        start=start,
        end=start + timedelta(minutes=30),
        capacity=3,
        free=2,
    )
    with tenancy.scope(row.id):
        return Appointment.objects.create(
            hospital=row, slot=slot, subject=uuid4(), card={}, id_number_index="0" * 64, idempotency_key="k"
        )


def message(appointment_id: object, **changes: Any) -> bytes:
    body = {
        "event_id": "e-1",
        "type": "appointment.booked",
        "appointment_id": str(appointment_id),
        "sequence": 1,
        "occurred_at": "2026-11-23T09:00:00+08:00",
        "data": None,
    }
    return json.dumps(body | changes).encode()


def send(body: bytes, code: str, secret: str, *, remote: str = "127.0.0.1", **headers: str) -> Any:
    signed = push.sign(secret, "m-1", body) | {"hospital-code": code} | headers
    return Client(REMOTE_ADDR=remote).post(DOOR, body, content_type="application/json", headers=signed)


def code_of(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.content
    assert answer["content-type"] == "application/problem+json"
    return answer.json()["code"]


def test_a_signed_event_is_taken_once_whatever_is_repeated() -> None:
    row, secret = hospital()
    body = message(appointment(row).id)
    for _ in range(2):
        answer = send(body, row.code, secret)
        assert (answer.status_code, answer.json()) == (202, {"event_id": "e-1", "status": "accepted"})
    with tenancy.scope(row.id):
        assert InboxEvent.objects.count() == 1


def test_an_appointment_s_id_in_another_spelling_is_the_same_and_so_is_the_event() -> None:
    row, secret = hospital()
    mine = appointment(row)
    for spelt in (str(mine.id).upper(), mine.id.hex, str(mine.id)):
        answer = send(message(spelt), row.code, secret)
        assert (answer.status_code, answer.json()) == (202, {"event_id": "e-1", "status": "accepted"})
    with tenancy.scope(row.id):
        kept = InboxEvent.objects.get()
        assert [kept] == list(copies.rows([mine.id])[2]), "her erasure finds it"


def test_what_came_before_its_appointment_was_known_is_taken_up_in_any_spelling() -> None:
    row, secret = hospital()
    mine, unknown = appointment(row), uuid4()
    assert code_of(send(message(unknown.hex), row.code, secret), 404) == "unknown_appointment"
    with tenancy.scope(row.id):
        Appointment.objects.filter(id=mine.id).update(id=unknown)
    assert send(message(str(unknown).upper()), row.code, secret).status_code == 202
    with tenancy.scope(row.id):
        assert InboxEvent.objects.get().state == InboxEvent.State.RECEIVED


def test_an_unknown_visit_is_404_and_kept_as_a_dead_letter() -> None:
    row, secret = hospital()
    assert code_of(send(message(uuid4()), row.code, secret), 404) == "unknown_appointment"
    with tenancy.scope(row.id):
        assert InboxEvent.objects.get().state == InboxEvent.State.DEAD


def test_another_hospitals_visit_is_as_unknown_as_none() -> None:
    first, _secret = hospital()
    theirs = appointment(first)
    other, secret = hospital("hill")
    assert code_of(send(message(theirs.id), other.code, secret), 404) == "unknown_appointment"
    with tenancy.scope(first.id):
        assert not InboxEvent.objects.exists()


def test_the_wrong_secret_hospital_or_body_is_401() -> None:
    row, secret = hospital()
    other, foreign = hospital("hill")
    body = message(uuid4())
    assert code_of(send(body, row.code, foreign), 401) == "bad_signature"
    assert code_of(send(body, "nobody", secret), 401) == "bad_signature"
    signed = push.sign(secret, "m-1", body) | {"hospital-code": row.code}
    altered = Client().post(DOOR, body + b" ", content_type="application/json", headers=signed)
    assert code_of(altered, 401) == "bad_signature"
    assert code_of(Client().post(DOOR, body, content_type="application/json"), 401) == "bad_signature"


def test_a_recorded_message_cannot_be_played_later() -> None:
    row, secret = hospital()
    body = message(uuid4())
    old = push.sign(secret, "m-1", body, now=datetime.now(UTC) - timedelta(minutes=6))
    assert code_of(send(body, row.code, secret, **old), 401) == "stale_timestamp"


@pytest.mark.parametrize("state", ["applied", "suspended", "left"])
def test_a_hospital_that_may_not_send_looks_like_an_unknown_one(state: str) -> None:
    row, secret = hospital(state=state)
    assert code_of(send(message(uuid4()), row.code, secret), 401) == "bad_signature"


def test_both_secrets_hold_while_they_overlap() -> None:
    row, old = hospital()
    new = push.new_secret()
    with tenancy.scope(row.id):
        HospitalCredential.objects.update(expires_at=timezone.now() + timedelta(hours=1))
        HospitalCredential.objects.create(kind=HospitalCredential.Kind.EVENTS, secret=new, hospital=row)
    body = message(appointment(row).id)
    assert {send(body, row.code, secret).status_code for secret in (old, new)} == {202}
    with tenancy.scope(row.id):
        HospitalCredential.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now())
    assert code_of(send(body, row.code, old), 401) == "bad_signature"


def test_a_bad_body_names_the_place_and_quotes_nothing() -> None:
    row, secret = hospital()
    answer = send(message(uuid4(), sequence="secret words"), row.code, secret)
    assert code_of(answer, 400) == "bad_event"
    assert answer.json()["errors"][0]["pointer"] == "/sequence"
    assert b"secret words" not in answer.content
    assert code_of(send(b"not json", row.code, secret), 400) == "bad_json"


def test_more_than_the_limit_is_413_before_any_look_at_it() -> None:
    row, secret = hospital()
    assert code_of(send(b"x" * (256 * 1024 + 1), row.code, secret), 413) == "too_large"


def test_whoever_signs_wrongly_again_and_again_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    row, secret = hospital()
    cache.clear()
    monkeypatch.setattr(limits, "REFUSED_EVENTS", limits.Limit("refused-events", 2, 3600))
    body = message(appointment(row).id)
    assert [send(body, row.code, push.new_secret()).status_code for _ in range(3)] == [401, 401, 429]
    cache.clear()
    assert send(body, row.code, secret).status_code == 202


def test_a_neighbour_behind_the_same_address_is_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    row, secret = hospital()
    other, others = hospital("hill")
    cache.clear()
    monkeypatch.setattr(limits, "REFUSED_EVENTS", limits.Limit("refused-events", 2, 3600))
    body = message(appointment(row).id)
    assert [send(body, other.code, secret).status_code for _ in range(3)] == [401, 401, 429]
    assert send(body, other.code, others).status_code == 429
    good = send(body, row.code, secret)
    assert (good.status_code, good["RateLimit"].split(";t=")[0]) == (202, '"refused-events";r=2')


def test_names_without_end_from_one_address_meet_the_address_s_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    row, secret = hospital()
    cache.clear()
    monkeypatch.setattr(limits, "REFUSED_EVENTS_ADDRESS", limits.Limit("refused-events-address", 3, 3600))
    body = message(appointment(row).id)
    tried = [send(body, f"nobody-{number}", secret) for number in range(4)]
    assert [answer.status_code for answer in tried] == [401, 401, 401, 429]
    assert '"refused-events-address";r=2;t=' in tried[0]["RateLimit"]
    assert '"refused-events-address";r=0;t=' in tried[3]["RateLimit"]
    assert '"refused-events-address";q=3;w=3600' in tried[3]["RateLimit-Policy"] and int(tried[3]["Retry-After"]) > 0
    assert send(body, row.code, secret, remote="10.0.0.7").status_code == 202


def test_reading_the_door_is_405() -> None:
    assert code_of(Client().get(DOOR), 405) == "method_not_allowed"


def test_the_body_is_the_same_under_asgi() -> None:
    row, secret = hospital()
    body = message(appointment(row).id)
    signed = push.sign(secret, "m-1", body) | {"hospital-code": row.code}
    answer = async_to_sync(AsyncClient().post)(DOOR, body, content_type="application/json", headers=signed)
    assert answer.status_code == 202
