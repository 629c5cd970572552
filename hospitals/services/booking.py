"""Taking places and giving them back, checking in, paying. A deed and its command to the hospital are one transaction.

No place is sold twice: it is taken by one conditional UPDATE, whose row count is the answer. Each function may be called
again with the same key and answers the same.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from hospitals import audit, tenancy, vault
from hospitals.audit import Actor
from hospitals.connectors.base import CommandKind, PatientCard
from hospitals.exceptions import (
    AlreadyBooked,
    BookingBarred,
    IdempotencyConflict,
    NotFound,
    SlotClosed,
    SlotTaken,
    TooLate,
    UnknownAppointment,
    WrongState,
)
from hospitals.models import Appointment, Hospital, Slot, SlotHold
from hospitals.services import outbox, waiting

State = Appointment.State
TAKEN = (State.PENDING, State.BOOKED, State.CHECKED_IN)
RESIDENT = Actor("resident")


@dataclass(frozen=True, slots=True)
class AppointmentInfo:
    """``state``: Appointment.State; ``unsent``: commands the hospital has not answered yet."""

    appointment_id: UUID
    hospital_id: UUID
    slot_id: UUID
    start: datetime
    state: str
    unsent: tuple[str, ...] = ()


def _info(row: Appointment) -> AppointmentInfo:
    return AppointmentInfo(row.id, row.hospital_id, row.slot_id, row.slot.start, row.state, outbox.unsent(row.id))


def card_data(card: PatientCard) -> dict[str, Any]:
    """The card as it is stored, under the hospital's key."""
    return {
        "name": card.name,
        "id_number": card.id_number,
        "phone": card.phone,
        "birth_date": card.birth_date.isoformat(),
        "sex": card.sex,
    }


def card_of(row: Appointment) -> PatientCard:
    """The card of an appointment, opened."""
    return PatientCard(**{**row.card, "birth_date": date.fromisoformat(row.card["birth_date"])})


def _check_rules(slot: Slot, subject: UUID, before: list[Appointment]) -> None:
    """The hospital's own rules. Raises ``AlreadyBooked``, ``BookingBarred``."""
    rules = slot.hospital
    day = timezone.localtime(slot.start).date()
    for row in before:
        same_day = timezone.localtime(row.slot.start).date() == day
        if row.state in TAKEN and same_day and row.slot.department_id == slot.department_id:
            raise AlreadyBooked
    since = timezone.now() - timedelta(days=rules.no_show_days)
    missed = sum(row.state == State.NO_SHOW and row.slot.start >= since for row in before)
    if rules.no_show_limit and missed >= rules.no_show_limit:
        raise BookingBarred


def book(
    *, slot_id: UUID, patient: PatientCard, subject: UUID, idempotency_key: str, actor: Actor = RESIDENT
) -> AppointmentInfo:
    """Take a place for this patient; the hospital hears of it at once and confirms by an event.

    Raises ``SlotTaken``, ``SlotClosed``, ``AlreadyBooked``, ``BookingBarred``, ``NotFound``, ``IdempotencyConflict``.
    """
    slot = Slot.objects.select_related("hospital").filter(id=slot_id).first()
    if slot is None:
        raise NotFound("没有找到这个号。")
    with tenancy.scope(slot.hospital_id), transaction.atomic():
        before = list(Appointment.objects.filter(subject=subject).select_related("slot").order_by("-created_at")[:200])
        same = next((row for row in before if row.idempotency_key == idempotency_key), None)
        if same is not None:
            if same.slot_id != slot_id:
                raise IdempotencyConflict
            return _info(same)
        if slot.hospital.state != Hospital.State.LIVE or slot.stopped or slot.end <= timezone.now():
            raise SlotClosed
        _check_rules(slot, subject, before)
        held = SlotHold.objects.filter(slot_id=slot_id, subject=subject, state=SlotHold.State.HELD)
        on_sale = Slot.objects.filter(id=slot_id, free__gt=0, stopped=False)
        if not held.update(state=SlotHold.State.USED) and not on_sale.update(free=F("free") - 1):
            raise SlotTaken
        row = Appointment(
            slot=slot,
            subject=subject,
            card=card_data(patient),
            id_number_index=vault.blind_index("id_number", patient.id_number),
            idempotency_key=idempotency_key,
            hospital_id=slot.hospital_id,
        )
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError as error:  # the same person or the same key, at the same moment
            raise AlreadyBooked from error
        waiting.satisfied(slot=slot, subject=subject)
        outbox.put(row, CommandKind.BOOK, key=f"book:{row.id}")
        audit.record(
            "appointment.book",
            actor=actor,
            hospital_id=row.hospital_id,
            entity="appointment",
            entity_id=row.id,
            subject=subject,
        )
        return AppointmentInfo(row.id, row.hospital_id, slot.id, slot.start, row.state, ("book",))


def locate(appointment_id: UUID) -> Appointment:
    """The appointment, whichever hospital's it is: its id is known to its resident and its hospital only.

    Raises ``UnknownAppointment``.
    """
    with tenancy.service("locate appointment"):
        row = Appointment.objects.select_related("slot", "hospital").filter(id=appointment_id).first()
    if row is None:
        raise UnknownAppointment
    return row


def appointment(*, appointment_id: UUID) -> AppointmentInfo:
    """As it stands now. Raises ``UnknownAppointment``."""
    row = locate(appointment_id)
    with tenancy.scope(row.hospital_id):
        return _info(row)


