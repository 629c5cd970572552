"""Commands on their way to a hospital: written with the deed, delivered after the commit, tried again, never done twice.

Commands of one appointment go in the order they were made. A command is claimed by moving its due time before it is
sent, so two workers never send it at once; the idempotency key lets the hospital recognise a repetition after a crash.
"""

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from hospitals import audit, tenancy
from hospitals.audit import Actor
from hospitals.compiled import CompiledInsert
from hospitals.connectors.base import Acknowledgement, Command, CommandKind, EventType, HospitalEvent, Reason
from hospitals.dispatch import after_commit
from hospitals.exceptions import ConnectorRefused, ConnectorUnavailable, Crowded
from hospitals.models import Appointment, OutboxCommand
from hospitals.services import circuit, connecting, deliveries

log = structlog.get_logger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 2.0, 300.0
CLAIM_S = 60  # longer than any connector's time-out
GIVE_UP_AFTER = timedelta(hours=24)
State = OutboxCommand.State
_commands = CompiledInsert(OutboxCommand)
_jitter = random.SystemRandom()


def put(row: Appointment, kind: CommandKind, *, key: str, data: dict[str, Any] | None = None) -> bool:
    """Write the command into the caller's transaction; False when that key is there already. Sent after the commit."""
    if kind is not CommandKind.BOOK and OutboxCommand.objects.filter(idempotency_key=key).exists():
        return False
    command = OutboxCommand(
        hospital_id=row.hospital_id, appointment=row, kind=kind.value, data=data or {}, idempotency_key=key
    )
    _commands.save(command)
    after_commit("hospitals.tasks.deliver_command", str(row.hospital_id), str(command.id))
    return True


def unsent(appointment_id: UUID) -> tuple[str, ...]:
    """Kinds of this appointment's commands that the hospital has not answered yet. In a scope."""
    rows = OutboxCommand.objects.filter(appointment_id=appointment_id, state=State.WAITING)
    return tuple(rows.values_list("kind", flat=True))


def deliver(hospital_id: UUID, command_id: UUID) -> bool:
    """Try one command once. True when the hospital has answered it. Safe to call twice and at once."""
    try:
        with tenancy.scope(hospital_id), circuit.place(hospital_id):
            return _deliver(hospital_id, command_id)
    except Crowded:  # it stays due
        return False


def _deliver(hospital_id: UUID, command_id: UUID) -> bool:
    row = _claim(command_id)
    if row is None:
        return False
    try:
        circuit.check(hospital_id)
        connector, command = connecting.connector(row.hospital), command_of(row)
        connecting.let_go_of_database()
        answer = deliveries.execute(connector, command, of=row)
    except ConnectorUnavailable as error:
        circuit.failed(hospital_id, error)
        _later(row, error.code)
        return False
    except ConnectorRefused as error:
        answer = Acknowledgement(accepted=False, reason=error.detail)
    except Exception:  # noqa: BLE001  a connector's own bug: the command waits, and other hospitals' go on
        log.exception("connector_failed", hospital=str(hospital_id), event_type=row.kind)
        circuit.failed(hospital_id, ConnectorUnavailable(code="connector_failed"))
        _later(row, "connector_failed")
        return False
    circuit.succeeded(hospital_id)
    _done(row, answer)
    return True


def _claim(command_id: UUID) -> OutboxCommand | None:
    """The command, if it is due and no earlier one of its appointment is still on the way."""
    now = timezone.now()
    due = OutboxCommand.objects.filter(id=command_id, state=State.WAITING, next_attempt_at__lte=now)
    row = due.select_related("appointment", "appointment__slot", "hospital").first()
    if row is None:
        return None
    earlier = OutboxCommand.objects.filter(
        appointment_id=row.appointment_id, state=State.WAITING, created_at__lt=row.created_at
    )
    if earlier.exists():
        OutboxCommand.objects.filter(id=row.id).update(next_attempt_at=now + timedelta(seconds=FIRST_RETRY_S))
        return None
    if not due.update(next_attempt_at=now + timedelta(seconds=CLAIM_S)):
        return None
    return row


