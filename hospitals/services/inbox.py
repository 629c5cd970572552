"""The door by which hospitals' events come in: signature, time, shape, once; then handed to the visit, in the hospital's scope.

Whatever was accepted is in the database before the answer goes out. Each event is handed to settings.HOSPITALS_EVENT_SINK
in the transaction that marks it done, so its effect happens once, whatever crashes.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from hospitals import audit, indexing, tenancy
from hospitals.audit import Actor
from hospitals.connectors import codec, push
from hospitals.connectors.base import EventType, HospitalEvent
from hospitals.dispatch import after_commit
from hospitals.exceptions import BadSignature, EventIdReused, HospitalsError, UnknownAppointment
from hospitals.models import Appointment, Hospital, HospitalCredential, InboxEvent

log = structlog.get_logger(__name__)

State = InboxEvent.State
DIES_AFTER = timedelta(hours=24)
RETRY_AFTER_S, LONGEST_RETRY_S = 10, 600
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_jitter = random.SystemRandom()
REHEARSAL = "rehearsal:"  # how the key of a hospital's test appointment begins: nobody's visit hangs on it
A = Appointment.State

# What an event makes of our own appointment, and from which states; the visit itself is the companion's to move.
_APPOINTMENT: dict[EventType, tuple[tuple[str, ...], str]] = {
    EventType.APPOINTMENT_BOOKED: ((A.PENDING,), A.BOOKED),
    EventType.APPOINTMENT_REFUSED: ((A.PENDING, A.BOOKED), A.REFUSED),
    EventType.APPOINTMENT_CANCELLED: ((A.PENDING, A.BOOKED), A.CANCELLED),
    EventType.APPOINTMENT_NO_SHOW: ((A.PENDING, A.BOOKED, A.CHECKED_IN), A.NO_SHOW),
    EventType.SCHEDULE_STOPPED: ((A.PENDING, A.BOOKED, A.CHECKED_IN), A.STOPPED),
    EventType.ENCOUNTER_CHECKED_IN: ((A.PENDING, A.BOOKED, A.NO_SHOW), A.CHECKED_IN),
    EventType.ENCOUNTER_FINISHED: ((A.PENDING, A.BOOKED, A.CHECKED_IN), A.FINISHED),
}
# The place was given back: nothing that comes late takes it again.
_ENDED = frozenset({A.REFUSED, A.CANCELLED, A.STOPPED})


@dataclass(frozen=True, slots=True)
class Receipt:
    """The same for the first copy of an event and for every later one."""

    event_id: str
    status: str = "accepted"


def hospital_of(code: str) -> Hospital:
    """The hospital that this header names. Raises ``BadSignature``: unknown and suspended look alike from outside."""
    shut = (Hospital.State.APPLIED, Hospital.State.SUSPENDED, Hospital.State.LEFT)
    row = Hospital.objects.filter(code=code).exclude(state__in=shut).first()
    if row is None:
        raise BadSignature
    return row


def accept(*, hospital_id: UUID, body: bytes, headers: Mapping[str, str]) -> Receipt:
    """Take one event in.

    Raises ``BadSignature``, ``StaleTimestamp``, ``BadEvent``, ``UnknownAppointment`` (kept as a dead letter),
    ``EventIdReused`` (nothing is kept).
    """
    with tenancy.scope(hospital_id):
        check_signature(headers, body)
        return store(codec.parse_event(hospital_id, body), its_own_id=True)


def check_signature(headers: Mapping[str, str], body: bytes) -> None:
    """Whether the hospital of the scope signed this. Raises ``BadSignature``, ``StaleTimestamp``."""
    valid = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    known = HospitalCredential.objects.filter(valid, kind=HospitalCredential.Kind.EVENTS)
    push.verify([row.secret for row in known], headers, body)


def row_of(event: HospitalEvent, about: Appointment | None) -> InboxEvent:
    """The event as it is kept, under the keys of its hospital and of her whom it is about.

    Of an appointment that nobody knows it is a dead letter without what it said: whose that is, and under whose key it would
    have to be kept, nobody can tell.
    """
    return InboxEvent(
        hospital_id=event.hospital_id,
        event_id=event.event_id,
        type=event.type.value,
        appointment_key=event.appointment_id,
        sequence=event.sequence,
        keeper_id=about.keeper_id if about else None,
        body=codec.dump_event(event).decode() if about else None,
        digest=digests(event)[0],
        state=State.RECEIVED if about else State.DEAD,
        reason="" if about else UnknownAppointment.code,
    )


def said(event: HospitalEvent) -> tuple[str, str]:
    """What its digest is of, with the purpose; when is only shown, and may be told anew with each copy."""
    return "inbox_event", codec.dump_event(replace(event, occurred_at=_ANY_TIME)).decode()


def digests(event: HospitalEvent) -> tuple[str, ...]:
    """The one to write, and while the blind index's key is being changed the other."""
    return indexing.blind_indexes(*said(event))


