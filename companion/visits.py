"""Visits as rows: what happened is recorded once, the journey folded anew, and due prompts put down to be said.

Every write ends in ``_record``: the event goes into VisitEvent under a key that makes it once, the whole visit is
folded by companion.journey, and after the commit whoever is connected is told (companion.fanout). Functions are
synchronous and atomic; async callers go through companion.desks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone
from pydantic import TypeAdapter
from redis import RedisError

from companion import acting, cards, fanout, journey, prompts, reminders
from companion.exceptions import NotAllowed, NotFound, NotNow
from companion.journey import Choice, Happened, Journey, OwnData, OwnEvent, Refusal, Travel, VisitState
from companion.journey.folding import fold
from companion.journey.next_step import next_step
from companion.models import (
    UNSAID,
    FamilyLink,
    Incident,
    Patient,
    PaymentOrder,
    Reminder,
    Visit,
    VisitEvent,
    VisitPrompt,
)
from companion.wording import PROMPTS
from hospitals import vault
from hospitals.compiled import CompiledUpdate, in_one_go
from hospitals.connectors import codec
from hospitals.connectors.base import (
    DiagnosticReport,
    EventData,
    EventType,
    HospitalEvent,
    Invoice,
    Reason,
    Reference,
)
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
    OwnEvent.PAYMENT_HELD: Refusal,
    OwnEvent.PAYMENT_CONFIRMED: Reference,
    OwnEvent.PAYMENT_RETURNED: Refusal,
    OwnEvent.PAYMENT_QUESTIONED: Refusal,
    OwnEvent.REPORT_READ: Reference,
    OwnEvent.TRAVEL_TOLD: Travel,
    OwnEvent.MEDICINE_REMINDERS: Choice,
}
_ADAPTERS = {kind: TypeAdapter(data) for kind, data in _DATA.items()}


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
    return fold(happened(row) for row in visit.events.all())


def locked(visit_id: UUID | str) -> Visit:
    visit = Visit.objects.select_for_update(of=("self",)).select_related("patient").filter(id=visit_id).first()
    if visit is None:
        raise UnknownVisit
    return visit


@dataclass(frozen=True, slots=True)
class _News:
    """Something that happened to a visit, not yet on record."""

    visit: Visit
    key: str
    kind: EventType | OwnEvent
    sequence: int
    data: EventData | OwnData
    occurred_at: datetime


def _record(news: Sequence[_News]) -> list[_News]:
    """Store each event once and fold the visits anew. Returns those that were not there already: the others change nothing."""
    visits = {n.visit.id: n.visit for n in news}
    vault.open_keys("resident", {visit.patient.keeper_id for visit in visits.values()})
    stored: dict[UUID, list[VisitEvent]] = {visit_id: [] for visit_id in visits}
    for row in VisitEvent.objects.filter(visit_id__in=visits):
        stored[row.visit_id].append(row)
    known = {(row.visit_id, row.key) for rows in stored.values() for row in rows}
    fresh, added = [], []
    for n in news:
        if (n.visit.id, n.key) in known:
            continue
        known.add((n.visit.id, n.key))
        row = VisitEvent(
            visit=n.visit,
            resident_id=n.visit.patient.keeper_id,
            key=n.key,
            type=n.kind.value,
            sequence=n.sequence,
            data=_ADAPTERS[n.kind].dump_python(n.data, mode="json") if n.data is not None else None,
            occurred_at=n.occurred_at,
            received_at=timezone.now(),
        )
        stored[n.visit.id].append(row)
        added.append(row)
        fresh.append(n)
    if not fresh:
        return []
    VisitEvent.objects.bulk_create(added)
    changed = {n.visit.id: n.visit for n in fresh}
    stand = [(visit, fold(happened(row) for row in stored[visit_id])) for visit_id, visit in changed.items()]
    to_say = _project(stand)
    told: list[tuple[UUID, dict[str, Any]]] = []
    # a consent may have run out since it was booked
    acts = acting.pairs({visit.resident_id for visit, _now in stand}, {visit.patient_id for visit, _now in stand})
    for visit, now in stand:
        if (visit.resident_id, visit.patient_id) not in acts:
            continue
        shown_as = frame(visit, now, len(stored[visit.id]))
        about = {"patient": str(visit.patient_id), "number": shown_as["number"], "say": visit.id in to_say}
        told.append((visit.resident_id, {"visit": str(visit.id), **about, "frame": shown_as}))
    if told:
        transaction.on_commit(partial(_tell, told))
    return fresh


def frame(visit: Visit, now: Journey, number: int) -> dict[str, Any]:
    """What a page refreshes when this visit changed. ``number``: of the events it is made of."""
    card = cards.main_card(visit, now)
    return {
        "visit": str(visit.id),
        "number": number,
        "state": now.state.value,
        "card": asdict(card) if card else None,
        "next": prompts.options_frame(next_step(now)),
    }


def shown(visit: Visit) -> dict[str, Any]:
    """The frame of a visit as it stands."""
    events = [happened(row) for row in visit.events.all()]
    return frame(visit, fold(events), len(events))


_standing = CompiledUpdate(Visit, "state", "queue_as_of", "snapshot", "changed_at")


def _project(stand: Sequence[tuple[Visit, Journey]]) -> set[UUID]:
    """Write the rows that follow from the journeys. Returns the visits of which something waits to be said."""
    known: dict[UUID, list[VisitPrompt]] = {visit.id: [] for visit, _now in stand}
    for row in VisitPrompt.objects.filter(visit_id__in=known):
        known[row.visit_id].append(row)
    to_say: set[UUID] = set()
    added: list[VisitPrompt] = []
    withdrawn: dict[bool, list[Any]] = {True: [], False: []}
    with in_one_go():
        for visit, now in stand:
            visit.state = now.state.value
            visit.queue_as_of = now.queue.as_of if now.queue else None
            if now.queue:
                visit.snapshot = {"where": [f"{now.queue.place}{now.queue.room_name}", now.queue.room_code]}
            _standing.save(visit)
    for visit, now in stand:
        worth_saying = {prompt.key: prompt for prompt in now.prompts}
        mine = {row.key: row for row in known[visit.id]}
        for key, prompt in worth_saying.items():
            if key not in mine:
                by_itself = PROMPTS[prompt.name].by_itself
                about = {"name": prompt.name, "part_id": prompt.part_id, "by_itself": by_itself}
                added.append(VisitPrompt(visit=visit, key=key, due_at=timezone.now(), **about))
                if by_itself:
                    to_say.add(visit.id)
        for key, row in mine.items():
            if row.name not in _BY_REMINDER and row.obsolete != (key not in worth_saying):
                row.obsolete = key not in worth_saying
                withdrawn[row.obsolete].append(row.id)
            if row.by_itself and row.said_at is None and not row.obsolete:  # a reminder's is not the fold's to withdraw
                to_say.add(visit.id)
    VisitPrompt.objects.bulk_create(added)
    for obsolete, rows in withdrawn.items():
        if rows:
            VisitPrompt.objects.filter(id__in=rows).update(obsolete=obsolete)
    plan_reminders(stand)
    return to_say


def plan_reminders(stand: Sequence[tuple[Visit, Journey]]) -> None:
    """Put down what is to be brought up later; the rows are unique, so planning again adds nothing."""
    this_moment = timezone.now()
    known: dict[UUID, list[Reminder]] = {visit.id: [] for visit, _now in stand}
    for row in Reminder.objects.filter(visit_id__in=known):
        known[row.visit_id].append(row)
    added: list[Reminder] = []
    moved: list[Any] = []
    for visit, now in stand:
        planned = {(str(due.kind), due.part_id, due.at) for due in reminders.plan(now, visit.start, this_moment)}
        for row in known[visit.id]:
            waits_for_beat = row.kind == Reminder.Kind.MEDICINE and row.due_at <= this_moment
            if row.sent_at is None and (row.kind, row.part_id, row.due_at) not in planned and not waits_for_beat:
                moved.append(row.id)  # the visit moved, or this is no longer to be done
        for kind, part_id, at in planned - {(row.kind, row.part_id, row.due_at) for row in known[visit.id]}:
            if at > this_moment:
                added.append(Reminder(visit=visit, kind=kind, part_id=part_id, due_at=at))
    if moved:
        Reminder.objects.filter(id__in=moved).delete()
    Reminder.objects.bulk_create(added, ignore_conflicts=True)


def _tell(told: Sequence[tuple[UUID, dict[str, Any]]]) -> None:
    """Tell residents' open pages what became of their visits."""
    try:
        fanout.publish_all(told)
    except (RedisError, OSError):  # Redis is away: pages look when it is back
        log.warning("notify_failed", count=len(told))


