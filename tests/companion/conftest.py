"""Residents, patients and a visit to test with, and pages with nobody to speak on them. All invented."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from avatar import dispatch, streams
from companion import dialogue, visits
from companion.dialogue import Session
from companion.journey import OwnEvent
from companion.models import Conversation, FamilyLink, Patient, Resident, Visit
from hospitals.connectors.base import EventType, HospitalEvent, QueuePosition
from tests.companion.clock import at


@pytest.fixture()
async def no_worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Nobody speaks; what a process keeps open is closed afterwards."""
    monkeypatch.setattr(dispatch, "_send", lambda u, attempt: None)
    yield
    await streams.close()


@pytest.fixture()
def resident(db: None) -> Resident:
    made = Resident(name="陈玉兰", phone="10000000001")
    made.save()
    patient = Patient.objects.create(
        keeper=made,
        name="陈玉兰",
        id_number="990101196101150028",
        phone="10000000001",
        birth_date="1961-01-15",
        sex="female",
    )
    FamilyLink.objects.create(resident=made, patient=patient, relation="self", consented_at=timezone.now())
    return made


@pytest.fixture()
def patient(resident: Resident) -> Patient:
    return resident.family.get().patient


@pytest.fixture()
def visit(resident: Resident, patient: Patient) -> Visit:
    """Booked for tomorrow at the eye clinic."""
    made = Visit.objects.create(
        resident=resident,
        patient=patient,
        hospital_id=uuid4(),
        hospital_name="岚州市第一人民医院",
        department="眼科",
        practitioner="沈知微",
        start=timezone.now() + timedelta(days=1),
        fee_fen=2500,
    )
    visits.own_event(made.id, OwnEvent.TRIAGED)
    visits.own_event(made.id, OwnEvent.BOOKED)
    made.refresh_from_db()
    return made


@pytest.fixture()
def position() -> Callable[..., QueuePosition]:
    def make(ahead: int = 4, **changes: Any) -> QueuePosition:
        values: dict[str, Any] = {
            "ticket": "71",
            "ahead": ahead,
            "now_serving": "66",
            "room_code": "7-1-B-01",
            "room_name": "眼科检查一区",
            "place": "7号楼1楼B区",
            "as_of": timezone.now(),
        }
        return QueuePosition(**{**values, **changes})

    return make


@pytest.fixture()
def happens(visit: Visit) -> Callable[..., None]:
    """A hospital event arrives: ``happens(EventType.ENCOUNTER_CALLED, data, sequence=5)``; numbered by arrival otherwise."""
    count = 0

    def arrive(kind: EventType, data: Any = None, *, sequence: int | None = None, event_id: str = "") -> None:
        nonlocal count
        count += 1
        visits.on_hospital_event(
            HospitalEvent(
                event_id=event_id or f"e{sequence or count}",
                type=kind,
                hospital_id=visit.hospital_id,
                appointment_id=str(visit.id),
                sequence=sequence or count,
                occurred_at=datetime(2026, 11, 24, tzinfo=UTC),
                data=data,
            )
        )

    return arrive


@pytest.fixture()
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[..., datetime]:
    """It is ten o'clock; ``now("08:00")`` sets the clock, ``now("08:00", 1)`` tomorrow's."""

    def turn_to(clock: str, days: int = 0) -> datetime:
        moment = at(clock, days)
        monkeypatch.setattr(timezone, "now", lambda: moment)
        return moment

    turn_to("10:00")
    return turn_to


@pytest.fixture()
def session(resident: Resident) -> Session:
    """A page of hers that has been told that she talks to an AI."""
    made = dialogue.open_session(resident.id, None)
    row = Conversation.objects.get(id=made.id)
    row.memory = {"dialogue": {"labelled_at": timezone.localtime().isoformat()}}
    row.save()
    return made
