"""Visits as rows: what happened is recorded once, the journey folded anew, and due prompts put down to be said.

Every write ends in ``_record``: the event goes into VisitEvent under a key that makes it once, the whole visit is
folded by companion.journey, and after the commit whoever is connected hears ``visit.changed``. Functions are
synchronous and atomic; async callers go through companion.port.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Count
from django.utils import timezone
from pydantic import TypeAdapter
from redis import RedisError

from companion import cards, fanout, journey, prompts, reminders
from companion.exceptions import NotAllowed, NotFound, NotNow
from companion.journey import Choice, Happened, Journey, OwnData, OwnEvent, Refusal, Travel, VisitState
from companion.models import FamilyLink, Incident, Patient, Reminder, Visit, VisitEvent, VisitPrompt
from companion.wording import PROMPTS
from hospitals.compiled import Compiled
from hospitals.connectors import codec
from hospitals.connectors.base import DiagnosticReport, EventData, EventType, HospitalEvent, Reason, Reference
from hospitals.services.waiting import PlaceOffered

log = structlog.get_logger(__name__)

# Which data each event carries: the hospitals' own table, and ours.
_DATA: dict[EventType | OwnEvent, Any] = dict(codec.DATA) | {
    OwnEvent.CANCEL_SENT: Reason,
    OwnEvent.CANCELLED: Reason,
    OwnEvent.CANCEL_REFUSED: Reason,
    OwnEvent.CHECK_IN_REFUSED: Reason,
    OwnEvent.PAYMENT_REFUSED: Refusal,
    OwnEvent.PAYMENT_SENT: Reference,
    OwnEvent.REPORT_READ: Reference,
    OwnEvent.TRAVEL_TOLD: Travel,
    OwnEvent.MEDICINE_REMINDERS: Choice,
}
_ADAPTERS = {kind: TypeAdapter(data) for kind, data in _DATA.items()}


_PATIENT = [field.attname for field in Patient._meta.concrete_fields]
_consents = Compiled(  # whatever is asked about somebody begins with it
    lambda resident, patient: FamilyLink.objects.filter(resident=resident, patient=patient).values_list(
        *("relation", "consented_at", "expires_at", "withdrawn_at"), *(f"patient__{name}" for name in _PATIENT)
    ),
    shared=True,
)
_BY_REMINDER = frozenset({"leave_home", "fasting", "follow_up_due", "medicine_due"})


class UnknownVisit(NotFound):
    """The event names an appointment no visit belongs to; the inbox keeps it as a dead letter."""

    code = "unknown_visit"


def happened(row: VisitEvent) -> Happened:
    """The stored row as the journey's value."""
    kind: EventType | OwnEvent = OwnEvent(row.type) if row.type.startswith("own.") else EventType(row.type)
    data: EventData | OwnData = _ADAPTERS[kind].validate_python(row.data) if row.data is not None else None
    return Happened(key=row.key, type=kind, sequence=row.sequence, data=data)


def journey_of(visit: Visit) -> Journey:
    return journey.fold(happened(row) for row in visit.events.all())


def locked(visit_id: UUID | str) -> Visit:
    visit = Visit.objects.select_for_update().select_related("patient").filter(id=visit_id).first()
    if visit is None:
        raise UnknownVisit
    return visit


def _record(
    visit: Visit,
    *,
    key: str,
    kind: EventType | OwnEvent,
    sequence: int,
    data: EventData | OwnData,
    occurred_at: datetime,
) -> bool:
    """Store one event and refold. Returns False when the event was there already (nothing changes then)."""
    payload = _ADAPTERS[kind].dump_python(data, mode="json") if data is not None else None
    if VisitEvent.objects.filter(visit=visit, key=key).exists():
        return False
    VisitEvent.objects.create(
        visit=visit,
        resident_id=visit.resident_id,
        key=key,
        type=kind.value,
        sequence=sequence,
        data=payload,
        occurred_at=occurred_at,
        received_at=timezone.now(),
    )
    events = [happened(row) for row in visit.events.all()]
    now = journey.fold(events)
    to_say = _project(visit, now)
    shown_as = frame(visit, now, len(events))
    changed = {"patient": str(visit.patient_id), "number": len(events), "say": to_say, "frame": shown_as}
    transaction.on_commit(partial(notify, visit.resident_id, visit.id, changed))
    return True


def frame(visit: Visit, now: Journey, number: int) -> dict[str, Any]:
    """What a page refreshes when this visit changed. ``number``: of the events it is made of."""
    card = cards.main_card(visit, now)
    return {
        "visit": str(visit.id),
        "number": number,
        "state": now.state.value,
        "card": asdict(card) if card else None,
        "next": prompts.options_frame(journey.next_step(now)),
    }


