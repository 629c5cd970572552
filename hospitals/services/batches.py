"""Many events in one signed message, as a hospital's queue board sends them every few seconds.

Each is kept and handled as if it had come alone; those that only move people in queues are handled together, which costs a
fifth. When that fails, each is handled by itself, so that one that is at fault holds up no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from hospitals import tenancy, vault
from hospitals.connectors import codec
from hospitals.connectors.base import EventType, HospitalEvent
from hospitals.dispatch import after_commit
from hospitals.exceptions import BadEvent, HospitalsError
from hospitals.models import Appointment, InboxEvent
from hospitals.services import inbox

log = structlog.get_logger(__name__)

State = InboxEvent.State


@dataclass(frozen=True, slots=True)
class Answer:
    """To one event of the message. ``code``: why it was refused; ``faults``: where in it."""

    event_id: str
    status: str
    code: str = ""
    faults: tuple[dict[str, str], ...] = ()


def accept(*, hospital_id: UUID, body: bytes, headers: Mapping[str, str]) -> list[Answer]:
    """Take a message in; one answer an event, in their order. Raises ``BadSignature``, ``StaleTimestamp``, ``BadEvent``."""
    with tenancy.scope(hospital_id):
        inbox.check_signature(headers, body)
        parsed = codec.parse_batch(hospital_id, body)
        new = _store_new([event for event in parsed if isinstance(event, HospitalEvent)])
        return [_answer(event, new) for event in parsed]


def _store_new(events: Sequence[HospitalEvent]) -> dict[str, HospitalEvent]:
    """Keep those that came for the first time and whose appointment is known; returns them by their ids."""
    there = set(InboxEvent.objects.filter(event_id__in=[e.event_id for e in events]).values_list("event_id", flat=True))
    named = {e.appointment_id for e in events if inbox.as_uuid(e.appointment_id)}
    about = {str(a.id): a for a in Appointment.objects.filter(id__in=named).only("id", "keeper_id", "erased_at")}
    new: dict[str, HospitalEvent] = {}
    for e in events:
        of = about.get(e.appointment_id)
        if of is not None and not of.erased_at and e.event_id not in there:
            new.setdefault(e.event_id, e)
    if not new:
        return {}
    mine = [(event, about[event.appointment_id]) for event in new.values()]
    vault.open_keys("resident", {of.keeper_id for _event, of in mine if of.keeper_id})
    rows = [inbox.row_of(event, of) for event, of in mine]
    with transaction.atomic():
        InboxEvent.objects.bulk_create(rows, ignore_conflicts=True)  # the same event, at the same moment
        after_commit("hospitals.tasks.hand_over_many", str(tenancy.current()), *(str(row.id) for row in rows))
    return new


def _answer(event: HospitalEvent | BadEvent, new: dict[str, HospitalEvent]) -> Answer:
    if isinstance(event, BadEvent):
        return Answer("", "refused", event.code, tuple(event.extra.get("errors", ())))
    if new.get(event.event_id) is not event:
        try:
            inbox.store(event, its_own_id=True)
        except HospitalsError as error:
            return Answer(event.event_id, "refused", error.code)
    return Answer(event.event_id, "accepted")


def handle(hospital_id: UUID, inbox_ids: Sequence[UUID]) -> int:
    """Hand stored events to their visits. Returns how many are done or dead. Safe to call twice and at once."""
    with tenancy.scope(hospital_id):
        try:
            settled = _handle_together(hospital_id, inbox_ids)
        except Exception as error:  # noqa: BLE001  one of them is at fault; apart it is found
            settled = 0
            log.warning("events_apart", hospital=str(hospital_id), code=str(getattr(error, "code", "")))
        waiting = InboxEvent.objects.filter(id__in=inbox_ids, state=State.RECEIVED).order_by("received_at", "sequence")
        left = list(waiting.values_list("id", flat=True))
    return settled + sum(inbox.handle(hospital_id, inbox_id) for inbox_id in left)


@transaction.atomic
def _handle_together(hospital_id: UUID, inbox_ids: Sequence[UUID]) -> int:
    """The queue's movements among them: they move no appointment, so that nothing but the visits is at stake."""
    waiting = InboxEvent.objects.filter(id__in=inbox_ids, state=State.RECEIVED, type=EventType.QUEUE_CHANGED.value)
    rows = list(waiting.select_for_update().order_by("id"))
    vault.open_keys("resident", {row.keeper_id for row in rows if row.keeper_id})
    events = {row.id: codec.parse_event(hospital_id, row.body.encode()) for row in rows}
    booked = Appointment.objects.filter(id__in={event.appointment_id for event in events.values()})
    tests = booked.filter(idempotency_key__startswith=inbox.REHEARSAL).values_list("id", flat=True)
    rehearsed = {str(appointment_id) for appointment_id in tests}
    told = [event for event in events.values() if event.appointment_id not in rehearsed]
    import_string(settings.HOSPITALS_EVENTS_SINK)(told)
    return InboxEvent.objects.filter(id__in=events).update(state=State.DONE, done_at=timezone.now(), reason="")
