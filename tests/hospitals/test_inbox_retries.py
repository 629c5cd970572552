"""An event that cannot be used yet is tried for a day, ever more seldom; one that never can is dead at once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError
from django.utils import timezone

from hospitals import tenancy
from hospitals.connectors import codec, push
from hospitals.connectors.base import EventType, QueuePosition
from hospitals.exceptions import WrongState
from hospitals.models import HospitalCredential, InboxEvent
from hospitals.services import inbox
from tests.hospitals.clinics import NOW, Clinic, a_clinic

pytestmark = pytest.mark.django_db
State = InboxEvent.State
VISIT = "companion.visits.on_hospital_event"


@pytest.fixture()
def clinic() -> Clinic:
    return a_clinic()


def received(clinic: Clinic, appointment_id: Any) -> InboxEvent:
    with tenancy.scope(clinic.hospital.id):
        inbox.store(
            codec.parse_event(
                clinic.hospital.id, codec.encode("e-1", EventType.APPOINTMENT_BOOKED, str(appointment_id), 1, NOW, None)
            )
        )
        return InboxEvent.objects.get()


def again(row: InboxEvent) -> InboxEvent:
    with tenancy.scope(row.hospital_id):
        return InboxEvent.objects.get(id=row.id)


def test_what_may_pass_is_tried_ever_more_seldom_and_dies_after_a_day(clinic: Clinic) -> None:
    row = received(clinic, clinic.book(clinic.slot()).appointment_id)
    start, waits, now = timezone.now(), [], timezone.now()
    with (
        patch(VISIT, side_effect=OperationalError),
        patch.object(timezone, "now", lambda: now),
        patch.object(inbox._jitter, "uniform", lambda low, high: 1.0),
    ):
        while again(row).state == State.RECEIVED:
            now = max(now, again(row).next_attempt_at) + timedelta(seconds=1)
            calls = again(row).attempts
            inbox.sweep(after_s=0)
            assert again(row).attempts == calls + 1
            waits.append(round((again(row).next_attempt_at - now).total_seconds()))
            if again(row).state == State.RECEIVED:
                inbox.sweep(after_s=0)
                assert again(row).attempts == calls + 1, "not before its time"
    assert waits[:8] == [10, 20, 40, 80, 160, 320, 600, 600]
    assert timedelta(hours=24) < now - start < timedelta(hours=24, minutes=11)


def test_what_can_never_be_used_is_a_dead_letter_at_once(clinic: Clinic) -> None:
    row = received(clinic, clinic.book(clinic.slot()).appointment_id)
    with patch(VISIT, side_effect=WrongState):
        assert inbox.handle(row.hospital_id, row.id)
    assert (again(row).state, again(row).reason) == (State.DEAD, "wrong_state")


def test_an_event_s_id_with_something_else_in_it_is_refused_and_said(clinic: Clinic, client: Any) -> None:
    secret = push.new_secret()
    with tenancy.scope(clinic.hospital.id):
        HospitalCredential.objects.create(kind="events", secret=secret, hospital=clinic.hospital)
    appointment = str(clinic.book(clinic.slot()).appointment_id)

    def post(ahead: int, at: datetime) -> tuple[int, str]:
        place = QueuePosition("7", ahead, "1", "R1", "一诊室", "1楼", as_of=NOW)
        body = codec.encode("e-1", EventType.QUEUE_CHANGED, appointment, 1, at, place)
        headers = {**push.sign(secret, "m", body), "hospital-code": clinic.hospital.code}
        answer = client.post("/api/hospitals/v1/events/", body, content_type="application/json", headers=headers)
        return answer.status_code, json.loads(answer.content).get("code", "")

    assert post(4, NOW) == (202, "")
    assert post(4, datetime(2026, 3, 2, 1, tzinfo=UTC)) == (202, ""), "when is only shown"
    assert post(3, NOW) == (409, "event_id_reused")
    with tenancy.scope(clinic.hospital.id):
        assert InboxEvent.objects.count() == 1
