"""Appointments of invented patients, with which a hospital tries its events and commands before anybody real is there.

They take places of the hospital's own slots, and give them back when they are ended: by the hospital, with the conformance
run they were made for, or at the latest when it goes live.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from hospitals import audit, indexing, tenancy
from hospitals.audit import Actor
from hospitals.connectors.base import PatientCard
from hospitals.exceptions import Conflict, Forbidden, UnknownAppointment
from hospitals.models import Appointment, Hospital, InboxEvent, Slot
from hospitals.services.booking import card_data
from hospitals.services.inbox import REHEARSAL
from hospitals.services.waiting import give_back

State = Hospital.State
OPEN = (State.SANDBOX, State.CONFORMANCE_PASSED)
KEPT_MOST = 200
# Their places were given back.
_ENDED = (Appointment.State.CANCELLED, Appointment.State.REFUSED, Appointment.State.STOPPED)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


@dataclass(frozen=True, slots=True)
class TestAppointment:
    """``events``: what the hospital has sent for it, in its own order, each {"event_id", "type", "sequence", "state"}."""

    appointment_id: UUID
    slot: str
    start: datetime
    state: str
    events: tuple[dict[str, Any], ...] = ()


def invented_card(number: int) -> PatientCard:
    """A card of nobody: its region code 990101 does not exist, its check digit is right (GB 11643)."""
    born = date(1990, 1, 1)
    digits = f"990101{born:%Y%m%d}{number % 1000:03}"
    check = "10X98765432"[sum(int(d) * w for d, w in zip(digits, _WEIGHTS, strict=True)) % 11]
    sex = "male" if number % 2 else "female"
    return PatientCard(name="测试患者", id_number=digits + check, phone="10000000000", birth_date=born, sex=sex)


def _open(hospital_id: UUID) -> None:
    """Raises ``Forbidden`` in a live hospital: nothing invented stands in a queue with real patients.

    The hospital is locked: one that goes live meanwhile has ended what was rehearsed before, or refuses this.
    """
    if Hospital.objects.select_for_update(no_key=True).get(id=hospital_id).state not in OPEN:
        raise Forbidden("医院上线以后不能建测试预约。", code="not_in_sandbox")


@transaction.atomic
def create(*, hospital_id: UUID, slot: str = "", actor: Actor, number: int = 1) -> TestAppointment:
    """A booked place of an invented patient, in this slot or the next free one; the hospital is told nothing yet.

    In its scope. Raises ``Forbidden`` in a live hospital, ``Conflict`` without a free slot.
    """
    _open(hospital_id)
    if _standing().count() >= KEPT_MOST:
        raise Conflict("测试预约太多,请先删掉不用的。", code="too_many_test_appointments")
    free = Slot.objects.filter(hospital_id=hospital_id, stopped=False, free__gt=0, start__gt=timezone.now())
    found = (free.filter(identifier=slot) if slot else free).order_by("start", "id").first()
    if found is None or not Slot.objects.filter(id=found.id, free__gt=0).update(free=F("free") - 1):
        raise Conflict("没有可以约的号源,请先上传将来的号源。", code="no_free_slot")
    card = invented_card(number)
    row = Appointment.objects.create(
        hospital_id=hospital_id,
        slot=found,
        subject=uuid4(),
        card=card_data(card),
        id_number_index=indexing.blind_index("id_number", card.id_number),
        idempotency_key=f"{REHEARSAL}{uuid4().hex}",
    )
    audit.record("appointment.rehearse", actor=actor, hospital_id=hospital_id, entity="appointment", entity_id=row.id)
    return TestAppointment(row.id, found.identifier, found.start, row.state)


def _standing() -> "QuerySet[Appointment]":
    """Those that still take a place."""
    return Appointment.objects.filter(idempotency_key__startswith=REHEARSAL).exclude(state__in=_ENDED)


@transaction.atomic
def clear(*appointment_ids: UUID | str) -> int:
    """End these test appointments, or without ids all of the hospital's; each place is given back once. In its scope.

    Returns how many were ended.
    """
    rows = _standing().filter(id__in=appointment_ids) if appointment_ids else _standing()
    ended = 0
    for row in rows.select_related("slot").order_by("id"):
        if _standing().filter(id=row.id).update(state=Appointment.State.CANCELLED, changed_at=timezone.now()):
            give_back(row.slot)
            ended += 1
    return ended


def end(*, appointment_id: UUID) -> None:
    """Over, and its place is free again; once more is fine. In its scope. Raises ``UnknownAppointment``."""
    read(appointment_id=appointment_id)
    clear(appointment_id)


def read(*, appointment_id: UUID) -> TestAppointment:
    """As it stands now, with what came for it. In its scope. Raises ``UnknownAppointment``, also for a resident's."""
    tenancy.current()
    row = (
        Appointment.objects.select_related("slot")
        .filter(id=appointment_id, idempotency_key__startswith=REHEARSAL)
        .first()
    )
    if row is None:
        raise UnknownAppointment
    came = InboxEvent.objects.filter(appointment_key=str(appointment_id)).order_by("sequence", "received_at")
    events = tuple(
        {"event_id": e.event_id, "type": e.type, "sequence": e.sequence, "state": e.state} for e in came[:200]
    )
    return TestAppointment(row.id, row.slot.identifier, row.slot.start, row.state, events)