def cancel(*, appointment_id: UUID, reason: str, idempotency_key: str = "", actor: Actor = RESIDENT) -> AppointmentInfo:
    """Give the place back, within the hospital's own time. Raises ``TooLate``, ``WrongState``, ``UnknownAppointment``."""
    row = locate(appointment_id)
    with tenancy.scope(row.hospital_id), transaction.atomic():
        if row.state == State.CANCELLED:
            return _info(row)
        latest = row.slot.start - timedelta(minutes=row.hospital.cancel_until_min)
        if timezone.now() > latest:
            raise TooLate(f"离就诊不到{row.hospital.cancel_until_min}分钟,这家医院规定不能线上取消,请打医院电话。")
        if not Appointment.objects.filter(id=row.id, state__in=(State.PENDING, State.BOOKED)).update(
            state=State.CANCELLED, changed_at=timezone.now()
        ):
            raise WrongState("这个预约现在不能取消。")
        give_back(row.slot)
        outbox.put(row, CommandKind.CANCEL, key=f"cancel:{row.id}", data={"reason": reason})
        audit.record(
            "appointment.cancel",
            actor=actor,
            hospital_id=row.hospital_id,
            entity="appointment",
            entity_id=row.id,
            subject=row.subject,
        )
        row.state = State.CANCELLED
        return _info(row)


def give_back(slot: Slot) -> None:
    """One place is free again: whoever waits longest for it gets it held, otherwise it goes back on sale."""
    if not waiting.offer(slot):
        Slot.objects.filter(id=slot.id, free__lt=F("capacity")).update(free=F("free") + 1)


def check_in(*, appointment_id: UUID, idempotency_key: str = "", actor: Actor = RESIDENT) -> AppointmentInfo:
    """Ask the hospital for a number; it answers by an event. Raises ``WrongState``, ``UnknownAppointment``."""
    row = locate(appointment_id)
    with tenancy.scope(row.hospital_id), transaction.atomic():
        if row.state not in TAKEN:
            raise WrongState("这个预约已经不能取号了。")
        opens = row.hospital.check_in_opens_min
        if opens is not None and timezone.now() < row.slot.start - timedelta(minutes=opens):
            raise WrongState(f"还没到取号时间,就诊前{opens}分钟开始取号。", code="too_early")
        if outbox.put(row, CommandKind.CHECK_IN, key=f"check-in:{row.id}"):
            _audit(row, "appointment.check_in", actor)
        return _info(row)


def pay(
    *, appointment_id: UUID, invoice_id: str, receipt: str, idempotency_key: str = "", actor: Actor = RESIDENT
) -> AppointmentInfo:
    """Tell the hospital that a bill is paid; it confirms by an event. Raises ``UnknownAppointment``."""
    row = locate(appointment_id)
    with tenancy.scope(row.hospital_id), transaction.atomic():
        data = {"invoice_id": invoice_id, "receipt": receipt}
        if outbox.put(row, CommandKind.PAY, key=f"pay:{row.id}:{invoice_id}"[:160], data=data):
            _audit(row, "appointment.pay", actor)
        return _info(row)


def _audit(row: Appointment, action: str, actor: Actor) -> None:
    audit.record(
        action, actor=actor, hospital_id=row.hospital_id, entity="appointment", entity_id=row.id, subject=row.subject
    )


# --- holds --------------------------------------------------------------------------------------------------


def hold(*, slot_id: UUID, subject: UUID) -> datetime:
    """Keep a place for her while she fills in her card. Returns until when. Raises ``SlotTaken``, ``SlotClosed``."""
    slot = Slot.objects.select_related("hospital").filter(id=slot_id).first()
    if slot is None:
        raise NotFound("没有找到这个号。")
    with tenancy.scope(slot.hospital_id), transaction.atomic():
        mine = SlotHold.objects.filter(slot_id=slot_id, subject=subject, state=SlotHold.State.HELD).first()
        if mine is not None:
            return mine.expires_at
        if slot.stopped or slot.end <= timezone.now() or slot.hospital.state != Hospital.State.LIVE:
            raise SlotClosed
        if not Slot.objects.filter(id=slot_id, free__gt=0, stopped=False).update(free=F("free") - 1):
            raise SlotTaken
        expires = timezone.now() + timedelta(minutes=slot.hospital.hold_min)
        try:
            with transaction.atomic():
                SlotHold.objects.create(slot=slot, subject=subject, expires_at=expires)
        except IntegrityError as error:
            raise SlotTaken from error
        return expires


def expire_holds(now: datetime | None = None) -> int:
    """Put back what was held too long; each hold is released once. Returns how many."""
    now = now or timezone.now()
    with tenancy.service("expire holds"):
        due = list(
            SlotHold.objects.filter(state=SlotHold.State.HELD, expires_at__lte=now).values_list("hospital_id", "id")[
                :500
            ]
        )
    released = 0
    for hospital_id, hold_id in due:
        with tenancy.scope(hospital_id), transaction.atomic():
            if SlotHold.objects.filter(id=hold_id, state=SlotHold.State.HELD).update(state=SlotHold.State.RELEASED):
                row = SlotHold.objects.select_related("slot").get(id=hold_id)
                waiting.lapsed(row)
                give_back(row.slot)
                released += 1
    return released