def shown(visit: Visit) -> dict[str, Any]:
    """The frame of a visit as it stands."""
    events = [happened(row) for row in visit.events.all()]
    return frame(visit, journey.fold(events), len(events))


def _project(visit: Visit, now: Journey) -> bool:
    """Write the rows that follow from the journey. Returns whether something of this visit waits to be said."""
    visit.state = now.state.value
    visit.queue_as_of = now.queue.as_of if now.queue else None
    if now.queue:
        visit.place, visit.room_code = f"{now.queue.place}{now.queue.room_name}", now.queue.room_code
    visit.save(update_fields=["state", "queue_as_of", "place", "room_code", "changed_at"])
    worth_saying = {prompt.key: prompt for prompt in now.prompts}
    known = {row.key: row for row in visit.prompts.all()}
    to_say = any(PROMPTS[p.name].by_itself for key, p in worth_saying.items() if key not in known)
    for key, prompt in worth_saying.items():
        if key not in known:
            VisitPrompt.objects.create(
                visit=visit,
                key=key,
                name=prompt.name,
                part_id=prompt.part_id,
                by_itself=PROMPTS[prompt.name].by_itself,
                due_at=timezone.now(),
            )
    for key, row in known.items():
        if row.name in _BY_REMINDER:  # not the fold's to withdraw
            continue
        if row.obsolete != (key not in worth_saying):
            row.obsolete = key not in worth_saying
            row.save(update_fields=["obsolete"])
    plan_reminders(visit, now)
    return to_say or any(row.by_itself and row.said_at is None and not row.obsolete for row in known.values())


def plan_reminders(visit: Visit, now: Journey) -> None:
    """Put down what is to be brought up later; the rows are unique, so planning again adds nothing."""
    this_moment = timezone.now()
    planned = {(str(due.kind), due.part_id, due.at) for due in reminders.plan(now, visit.start, this_moment)}
    for row in visit.reminders.filter(sent_at=None):
        waits_for_beat = row.kind == Reminder.Kind.MEDICINE and row.due_at <= this_moment
        if (row.kind, row.part_id, row.due_at) not in planned and not waits_for_beat:
            row.delete()  # the visit moved, or this is no longer to be done
    for kind, part_id, at in planned:
        if at > this_moment:
            Reminder.objects.get_or_create(visit=visit, kind=kind, part_id=part_id, due_at=at)


def notify(resident_id: UUID, visit_id: UUID, changed: dict[str, Any] | None = None) -> None:
    """Tell the resident's open pages that a visit changed.

    ``changed`` says to what, so that no page has to read it: "patient", "number" (of events, so that an older one that
    comes later is known), "say" (whether something waits to be said), "frame". Without it the pages look themselves.
    """
    try:
        fanout.publish(resident_id, {"visit": str(visit_id)} | (changed or {}))
    except (RedisError, OSError):  # Redis is away: pages look when it is back
        log.warning("notify_failed", visit=str(visit_id))


@transaction.atomic
def on_hospital_event(event: HospitalEvent) -> None:
    """Where a hospital's event enters a visit. Raises ``UnknownVisit``; twice, late or out of order is fine."""
    visit = locked(event.appointment_id)
    if visit.hospital_id != event.hospital_id:
        raise UnknownVisit  # another hospital's appointment is as good as none
    fresh = _record(
        visit,
        key=event.event_id,
        kind=event.type,
        sequence=event.sequence,
        data=event.data,
        occurred_at=event.occurred_at,
    )
    if fresh and isinstance(event.data, DiagnosticReport) and cards.is_critical(event.data):
        Incident.objects.create(
            kind=Incident.Kind.CRITICAL_VALUE, hospital_id=visit.hospital_id, codes=[f"report:{event.data.id}"[:80]]
        )
    log.info("visit_event", visit=str(visit.id), event_type=event.type.value, state=visit.state, outcome=fresh)


def on_place_offered(offer: PlaceOffered) -> None:
    """The waiting list reached a patient: the open pages of everybody who may act for her look what there is to say."""
    for link in FamilyLink.objects.filter(patient_id=offer.subject):
        try:
            may_act_for(link.resident_id, offer.subject)
        except NotAllowed:
            continue
        notify(link.resident_id, offer.entry_id)
    log.info("place_offered", hospital=str(offer.hospital_id))


def own_event(visit_id: UUID | str, kind: OwnEvent, data: EventData | OwnData = None, *, key: str = "") -> Journey:
    """Record what the resident or this service did. ``key`` makes it once; without one it happens once a visit."""
    with transaction.atomic():
        visit = locked(visit_id)
        count = visit.events.filter(type__startswith="own.").count()
        _record(visit, key=key or kind.value, kind=kind, sequence=count, data=data, occurred_at=timezone.now())
        return journey_of(visit)


