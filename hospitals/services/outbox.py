"""Commands on their way to a hospital: written with the deed, delivered after the commit, tried again, never done twice.

Commands of one appointment go in the order they were made. A command is claimed by moving its due time before it is
sent, so two workers never send it at once; the idempotency key lets the hospital recognise a repetition after a crash.
What an answer, or giving up, makes of the appointment stands in hospitals.services.settling.
"""

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, Q, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from hospitals import audit, tenancy
from hospitals.audit import Actor
from hospitals.compiled import CompiledInsert
from hospitals.connectors.base import Acknowledgement, Command, CommandKind
from hospitals.dispatch import after_commit
from hospitals.exceptions import ConnectorRefused, ConnectorUnavailable, Crowded, OutcomeUnknown, VaultError
from hospitals.models import Appointment, Hospital, OutboxCommand
from hospitals.services import circuit, connecting, deliveries

log = structlog.get_logger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 2.0, 300.0
CLAIM_S = 60  # longer than any connector's time-out
GIVE_UP_AFTER = timedelta(hours=24)
CHECK_IN_AT_LEAST = timedelta(minutes=30)  # that long a check-in is tried, also of somebody who came late
State = OutboxCommand.State
# With these the hospital has certainly heard nothing; any other trouble may have come after the deed.
_UNHEARD = frozenset({"connector_unavailable", "no_connection", "circuit_open"}) | {
    "connector_unknown",
    "connector_misconfigured",
    "connectors_unreadable",
}
_commands = CompiledInsert(OutboxCommand)
_jitter = random.SystemRandom()


def put(row: Appointment, kind: CommandKind, *, key: str, data: dict[str, Any] | None = None) -> UUID | None:
    """Write the command into the caller's transaction, to be sent after the commit. Returns its id.

    None when the same deed waits or was accepted; one that came to nothing is sent anew, under the next number.
    """
    now = timezone.now()
    command = OutboxCommand(
        hospital_id=row.hospital_id,
        appointment=row,
        keeper_id=row.keeper_id,
        kind=kind.value,
        data=data or {},
        idempotency_key=key,
        created_at=now,
        next_attempt_at=now,
    )
    if kind is CommandKind.BOOK:
        _commands.save(command)
    else:
        same = Q(idempotency_key=key) | Q(idempotency_key__startswith=f"{key}#")
        states = list(OutboxCommand.objects.filter(same, appointment=row).values_list("state", flat=True))
        if State.WAITING in states or State.ACCEPTED in states:
            return None
        if states:
            command.idempotency_key = f"{key}#{len(states) + 1}"
        if not _commands.save_once(command):  # the same, a moment ago
            return None
    after_commit("hospitals.tasks.deliver_command", str(row.hospital_id), str(command.id))
    return command.id


def withdraw(appointment_id: UUID) -> bool:
    """Take back a booking of which its hospital has never heard, and all that waits behind it. In the deed's transaction."""
    waiting = OutboxCommand.objects.filter(appointment_id=appointment_id, state=State.WAITING)
    if not waiting.filter(kind=CommandKind.BOOK, sent_at=None).update(state=State.WITHDRAWN, done_at=timezone.now()):
        return False
    waiting.update(state=State.WITHDRAWN, done_at=timezone.now())
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
    if row.hospital.state == Hospital.State.SUSPENDED:  # it may be back before the day is over
        _later(row, "hospital_suspended", heard=False)
        return False
    if why := _pointless(row):
        _end(row, State.GIVEN_UP, why, heard=False)
        return False
    try:
        circuit.check(hospital_id)
        connector, command = connecting.connector(row.hospital), command_of(row)
        connecting.let_go_of_database()
        answer = deliveries.execute(connector, command, of=row)
    except ConnectorUnavailable as error:
        circuit.failed(hospital_id, error)
        _later(row, error.code, heard=isinstance(error, OutcomeUnknown) or error.code not in _UNHEARD)
        return False
    except ConnectorRefused as error:
        answer = Acknowledgement(accepted=False, reason=error.detail)
    except VaultError as error:  # it could not be opened to be sent, which is no fault of the hospital's
        log.error("command_unreadable", hospital=str(hospital_id), event_type=row.kind, code=error.code)
        _later(row, error.code, heard=False)
        return False
    except Exception:  # noqa: BLE001  a connector's own bug: the command waits, and other hospitals' go on
        log.exception("connector_failed", hospital=str(hospital_id), event_type=row.kind)
        circuit.failed(hospital_id, ConnectorUnavailable(code="connector_failed"))
        _later(row, "connector_failed", heard=True)
        return False
    circuit.succeeded(hospital_id)
    _end(row, State.ACCEPTED if answer.accepted else State.REFUSED, answer.reason, reference=answer.reference)
    if timezone.now() - row.created_at > timedelta(seconds=FIRST_RETRY_S):
        _send_next()
    return True