def command_of(row: OutboxCommand) -> Command:
    """As the hospital's system is told it."""
    from hospitals.services.booking import card_of  # booking writes commands, so it stands above

    kind = CommandKind(row.kind)
    return Command(
        kind=kind,
        idempotency_key=row.idempotency_key,
        hospital_id=row.hospital_id,
        appointment_id=str(row.appointment_id),
        slot_identifier=row.appointment.slot.identifier,
        patient=card_of(row.appointment) if kind is CommandKind.BOOK else None,
        data=row.data,
    )


def _later(row: OutboxCommand, reason: str) -> None:
    """Again after a while that doubles, with jitter; after a day it is a person's work."""
    wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(row.attempts, 10)) * _jitter.uniform(0.5, 1.5)
    given_up = timezone.now() - row.created_at > GIVE_UP_AFTER
    OutboxCommand.objects.filter(id=row.id).update(
        attempts=row.attempts + 1,
        next_attempt_at=timezone.now() + timedelta(seconds=wait_s),
        state=State.GIVEN_UP if given_up else State.WAITING,
        reason=reason,
    )
    log.warning("command_waits", hospital=str(row.hospital_id), event_type=row.kind, attempt=row.attempts + 1)


@transaction.atomic
def _done(row: OutboxCommand, answer: Acknowledgement) -> None:
    """Write the answer down; a booking the hospital will not have becomes an event like any other of its."""
    OutboxCommand.objects.filter(id=row.id).update(
        state=State.ACCEPTED if answer.accepted else State.REFUSED,
        attempts=row.attempts + 1,
        done_at=timezone.now(),
        reason=answer.reason[:200],
    )
    if answer.accepted and answer.reference:
        Appointment.objects.filter(id=row.appointment_id).update(reference=answer.reference[:64])
    log.info("command_answered", hospital=str(row.hospital_id), event_type=row.kind, outcome=answer.accepted)
    if not answer.accepted and row.kind == CommandKind.BOOK:
        from hospitals.services import inbox  # the inbox moves appointments, so it stands above

        inbox.store(
            HospitalEvent(
                event_id=f"refused:{row.id}",
                type=EventType.APPOINTMENT_REFUSED,
                hospital_id=row.hospital_id,
                appointment_id=str(row.appointment_id),
                sequence=0,
                occurred_at=timezone.now(),
                data=Reason(text=answer.reason or "医院没有接受这次预约"),
            )
        )


def due(limit: int = 200, each: int = 20) -> list[tuple[UUID, UUID]]:
    """(hospital, command) over all hospitals: what a lost task or an outage left behind. None of them takes all places."""
    with tenancy.service("outbox sweep"):
        rows = OutboxCommand.objects.filter(state=State.WAITING, next_attempt_at__lte=timezone.now())
        mine = Window(RowNumber(), partition_by="hospital_id", order_by="next_attempt_at")
        rows = rows.annotate(nth=mine).filter(nth__lte=each).order_by("next_attempt_at")
        return list(rows.values_list("hospital_id", "id")[:limit])


def sweep() -> int:
    """Deliver here what is due. Returns how many were answered."""
    return sum(deliver(hospital_id, command_id) for hospital_id, command_id in due())


@transaction.atomic
def replay(hospital_id: UUID, command_id: UUID, *, actor: Actor) -> bool:
    """Try a command again that was given up. On the audit log, with who did it."""
    with tenancy.scope(hospital_id):
        changed = OutboxCommand.objects.filter(id=command_id, state=State.GIVEN_UP).update(
            state=State.WAITING, next_attempt_at=timezone.now(), created_at=timezone.now(), reason=""
        )
        if changed:
            after_commit("hospitals.tasks.deliver_command", str(hospital_id), str(command_id))
            audit.record("outbox.replay", actor=actor, hospital_id=hospital_id, entity="command", entity_id=command_id)
        return bool(changed)