def store(event: HospitalEvent, *, its_own_id: bool = False) -> Receipt:
    """Keep an event once and have it handed on; nothing of one about somebody who was erased. In its hospital's scope.

    Raises ``UnknownAppointment``.

    ``its_own_id``: the hospital named it, and must not name two alike (``EventIdReused``); ids that this service makes from a
    hospital's resources may come again with a newer state of the same.
    """
    mine = digests(event)
    row = InboxEvent.objects.filter(event_id=event.event_id).first()
    if its_own_id and row is not None and row.digest not in ("", *mine):
        raise EventIdReused
    about = _appointment(event.appointment_id)
    if about is not None and about.erased_at:
        return Receipt(event.event_id)
    known = about is not None
    if row is None:
        row = row_of(event, about)
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:  # the same event, at the same moment
            if its_own_id and not InboxEvent.objects.filter(event_id=event.event_id, digest__in=mine).exists():
                raise EventIdReused from None
            if not known:
                raise UnknownAppointment from None
            return Receipt(event.event_id)
    elif known and row.state == State.DEAD and row.reason == UnknownAppointment.code:
        # sent again after the appointment became known: it is no dead letter any more
        new = row_of(event, about)
        row.keeper_id, row.body, row.digest = new.keeper_id, new.body, new.digest
        row.save(update_fields=["keeper_id", "body", "digest"])
        _take_up(InboxEvent.objects.filter(id=row.id))
    else:
        if row.reason == UnknownAppointment.code:
            raise UnknownAppointment
        return Receipt(event.event_id)
    if not known:
        log.warning("event_dead", hospital=str(event.hospital_id), event_type=event.type.value, code=row.reason)
        raise UnknownAppointment
    after_commit("hospitals.tasks.hand_over", str(event.hospital_id), str(row.id))
    return Receipt(event.event_id)


def as_uuid(key: str) -> UUID | None:
    """An appointment's id as a hospital wrote it; None where it cannot be one."""
    try:
        return UUID(key)
    except ValueError:
        return None


def _appointment(key: str) -> Appointment | None:
    found = as_uuid(key)
    if found is None:
        return None
    return Appointment.objects.select_related("slot", "slot__schedule").filter(id=found).first()


def handle(hospital_id: UUID, inbox_id: UUID) -> bool:
    """Hand one stored event to the visit. True when it is done or dead. Safe to call twice and at once."""
    with tenancy.scope(hospital_id):
        try:
            with transaction.atomic():
                row = InboxEvent.objects.select_for_update().filter(id=inbox_id, state=State.RECEIVED).first()
                if row is None:
                    return False
                hand_on(codec.parse_event(hospital_id, row.body.encode()))
                InboxEvent.objects.filter(id=row.id).update(state=State.DONE, done_at=timezone.now(), reason="")
                return True
        except Exception as error:  # noqa: BLE001  whatever the visit raises, the event waits and is not lost
            return _failed(hospital_id, inbox_id, error)


def hand_on(event: HospitalEvent) -> None:
    """What it makes of our appointment, and of the visit. In a transaction and the hospital's scope."""
    if not _apply(event).idempotency_key.startswith(REHEARSAL):
        import_string(settings.HOSPITALS_EVENT_SINK)(event)