# --- reading ----------------------------------------------------------------------------------------------


def may_act_for(resident_id: UUID, patient_id: UUID | str) -> Patient:
    """The patient, if the resident is she or has consent that still holds. Raises ``NotAllowed``."""
    found = _consents.rows(resident=resident_id, patient=_uuid(patient_id))
    if not found:
        raise NotAllowed
    relation, consented_at, expires_at, withdrawn_at, *patient = found[0]
    if withdrawn_at or (expires_at and expires_at <= timezone.now()):
        raise NotAllowed
    if relation != FamilyLink.Relation.SELF and not consented_at:
        raise NotAllowed
    return Patient.from_db(DEFAULT_DB_ALIAS, _PATIENT, patient)


def _uuid(value: UUID | str) -> UUID:
    """Raises ``NotAllowed``: nobody acts for somebody who cannot be."""
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except ValueError as error:
        raise NotAllowed from error


def visit_for(resident_id: UUID, visit_id: UUID | str) -> Visit:
    """One visit of hers or of somebody she acts for. Raises ``NotFound``."""
    try:
        visit = Visit.objects.select_related("patient").get(id=visit_id)
        may_act_for(resident_id, visit.patient_id)
    except (Visit.DoesNotExist, NotAllowed, ValidationError) as error:
        raise NotFound from error
    return visit


def current(patient_id: UUID | str) -> Visit | None:
    """The visit that is under way: the open one that begins or began nearest to now, else the one just finished."""
    return _under_way(Visit.objects.filter(patient_id=patient_id).select_related("patient").order_by("-start")[:20])


def _under_way(visits: Iterable[Visit]) -> Visit | None:
    visits, now = list(visits), timezone.now()
    ended = {state.value for state in journey.ENDED}
    active = [v for v in visits if v.state not in ended]
    # A patient who is inside a hospital is on that visit, whatever else is booked.
    outside = journey.BEFORE_CHECK_IN | {VisitState.CANCELLING}
    inside = [v for v in active if VisitState(v.state) not in outside]
    if inside:
        return max(inside, key=lambda v: v.changed_at)
    if active:
        active = [v for v in active if v.state != VisitState.CANCELLING] or active
        return min(active, key=lambda v: abs(v.start - now))
    done = [v for v in visits if v.state in {VisitState.CLOSED.value, VisitState.FOLLOW_UP.value}]
    return max(done, key=lambda v: v.changed_at) if done else None


def standing(patients: Iterable[UUID]) -> dict[UUID, tuple[UUID, int]]:
    """Of many patients at once: the visit that is under way, and of how many events it is made. Decrypts nothing."""
    rows: dict[UUID, list[Visit]] = {}
    plain = Visit.objects.filter(patient_id__in=patients).only("id", "patient_id", "state", "start", "changed_at")
    for row in plain.order_by("-start"):
        if len(mine := rows.setdefault(row.patient_id, [])) < 20:
            mine.append(row)
    under_way = {patient: visit.id for patient, mine in rows.items() if (visit := _under_way(mine)) is not None}
    events = VisitEvent.objects.filter(visit_id__in=under_way.values()).order_by().values_list("visit_id")
    counted = dict(events.annotate(Count("id")))
    return {patient: (visit, counted.get(visit, 0)) for patient, visit in under_way.items()}


def with_prompts(residents: Iterable[UUID]) -> set[UUID]:
    """Those of them to whom something is to be said unasked, now or when their quiet hours end."""
    waiting = VisitPrompt.objects.filter(said_at=None, obsolete=False, by_itself=True)
    return set(waiting.filter(visit__resident_id__in=residents).order_by().values_list("visit__resident_id", flat=True))


def claim_prompts(resident_id: UUID, *, allowed: Callable[[VisitPrompt], bool]) -> list[VisitPrompt]:
    """The prompts to say now on this socket. Each is handed out once, whichever socket or process asks first."""
    rows = (
        VisitPrompt.objects.filter(visit__resident_id=resident_id, said_at=None, obsolete=False, by_itself=True)
        .select_related("visit", "visit__patient")
        .order_by("due_at", "id")
    )
    mine = []
    for row in rows:
        if allowed(row) and VisitPrompt.objects.filter(id=row.id, said_at=None).update(said_at=timezone.now()):
            mine.append(row)
    return mine


def require(journey_now: Journey, *states: VisitState) -> None:
    if journey_now.state not in states:
        raise NotNow