def _send_next() -> None:
    """One that had to wait got through, so there may be more: they follow one by one, at the hospital's own pace."""
    rows = OutboxCommand.objects.filter(state=State.WAITING, next_attempt_at__lte=timezone.now())
    behind = rows.order_by("next_attempt_at").values_list("hospital_id", "id").first()
    if behind:
        after_commit("hospitals.tasks.deliver_command", *map(str, behind))


def _claim(command_id: UUID) -> OutboxCommand | None:
    """The command, if it is due and no earlier one of its appointment is still on the way; ``sent_at`` as it was before."""
    now = timezone.now()
    due = OutboxCommand.objects.filter(id=command_id, state=State.WAITING, next_attempt_at__lte=now)
    row = due.select_related("appointment", "appointment__slot", "hospital").first()
    if row is None:
        return None
    earlier = OutboxCommand.objects.filter(
        appointment_id=row.appointment_id, state=State.WAITING, created_at__lt=row.created_at
    )
    if earlier.exists():
        due.update(next_attempt_at=now + timedelta(seconds=FIRST_RETRY_S))  # unless it was claimed meanwhile
        return None
    # Written before it is sent: whoever withdraws it from now on is too late, also when this process dies.
    if not due.update(next_attempt_at=now + timedelta(seconds=CLAIM_S), sent_at=row.sent_at or now):
        return None
    return row


def _pointless(row: OutboxCommand) -> str:
    """Why it is not even sent; "" when it is."""
    if row.hospital.state == Hospital.State.LEFT:
        return "hospital_left"
    if row.kind == CommandKind.BOOK and row.appointment.slot.end <= timezone.now():
        return "slot_over"
    return ""


def _until(row: OutboxCommand) -> datetime:
    """How long it is tried: a day, or while it still helps her."""
    slot, day = row.appointment.slot, row.created_at + GIVE_UP_AFTER
    if row.retry_until is not None:
        return row.retry_until
    if row.kind in (CommandKind.BOOK, CommandKind.CANCEL):
        return min(day, slot.start if row.created_at < slot.start else slot.end)
    if row.kind == CommandKind.CHECK_IN:
        return min(day, max(slot.end, row.created_at + CHECK_IN_AT_LEAST))
    return day


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
        data=row.data or {},
    )


def _later(row: OutboxCommand, reason: str, *, heard: bool) -> None:
    """Again after a while that doubles, with jitter. ``heard``: whether the hospital may have heard of it this time."""
    now = timezone.now()
    if now > _until(row):
        _end(row, State.GIVEN_UP, reason, heard=heard)
        return
    wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(row.attempts, 10)) * _jitter.uniform(0.5, 1.5)
    OutboxCommand.objects.filter(id=row.id, state=State.WAITING).update(
        attempts=row.attempts + 1,
        next_attempt_at=now + timedelta(seconds=wait_s),
        sent_at=row.sent_at or (now if heard else None),
        reason=reason,
    )
    log.warning("command_waits", hospital=str(row.hospital_id), event_type=row.kind, attempt=row.attempts + 1)


