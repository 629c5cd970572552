"""Taking places and giving them back, checking in, paying. A deed and its command to the hospital are one transaction.

No place is sold twice: it is taken by one conditional UPDATE, whose row count is the answer. Each function may be called
again with the same key and answers the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from hospitals import audit, compiled, indexing, tenancy
from hospitals.audit import Actor
from hospitals.compiled import CompiledInsert, in_one_go
from hospitals.connectors.base import CommandKind, EventType, HospitalEvent, PaidBill, PatientCard, Reason
from hospitals.exceptions import (
    AlreadyBooked,
    IdempotencyConflict,
    SlotClosed,
    SlotTaken,
    TooLate,
    UnknownAppointment,
    WrongState,
)
from hospitals.models import Appointment, InboxEvent, Schedule, Slot, SlotHold, WaitingEntry
from hospitals.services import booking_rules as rules
from hospitals.services import directory, inbox, outbox, payments, places, waiting
from hospitals.services.booking_rules import TAKEN
from hospitals.services.waiting import give_back

State = Appointment.State
CANCELLABLE = (State.PENDING, State.BOOKED)
RESIDENT = Actor("resident")
EXPIRED_AT_ONCE = 500
_appointments = CompiledInsert(Appointment)


@dataclass(frozen=True, slots=True)
class AppointmentInfo:
    """``state``: Appointment.State; ``unsent``: commands the hospital has not answered yet; ``place``: of one just taken.

    ``command``: the one that this very call has written; None when it was on its way or accepted already.
    """

    appointment_id: UUID
    hospital_id: UUID
    slot_id: UUID
    start: datetime
    state: str
    unsent: tuple[str, ...] = ()
    place: directory.SlotOffer | None = field(default=None, compare=False)
    command: UUID | None = field(default=None, compare=False)


def _info(row: Appointment, command: UUID | None = None) -> AppointmentInfo:
    waits = outbox.unsent(row.id)
    return AppointmentInfo(row.id, row.hospital_id, row.slot_id, row.slot.start, row.state, waits, command=command)


def card_data(card: PatientCard) -> dict[str, Any]:
    """The card as it is stored, under the keys of its keeper and the hospital."""
    return {
        "name": card.name,
        "id_number": card.id_number,
        "phone": card.phone,
        "birth_date": card.birth_date.isoformat(),
        "sex": card.sex,
    }


def card_of(row: Appointment) -> PatientCard:
    """The card of an appointment whose hospital has not been told yet, opened."""
    card = row.card
    assert card is not None  # it goes only when nothing waits to be told
    return PatientCard(**{**card, "birth_date": date.fromisoformat(card["birth_date"])})


@dataclass(frozen=True, slots=True)
class Wish:
    """What she asks for, judged by the rules. ``answered``: what this key got before."""

    slot: rules.Wanted
    patient: PatientCard
    subject: UUID
    keeper: UUID | None
    person: str
    idempotency_key: str
    now: datetime
    answered: AppointmentInfo | None = None


def wish(
    *,
    slot_id: UUID,
    patient: PatientCard,
    subject: UUID,
    keeper: UUID | None,
    idempotency_key: str,
    now: datetime | None = None,
) -> Wish:
    """Look whether this patient may have a place; nothing is written or locked, for most come too late.

    ``keeper``: the resident under whose key, besides the hospital's, her data are kept. The rules go by the person (her id number), whoever keeps her card. Raises ``SlotTaken``, ``SlotClosed``,
    ``AlreadyBooked``, ``BookingBarred``, ``NotFound``, ``IdempotencyConflict``.
    """
    now = now or timezone.now()
    person = indexing.blind_indexes("id_number", patient.id_number)
    with tenancy.service("a slot and who wants it"):
        slot, before = rules.look(slot_id, subject=subject, person=person, key=idempotency_key)
    made = Wish(slot, patient, subject, keeper, person[0], idempotency_key, now)
    if any(row.idempotency_key == idempotency_key for row in before):
        with tenancy.scope(slot.hospital_id):
            return replace(made, answered=_answered(made))
    rules.check_open(slot, now)
    rules.check(slot, before, now)
    if not slot.free and not slot.hers:
        raise SlotTaken
    return made


@transaction.atomic(savepoint=False)
def book(
    wish: Wish, *, actor: Actor = RESIDENT, along: Callable[[AppointmentInfo], None] | None = None
) -> AppointmentInfo:
    """Take the place; the hospital hears of it at once and confirms by an event.

    ``along`` writes what else belongs to the deed, by hospitals.compiled alone; it is not called when this key was answered before.
    What is raised takes the caller's transaction back as well: ``SlotTaken``, ``SlotClosed``, ``AlreadyBooked``,
    ``IdempotencyConflict``.
    """
    if wish.answered is not None:
        return wish.answered
    slot = wish.slot
    with tenancy.scope(slot.hospital_id):
        row = Appointment(
            slot_id=slot.slot_id,
            subject=wish.subject,
            keeper_id=wish.keeper,
            card=card_data(wish.patient),
            id_number_index=wish.person,
            idempotency_key=wish.idempotency_key,
            half_day=slot.schedule_id,
            hospital_id=slot.hospital_id,
            created_at=wish.now,
        )
        if not _appointments.save_once(row):  # the same person or the same key, a moment ago
            if not Appointment.objects.filter(idempotency_key=wish.idempotency_key).exists():
                raise AlreadyBooked
            return _answered(wish)
        made = AppointmentInfo(row.id, row.hospital_id, slot.slot_id, slot.start, row.state, ("book",), slot.offer())
        audit.ready()
        sold = end = None
        with in_one_go():
            outbox.put(row, CommandKind.BOOK, key=f"book:{row.id}")
            if along is not None:
                along(made)
            # Everybody after this half day, or in this hospital, waits for whoever holds these two until its commit: last.
            if not slot.hers:
                sold, end = waiting.ask_for(slot.slot_id), audit.ask_for_end(slot.hospital_id)
        if sold is None:
            _take_held(slot, wish.subject, wish.now)
        elif not compiled.read(sold):
            raise SlotTaken
        if slot.waits:
            waiting.satisfied(department_id=slot.department_id, subject=wish.subject)
        _audit(row, "appointment.book", actor, end)
        return made


def _answered(wish: Wish) -> AppointmentInfo:
    """The answer that was given to this key before. Raises ``IdempotencyConflict`` when it was about something else."""
    same = Appointment.objects.select_related("slot").get(idempotency_key=wish.idempotency_key)
    if same.slot_id != wish.slot.slot_id or same.subject != wish.subject:
        raise IdempotencyConflict
    return _info(same)


def _take_held(slot: rules.Wanted, subject: UUID, now: datetime) -> None:
    """The place that is held for her, or one on sale where the hold has run out. Raises ``SlotTaken``, ``SlotClosed``."""
    held = SlotHold.objects.filter(slot_id=slot.slot_id, subject=subject, state=SlotHold.State.HELD)
    if held.filter(expires_at__gt=now).update(state=SlotHold.State.USED):
        # A clinic that is being stopped waits for this lock, so that it finds the appointment.
        if not Slot.objects.select_for_update(no_key=True).filter(id=slot.slot_id, stopped=False).exists():
            raise SlotClosed
        return
    if not waiting.take(slot.slot_id):
        raise SlotTaken


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


def cancel(
    *,
    appointment_id: UUID,
    reason: str,
    idempotency_key: str = "",
    actor: Actor = RESIDENT,
    now: datetime | None = None,
) -> AppointmentInfo:
    """Ask the hospital to take the place back, within its own time; the place is free when it has agreed (``cancelling``
    until then), or at once when it has never heard of the booking. Raises ``TooLate``, ``WrongState``, ``UnknownAppointment``.
    """
    now = now or timezone.now()
    row = locate(appointment_id)
    with tenancy.scope(row.hospital_id), transaction.atomic():
        if row.state in (State.CANCELLED, State.CANCELLING):
            return _info(row)
        if row.state not in CANCELLABLE:
            raise WrongState("这个预约现在不能取消。")
        latest = row.slot.start - timedelta(minutes=row.hospital.cancel_until_min)
        if now > latest:
            raise TooLate(
                f"离就诊不到{row.hospital.cancel_until_min}分钟,这家医院规定不能线上取消,请打医院电话。",
                latest=latest.isoformat(),
            )
        open_one = Appointment.objects.filter(id=row.id, state__in=CANCELLABLE)
        if not open_one.update(state=State.CANCELLING, changed_at=now):  # it moved meanwhile
            row.refresh_from_db(fields=["state"])
            if row.state in (State.CANCELLED, State.CANCELLING):
                return _info(row)
            raise WrongState("这个预约现在不能取消。")
        row.state, command = State.CANCELLING, None
        if outbox.withdraw(row.id):
            Appointment.objects.filter(id=row.id).update(state=State.CANCELLED)
            give_back(row.slot, now=now)
            row.state = State.CANCELLED
        else:
            command = outbox.put(row, CommandKind.CANCEL, key=f"cancel:{row.id}", data={"reason": reason})
        _audit(row, "appointment.cancel", actor)
        return _info(row, command)


def check_in(*, appointment_id: UUID, idempotency_key: str = "", actor: Actor = RESIDENT) -> AppointmentInfo:
    """Ask the hospital for a number; it answers by an event. Raises ``WrongState``, ``UnknownAppointment``."""
    row = locate(appointment_id)
    with tenancy.scope(row.hospital_id), transaction.atomic():
        if row.state not in TAKEN or row.state == State.CANCELLING:
            raise WrongState("这个预约已经不能取号了。")
        opens = row.hospital.check_in_opens_min
        if opens is not None and timezone.now() < row.slot.start - timedelta(minutes=opens):
            raise WrongState(f"还没到取号时间,就诊前{opens}分钟开始取号。", code="too_early")
        command = outbox.put(row, CommandKind.CHECK_IN, key=f"check-in:{row.id}")
        if command:
            _audit(row, "appointment.check_in", actor)
        return _info(row, command)


def pay(*, appointment_id: UUID, paid: PaidBill, actor: Actor = RESIDENT) -> AppointmentInfo:
    """Tell the hospital that a bill is paid; it confirms by an event. Raises ``UnknownAppointment``."""
    row = locate(appointment_id)
    with tenancy.scope(row.hospital_id), transaction.atomic():
        key = payments.key_of(row.id, paid.invoice_id)
        command = outbox.put(row, CommandKind.PAY, key=key, data=paid.as_data())
        if command:
            _audit(row, "appointment.pay", actor)
        return _info(row, command)


def _audit(row: Appointment, action: str, actor: Actor, end: Any = None) -> None:
    about: dict[str, Any] = {"entity": "appointment", "entity_id": row.id, "subject": row.subject}
    audit.record(action, actor=actor, hospital_id=row.hospital_id, end=end, **about)


# --- holds --------------------------------------------------------------------------------------------------


def hold(*, slot_id: UUID, subject: UUID, now: datetime | None = None) -> datetime:
    """Keep a place for her while she fills in her card; one at a time in a hospital. Returns until when.

    Raises ``SlotTaken``, ``SlotClosed``, ``AlreadyBooked``, ``BookingBarred``, ``NotFound``.
    """
    now = now or timezone.now()
    with tenancy.service("a slot to hold"):
        slot, before = rules.look(slot_id, subject=subject)
    with tenancy.scope(slot.hospital_id), transaction.atomic():
        mine = list(SlotHold.objects.filter(subject=subject, state=SlotHold.State.HELD))
        for row in mine:
            if row.slot_id == slot_id and row.expires_at > now:
                return row.expires_at
            if row.slot_id == slot_id:
                waiting.release(row.id, now=now)
        rules.check_open(slot, now)
        rules.check(slot, before, now)
        offered = set(WaitingEntry.objects.filter(subject=subject, hold__in=mine).values_list("hold_id", flat=True))
        if any(row.expires_at > now and row.id not in offered for row in mine):
            raise AlreadyBooked("您还有一个号正在填写,请先办完那一个。", code="holding_another")
        if not waiting.take(slot_id):
            raise SlotTaken
        expires = min(now + timedelta(minutes=slot.hold_min), slot.end)
        try:
            with transaction.atomic():
                SlotHold.objects.create(slot_id=slot_id, subject=subject, expires_at=expires, created_at=now)
        except IntegrityError as error:  # she asked twice at the same moment: the other one stands
            raise SlotTaken from error
        return expires


def expire_holds(now: datetime | None = None) -> int:
    """Put back what was held too long; each hold is released once. Returns how many."""
    now = now or timezone.now()
    with tenancy.service("expire holds"):
        due = SlotHold.objects.filter(state=SlotHold.State.HELD, expires_at__lte=now).order_by("expires_at")
        found = list(due.values_list("hospital_id", "id")[:EXPIRED_AT_ONCE])
    released = 0
    for hospital_id, hold_id in found:
        with tenancy.scope(hospital_id), transaction.atomic():
            released += waiting.release(hold_id, now=now)
    return released


# --- a clinic that does not take place ----------------------------------------------------------------------


@transaction.atomic
def stop(*, schedule_id: UUID, reason: str = "", now: datetime | None = None) -> int:
    """A half day that its hospital stopped (停诊): off sale, holds ended, and everybody booked is told by an event.

    The event frees her place when it is handled, like the hospital's own. In a scope; again is fine. Returns how many
    were booked.
    """
    now = now or timezone.now()
    Schedule.objects.select_for_update(no_key=True).filter(id=schedule_id).values_list("id").first()
    held = SlotHold.objects.filter(slot__schedule_id=schedule_id, state=SlotHold.State.HELD)
    for row in held.order_by("id"):
        if SlotHold.objects.filter(id=row.id, state=SlotHold.State.HELD).update(state=SlotHold.State.RELEASED):
            places.count_back(row.slot_id)
            waiting.back_in_line([row.id])
    mine = Slot.objects.filter(schedule_id=schedule_id)
    # After this nobody can take a place: whoever was quicker is found below.
    mine.filter(stopped=False).update(stopped=True, changed_at=now)
    Schedule.objects.filter(id=schedule_id, stopped_at=None).update(stopped_at=now, changed_at=now)
    booked = Appointment.objects.filter(slot__schedule_id=schedule_id, state__in=TAKEN).values_list("id", flat=True)
    for appointment_id in list(booked):
        inbox.store(_stopped(schedule_id, appointment_id, reason, now))
    return len(booked)


def _stopped(schedule_id: UUID, appointment_id: UUID, reason: str, now: datetime) -> HospitalEvent:
    """As the hospital would have told it of this appointment, after all it has told so far."""
    last = InboxEvent.objects.filter(appointment_key=str(appointment_id)).aggregate(last=Max("sequence"))["last"]
    return HospitalEvent(
        event_id=f"stopped:{schedule_id}:{appointment_id}",
        type=EventType.SCHEDULE_STOPPED,
        hospital_id=tenancy.current(),
        appointment_id=str(appointment_id),
        sequence=(last or 0) + 1,
        occurred_at=now,
        data=Reason(text=reason or "医生停诊"),
    )