def _failed(hospital_id: UUID, inbox_id: UUID, error: Exception) -> bool:
    """Refusals with a code are final; anything else is tried again, ever more seldom, for a day."""
    code = str(getattr(error, "code", "") or type(error).__name__)[:60]
    final = bool(getattr(error, "code", "")) and not getattr(error, "retryable", False)
    row = InboxEvent.objects.get(id=inbox_id)
    now = timezone.now()
    dead = final or now - row.received_at > DIES_AFTER
    wait_s = min(LONGEST_RETRY_S, RETRY_AFTER_S * 2 ** min(row.attempts, 10)) * _jitter.uniform(0.5, 1.5)
    InboxEvent.objects.filter(id=inbox_id, state=State.RECEIVED).update(
        attempts=row.attempts + 1,
        reason=code,
        state=State.DEAD if dead else State.RECEIVED,
        next_attempt_at=now + timedelta(seconds=wait_s),
    )
    log.warning(
        "event_dead" if dead else "event_waits",
        hospital=str(hospital_id),
        event_type=row.type,
        code=code,
        exc_info=None if isinstance(error, HospitalsError) or final else error,
    )
    return dead


def _apply(event: HospitalEvent) -> Appointment:
    """Move our own appointment and slot as the event says; returns it as it was. In a transaction and the hospital's scope."""
    row = _appointment(event.appointment_id)
    if row is None:
        raise UnknownAppointment
    if event.type not in _APPOINTMENT:
        return row
    # Held, so that two events of one appointment are folded one after the other.
    Appointment.objects.select_for_update().filter(id=row.id).values_list("id").first()
    row.refresh_from_db(fields=["state"])
    state, moved = state_told(event.appointment_id, event), 0
    if row.state == A.CANCELLING and state in (A.PENDING, A.BOOKED):
        state = A.CANCELLING  # that it was booked is no answer to her wish
    if row.state not in _ENDED and state != row.state:
        moved = Appointment.objects.filter(id=row.id, state=row.state).update(state=state, changed_at=timezone.now())
    from hospitals.services import booking  # booking writes commands and events, so it stands above

    if event.type is EventType.SCHEDULE_STOPPED and row.slot.schedule.stopped_at is None:
        booking.stop(schedule_id=row.slot.schedule_id, reason=getattr(event.data, "text", ""))
    if moved and state in _ENDED:  # whichever event it was that made the end of it
        booking.give_back(row.slot)
    return row


def state_told(appointment_key: str, event: HospitalEvent | None = None, *, unhandled: bool = False) -> str:
    """Where the hospital's events, and this one, put an appointment, in the hospital's order, however they came.

    ``unhandled``: with those that have come and wait to be handled.
    """
    moving = [kind.value for kind in _APPOINTMENT]
    counted = (State.DONE, State.RECEIVED) if unhandled else (State.DONE,)
    heard = InboxEvent.objects.filter(appointment_key=appointment_key, type__in=moving, state__in=counted)
    told = set(heard.values_list("sequence", "event_id", "type"))
    if event is not None:
        told.add((event.sequence, event.event_id, event.type.value))
    state: str = A.PENDING
    for _sequence, _event_id, kind in sorted(told):
        sources, target = _APPOINTMENT[EventType(kind)]
        if state in sources:
            state = target
    return state


def sweep(limit: int = 500, *, after_s: float = RETRY_AFTER_S) -> int:
    """Hand on what a lost task left behind, in the order it came. Returns how many were settled."""
    now = timezone.now()
    with tenancy.service("inbox sweep"):
        waiting = list(
            InboxEvent.objects.filter(
                state=State.RECEIVED, received_at__lte=now - timedelta(seconds=after_s), next_attempt_at__lte=now
            )
            .order_by("received_at")
            .values_list("hospital_id", "id")[:limit]
        )
    return sum(handle(hospital_id, inbox_id) for hospital_id, inbox_id in waiting)


def _take_up(rows: QuerySet[InboxEvent]) -> int:
    """Dead letters among ``rows`` wait again, at once; what fails for a day already is dead again at its first failure.

    Those whose body is not kept cannot: the hospital sends them again.
    """
    return rows.filter(state=State.DEAD, body__isnull=False).update(
        state=State.RECEIVED, reason="", attempts=0, next_attempt_at=timezone.now()
    )


@transaction.atomic
def replay(hospital_id: UUID, inbox_id: UUID, *, actor: Actor) -> bool:
    """Take a dead letter up again, after whatever was wrong has been mended. On the audit log, with who did it."""
    with tenancy.scope(hospital_id):
        changed = _take_up(InboxEvent.objects.filter(id=inbox_id))
        if changed:
            after_commit("hospitals.tasks.hand_over", str(hospital_id), str(inbox_id))
            audit.record("inbox.replay", actor=actor, hospital_id=hospital_id, entity="event", entity_id=inbox_id)
        return bool(changed)