def notify(resident_id: UUID, visit_id: UUID) -> None:
    """Tell the resident's open pages to look at a visit anew.

    Where it is known to what it changed, they are told that too: "patient", "number" (of events, so that an older one that
    comes later is known), "say" (whether something waits to be said), "frame".
    """
    _tell([(resident_id, {"visit": str(visit_id)})])


def on_hospital_event(event: HospitalEvent) -> None:
    """Where a hospital's event enters a visit. Raises ``UnknownVisit``; twice, late or out of order is fine."""
    on_hospital_events([event])


@transaction.atomic
def on_hospital_events(events: Sequence[HospitalEvent]) -> None:
    """The same for many at once, of one hospital or several; all of them or, when one raises, none."""
    ids = {event.appointment_id for event in events}
    locked = Visit.objects.select_for_update(of=("self",)).select_related("patient").filter(id__in=ids)
    visits = {str(visit.id): visit for visit in locked.order_by("id")}  # in one order, so that nobody waits in a circle
    news = []
    for event in events:
        visit = visits.get(str(event.appointment_id))
        if visit is None or visit.hospital_id != event.hospital_id:
            raise UnknownVisit  # another hospital's appointment is as good as none
        news.append(_News(visit, event.event_id, event.type, event.sequence, event.data, event.occurred_at))
    for n in _record(news):
        if isinstance(n.data, DiagnosticReport) and cards.is_critical(n.data):
            codes = [f"report:{n.data.id}"[:80]]
            Incident.objects.create(kind=Incident.Kind.CRITICAL_VALUE, hospital_id=n.visit.hospital_id, codes=codes)
        if n.kind in (EventType.INVOICE_ISSUED, EventType.INVOICE_CANCELLED):
            _paid_too_much(n)
        log.info("visit_event", visit=str(n.visit.id), event_type=n.kind.value, state=n.visit.state)


