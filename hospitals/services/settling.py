"""What a command's outcome makes of its appointment, and who is told: accepted, refused, or given up.

Handed to settings.HOSPITALS_ANSWER_SINK in the transaction that writes the outcome down, so its effect happens once.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from hospitals.connectors.base import CommandKind, EventType, HospitalEvent, Reason
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed
from hospitals.models import Appointment, Hospital, OutboxCommand
from hospitals.services import inbox, outbox
from hospitals.services.waiting import give_back

State, A = OutboxCommand.State, Appointment.State
_WORDS = {
    "hospital_left": "这家医院已经退出本平台",
    "slot_over": "就诊时间已经过了,医院还没有收到",
    "hospital_suspended": "这家医院暂停了线上服务",
}
UNDO = "undo:"  # how the key of a cancellation begins that nobody asked for
NEVER_ANSWERED = "医院的系统一直没有应答"


@dataclass(frozen=True, slots=True)
class CommandAnswered:
    """``outcome``: accepted | refused | given_up; ``reason``: in words for her."""

    command_id: UUID
    hospital_id: UUID
    appointment_id: UUID
    kind: CommandKind
    outcome: str
    reason: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def told_otherwise(row: OutboxCommand) -> bool:
    """Whether this is a booking that its hospital never answered and whose patient it expects or has seen, by its own events."""
    if row.kind != CommandKind.BOOK:
        return False
    return inbox.state_told(str(row.appointment_id), unhandled=True) in (A.BOOKED, A.CHECKED_IN, A.FINISHED, A.NO_SHOW)


def settle(row: OutboxCommand, outcome: str, reason: str) -> None:
    """In the hospital's scope and the transaction that ended the command."""
    kind = CommandKind(row.kind)
    if outcome == State.GIVEN_UP:
        reason = _WORDS.get(reason, NEVER_ANSWERED)
    if kind is CommandKind.BOOK and outcome != State.ACCEPTED:
        _not_booked(row, outcome, reason)
    elif kind is CommandKind.CANCEL and not _cancelled(row, outcome == State.ACCEPTED):
        return  # it has ended otherwise, and she has heard of that
    if row.appointment.idempotency_key.startswith(inbox.REHEARSAL):
        return
    import_string(settings.HOSPITALS_ANSWER_SINK)(
        CommandAnswered(row.id, row.hospital_id, row.appointment_id, kind, str(outcome), reason.strip("。"), _said(row))
    )


def _said(row: OutboxCommand) -> dict[str, Any]:
    """Nothing where the hospital was erased while this was being written, or it is damaged: the outcome stands without it."""
    try:
        return row.data or {}
    except (KeyDestroyed, CiphertextInvalid):
        return {}


def _cancelled(row: OutboxCommand, agreed: bool) -> bool:
    """The place is free, once; or hers as it was before. Returns whether that changed anything."""
    if row.idempotency_key.startswith(UNDO):
        return False
    if not agreed:
        asked = Appointment.objects.filter(id=row.appointment_id, state=A.CANCELLING)
        return bool(asked.update(state=inbox.state_told(str(row.appointment_id)), changed_at=timezone.now()))
    open_one = Appointment.objects.filter(id=row.appointment_id, state__in=(A.PENDING, A.BOOKED, A.CANCELLING))
    if not open_one.update(state=A.CANCELLED, changed_at=timezone.now()):
        return False
    give_back(row.appointment.slot)
    return True


def _not_booked(row: OutboxCommand, outcome: str, reason: str) -> None:
    """A booking the hospital will not have, or never answered, becomes an event like any other of its.

    What waits behind it is taken back, but for a payment: her money has moved, and the hospital says whether it goes back.
    """
    behind = OutboxCommand.objects.filter(appointment_id=row.appointment_id, state=State.WAITING)
    behind = behind.exclude(kind=CommandKind.PAY)
    comes_back = row.hospital.state != Hospital.State.LEFT
    perhaps = outcome == State.GIVEN_UP and row.sent_at is not None and comes_back
    if perhaps:  # it may have been booked there all the same: when the hospital is back, that is undone
        behind = behind.exclude(kind=CommandKind.CANCEL)
    behind.update(state=State.WITHDRAWN, done_at=timezone.now())
    hers = OutboxCommand.objects.filter(appointment_id=row.appointment_id, state=State.WAITING, kind=CommandKind.CANCEL)
    if perhaps and not hers.exists():
        outbox.put(row.appointment, CommandKind.CANCEL, key=f"{UNDO}{row.appointment_id}", data={"reason": reason})
    refused = HospitalEvent(
        event_id=f"refused:{row.id}",
        type=EventType.APPOINTMENT_REFUSED,
        hospital_id=row.hospital_id,
        appointment_id=str(row.appointment_id),
        sequence=0,
        occurred_at=timezone.now(),
        data=Reason(text=reason or "医院没有接受这次预约"),
    )
    try:
        inbox.store(refused)
    except KeyDestroyed:  # the hospital was erased while this was being written: she hears of it, nothing of it is kept
        inbox.hand_on(refused)