@transaction.atomic
def _end(row: OutboxCommand, state: str, reason: str, *, reference: str = "", heard: bool = True) -> None:
    """Write the outcome down, once, with what follows from it."""
    from hospitals.services import settling  # it moves appointments, so it stands above

    if state == State.GIVEN_UP and settling.told_otherwise(row):
        state, reason = State.ACCEPTED, ""
    now = timezone.now()
    row.sent_at = row.sent_at or (now if heard else None)
    # A hospital's own words may speak of her: they go to her, and are not kept here.
    kept = {State.ACCEPTED: "", State.REFUSED: "refused"}.get(State(state), reason[:200])
    mine = OutboxCommand.objects.filter(id=row.id, state=State.WAITING)
    if not mine.update(
        state=state, attempts=row.attempts + 1, sent_at=row.sent_at, done_at=now, reason=kept
    ):  # another worker was quicker
        return
    if state == State.ACCEPTED and reference:
        Appointment.objects.filter(id=row.appointment_id).update(reference=reference[:64])
    log.info("command_answered", hospital=str(row.hospital_id), event_type=row.kind, outcome=str(state))
    settling.settle(row, state, reason)


def give_up_all(reason: str) -> None:
    """End everything that still waits for a hospital, with what follows from it. In its scope and a transaction."""
    waiting = OutboxCommand.objects.filter(state=State.WAITING)
    for row in waiting.select_related("appointment", "appointment__slot", "hospital").order_by("created_at", "id"):
        _end(row, State.GIVEN_UP, reason, heard=False)


def due(limit: int = 200, each: int = 4) -> list[tuple[UUID, UUID]]:
    """(hospital, command) over all hospitals: what a lost task or an outage left behind. None of them takes all places.

    A few of each hospital are enough, since the others follow whoever gets through; one to see whether it answers again;
    none while it is left alone, or a sick hospital's queue would be a burst that the others wait behind.
    """
    now = timezone.now()
    with tenancy.service("outbox sweep"):
        rows = OutboxCommand.objects.filter(state=State.WAITING, next_attempt_at__lte=now)
        rows = rows.alias(open_until=F("hospital__circuit__open_until"))
        mine = Window(RowNumber(), partition_by="hospital_id", order_by="next_attempt_at")
        rows = rows.filter(Q(open_until=None) | Q(open_until__lte=now)).annotate(nth=mine)
        rows = rows.filter(Q(nth=1) | Q(nth__lte=each, open_until=None)).order_by("next_attempt_at")
        return list(rows.values_list("hospital_id", "id")[:limit])


def sweep() -> int:
    """Deliver here what is due. Returns how many were answered."""
    return sum(deliver(hospital_id, command_id) for hospital_id, command_id in due())


@transaction.atomic
def replay(hospital_id: UUID, command_id: UUID, *, actor: Actor) -> bool:
    """Try a command again that was given up, before whatever was made after it. On the audit log, with who did it.

    False for a booking: its place was given back, and she was told. False, too, when its appointment has ended since, when the same
    was asked for anew (to a hospital, which knows it by its key, it would be done twice), or when what it said is no longer kept.
    """
    now = timezone.now()
    with tenancy.scope(hospital_id):
        there = OutboxCommand.objects.exclude(kind=CommandKind.BOOK).exclude(
            appointment__state__in=(Appointment.State.REFUSED, Appointment.State.CANCELLED, Appointment.State.STOPPED)
        )
        mine = there.filter(id=command_id, state=State.GIVEN_UP, data__isnull=False)
        found = mine.values_list("id", flat=True).first() if not _asked_anew(command_id) else None
        changed = found and OutboxCommand.objects.filter(id=found, state=State.GIVEN_UP).update(
            state=State.WAITING, next_attempt_at=now, retry_until=now + GIVE_UP_AFTER, done_at=None, reason=""
        )
        if changed:
            after_commit("hospitals.tasks.deliver_command", str(hospital_id), str(command_id))
            audit.record("outbox.replay", actor=actor, hospital_id=hospital_id, entity="command", entity_id=command_id)
        return bool(changed)


def _asked_anew(command_id: UUID) -> bool:
    row = OutboxCommand.objects.filter(id=command_id).first()
    if row is None:
        return False
    later = OutboxCommand.objects.filter(appointment_id=row.appointment_id, created_at__gt=row.created_at)
    return later.filter(idempotency_key__startswith=f"{row.idempotency_key.partition('#')[0]}#").exists()