def _paid_too_much(n: _News) -> None:
    """The bill asks for less than she paid online. Whether the hospital gives that back itself its events do not tell: a person asks."""
    bill_id = n.data.id if isinstance(n.data, (Invoice, Reference)) else ""
    kept = PaymentOrder.objects.filter(visit=n.visit, invoice_id=bill_id, waits_since=None)
    kept = kept.filter(
        state__in=(PaymentOrder.State.PAID, PaymentOrder.State.REFUNDED), amount_fen__gt=F("refunded_fen")
    )
    row = kept.first()
    if row is None:
        return
    bill = next((p for p in journey_of(n.visit).payments if p.invoice.id == bill_id), None)
    if bill is None:  # taken back before it was ever told
        return
    too_much = row.left_fen - (0 if bill.state == "cancelled" else bill.invoice.self_pay_fen)
    if too_much > 0 and kept.filter(id=row.id).update(
        waits_because=PaymentOrder.Waits.LOWERED, waits_since=timezone.now()
    ):
        kind = OwnEvent.PAYMENT_QUESTIONED
        own_event(
            n.visit.id, kind, Refusal(bill_id, prompts.yuan(too_much)), key=f"{kind.value}:{row.id}:{n.key}"[:120]
        )


def on_place_offered(offer: PlaceOffered) -> None:
    """The waiting list reached a patient: the open pages of everybody who may act for her look what there is to say."""
    for link in FamilyLink.objects.filter(patient_id=offer.subject):
        if acting.acts_for(link.resident_id, offer.subject):
            notify(link.resident_id, offer.entry_id)
    log.info("place_offered", hospital=str(offer.hospital_id))


def own_event(visit_id: UUID | str, kind: OwnEvent, data: EventData | OwnData = None, *, key: str = "") -> Journey:
    """Record what the resident or this service did. ``key`` makes it once; without one it happens once a visit."""
    with transaction.atomic():
        visit = locked(visit_id)
        count = visit.events.filter(type__startswith="own.").count()
        _record([_News(visit, key or kind.value, kind, count, data, timezone.now())])
        return journey_of(visit)


@transaction.atomic
def hand_over(patient: Patient, *, from_resident: UUID, also_over: bool = False) -> None:
    """Whoever booked them may not act for this patient any more: her visits that are not over are her own to hear of.

    ``also_over``: those that are over as well.
    """
    states = list(VisitState) if also_over else journey.OPEN
    here = Visit.objects.filter(patient=patient, resident_id=from_resident, state__in=[state.value for state in states])
    for visit in here.select_for_update().order_by("id"):  # held, so that what a hospital tells meanwhile is not undone
        visit.resident_id = patient.keeper_id
        visit.save(update_fields=["resident", "changed_at"])
        transaction.on_commit(partial(notify, patient.keeper_id, visit.id))


# --- reading ----------------------------------------------------------------------------------------------


def visit_for(resident_id: UUID, visit_id: UUID | str) -> Visit:
    """One visit of hers or of somebody she acts for. Raises ``NotFound``."""
    try:
        visit = Visit.objects.select_related("patient").get(id=visit_id)
        acting.may_act_for(resident_id, visit.patient_id)
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
    waiting = VisitPrompt.objects.filter(UNSAID)
    return set(waiting.filter(visit__resident_id__in=residents).order_by().values_list("visit__resident_id", flat=True))


def unsaid(resident_id: UUID) -> list[VisitPrompt]:
    """What is to be said to her unasked, oldest first. Who has said it tells so (``said``)."""
    rows = VisitPrompt.objects.filter(UNSAID, visit__resident_id=resident_id)
    return list(rows.select_related("visit", "visit__patient").order_by("due_at", "id"))


def said(prompts: Iterable[int]) -> None:
    VisitPrompt.objects.filter(id__in=prompts, said_at=None).update(said_at=timezone.now())


def require(journey_now: Journey, *states: VisitState) -> None:
    if journey_now.state not in states:
        raise NotNow
