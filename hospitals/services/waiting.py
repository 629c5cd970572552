"""The waiting list (候补): a place that comes free is held for whoever has waited longest, and she is told of it.

A held place is booked like any other; when the hold runs out it goes to the next in line. Locks are taken in one order
everywhere, hold, slot, entry, so that no two of these functions wait for each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.module_loading import import_string

from hospitals import compiled, tenancy
from hospitals.dispatch import after_commit
from hospitals.exceptions import AlreadyBooked, InvalidInput, NotFound
from hospitals.models import Department, Hospital, Slot, SlotHold, WaitingEntry
from hospitals.services import places

log = structlog.get_logger(__name__)

State = WaitingEntry.State
IN_LINE = (State.WAITING, State.OFFERED)
_TAKE = f"UPDATE {Slot._meta.db_table} SET free = free - 1 WHERE id = %s AND free > 0 AND NOT stopped RETURNING 1"
_TRIED = 50
NIGHT, MORNING = time(22), time(7)  # nobody is expected to look between them
_TOLD_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class PlaceOffered:
    """The event of the waiting list: this place is held for her until ``expires_at``. ``subject``: a patient's id."""

    entry_id: UUID
    hospital_id: UUID
    subject: UUID
    slot_id: UUID
    hospital: str
    department: str
    practitioner: str
    start: datetime
    expires_at: datetime


def join(
    *,
    department_id: UUID,
    subject: UUID,
    first_day: date,
    last_day: date,
    practitioner_id: UUID | None = None,
    now: datetime | None = None,
) -> UUID:
    """Wait for a place with this department between two days (both included).

    Raises ``AlreadyBooked`` (she waits already), ``InvalidInput`` (days that are over or the wrong way round), ``NotFound``.
    """
    today = timezone.localtime(now).date()
    if last_day < first_day or last_day < today:
        raise InvalidInput("候补的日期不对。", code="bad_days")
    known = Department.objects.filter(withdrawn_at=None, bookable=True, hospital__state=Hospital.State.LIVE)
    department = known.filter(id=department_id).first()
    if department is None:
        raise NotFound("没有找到这个科室。")
    with tenancy.scope(department.hospital_id):
        hers = WaitingEntry.objects.filter(department=department, subject=subject)
        hers.filter(state=State.WAITING, last_day__lt=today).update(state=State.LEFT)  # those days brought nothing
        if hers.filter(state=State.OFFERED).exists():
            raise AlreadyBooked("已经有一个号给您留着了。", code="already_offered")
        try:
            with transaction.atomic():
                row = WaitingEntry.objects.create(
                    department=department,
                    practitioner_id=practitioner_id,
                    subject=subject,
                    first_day=first_day,
                    last_day=last_day,
                    created_at=now or timezone.now(),
                )
        except IntegrityError as error:
            raise AlreadyBooked("已经在候补了。", code="already_waiting") from error
        return row.id


def leave(*, hospital_id: UUID, entry_id: UUID, subject: UUID, now: datetime | None = None) -> None:
    """Wait no longer; a place held for her goes on at once. Raises ``NotFound``."""
    with tenancy.scope(hospital_id), transaction.atomic():
        row = WaitingEntry.objects.filter(id=entry_id, subject=subject, state__in=IN_LINE).first()
        if row is None:
            raise NotFound
        if row.hold_id is not None:
            release(row.hold_id, now=now or timezone.now())
        WaitingEntry.objects.filter(id=entry_id, state__in=IN_LINE).update(state=State.LEFT)


@dataclass(frozen=True, slots=True)
class Line:
    """Where somebody can wait: a department, or one practitioner of it, whose places of the days looked at are all gone."""

    department_id: UUID
    hospital: str
    department: str
    practitioner_id: UUID | None = None
    practitioner: str = ""


@dataclass(frozen=True, slots=True)
class InLine:
    """Somebody who waits. ``place``: 1 is the next; ``offered``: a place is held for her now."""

    entry_id: UUID
    hospital_id: UUID
    hospital: str
    department: str
    practitioner: str
    first_day: date
    last_day: date
    place: int
    offered: bool


def lines(
    *,
    departments: tuple[str, ...],
    start: datetime,
    end: datetime,
    hospital_id: UUID | None = None,
    practitioner_name: str = "",
    near_city: str = "",
    limit: int = 3,
) -> list[Line]:
    """Departments of these standard names with places between two instants of which none is free; ``near_city`` first."""
    slots = Slot.objects.filter(
        start__gte=start, start__lt=end, stopped=False, department__withdrawn_at=None, department__bookable=True
    ).filter(hospital__state=Hospital.State.LIVE)
    if departments:
        slots = slots.filter(department__standard_name__in=departments)
    if hospital_id:
        slots = slots.filter(hospital_id=hospital_id)
    by = ["department_id", "hospital__name", "department__standard_name", "hospital__city"]
    if practitioner_name:
        slots = slots.filter(practitioner__name__startswith=practitioner_name)
        by += ["practitioner_id", "practitioner__name"]
    full = slots.order_by().values(*by).annotate(most=models.Max("free")).filter(most=0)
    found = sorted(full, key=lambda row: (row["hospital__city"] != near_city, row["hospital__name"]))
    return [
        Line(
            row["department_id"],
            row["hospital__name"],
            row["department__standard_name"],
            row.get("practitioner_id"),
            row.get("practitioner__name", ""),
        )
        for row in found[:limit]
    ]


def waiting_for(*, subject: UUID, now: datetime | None = None) -> list[InLine]:
    """Where she waits, and how many are before her who could take the same places."""
    today = timezone.localtime(now).date()
    with tenancy.service("lines of one person"):
        rows = in_line().filter(subject=subject, last_day__gte=today)
        rows = rows.select_related("department", "department__hospital", "practitioner").order_by("created_at", "id")
        return [
            InLine(
                entry_id=row.id,
                hospital_id=row.hospital_id,
                hospital=row.department.hospital.name,
                department=row.department.standard_name,
                practitioner=row.practitioner.name if row.practitioner else "",
                first_day=row.first_day,
                last_day=row.last_day,
                place=_before(row) + 1,
                offered=row.state == State.OFFERED,
            )
            for row in rows
        ]


def _before(row: WaitingEntry) -> int:
    earlier = Q(created_at__lt=row.created_at) | Q(created_at=row.created_at, id__lt=row.id)
    line = WaitingEntry.objects.filter(
        earlier,
        department_id=row.department_id,
        state=State.WAITING,
        first_day__lte=row.last_day,
        last_day__gte=row.first_day,
    )
    if row.practitioner_id:
        line = line.filter(Q(practitioner=None) | Q(practitioner_id=row.practitioner_id))
    return line.count()


# --- places that come free ----------------------------------------------------------------------------------


def give_back(slot: Slot, *, now: datetime | None = None) -> None:
    """One place is free again: held for whoever waits longest for it, else back on sale. In a scope and a transaction."""
    # Counted first: the row stays locked until the commit, so nobody is quicker than whoever waits.
    if places.count_back(slot.id):
        offer(slot.id, now=now)


def offer_places(slot_ids: Iterable[UUID], *, now: datetime | None = None) -> int:
    """The free places of these slots, as far as somebody waits for them. Returns how many. In a scope and a transaction."""
    waited_for = WaitingEntry.objects.filter(state=State.WAITING).order_by().values("department_id")
    free = Slot.objects.filter(id__in=set(slot_ids), free__gt=0, stopped=False, department_id__in=waited_for)
    offered = 0
    for slot_id in free.order_by("start", "id").values_list("id", flat=True):
        while offer(slot_id, now=now):
            offered += 1
    return offered


def take(slot_id: UUID) -> bool:
    """One place less on sale; False when none is left or the clinic is stopped. The one statement that sells a place."""
    return bool(compiled.fetch(_TAKE, slot_id))


def ask_for(slot_id: UUID) -> Any:
    """The same among statements that go in one go; for ``compiled.read``."""
    return compiled.ask(_TAKE, slot_id)


def release(hold_id: UUID, *, now: datetime) -> bool:
    """End a hold and give its place back, once. In a scope and a transaction."""
    if not SlotHold.objects.filter(id=hold_id, state=SlotHold.State.HELD).update(state=SlotHold.State.RELEASED):
        return False
    row = SlotHold.objects.select_related("slot").get(id=hold_id)
    give_back(row.slot, now=now)
    hers = WaitingEntry.objects.filter(hold_id=hold_id, state=State.OFFERED)
    if not row.slot.stopped:
        hers.exclude(told_at=None).update(state=State.LEFT)  # she has had her turn
    # Whoever never heard of it stands where she stood; its hold stays with her entry, so that the place goes on.
    again = WaitingEntry.objects.filter(
        department=OuterRef("department"), subject=OuterRef("subject"), state=State.WAITING
    )
    hers.exclude(Exists(again)).update(state=State.WAITING, told_at=None)
    hers.update(state=State.LEFT)
    return True


def offer(slot_id: UUID, *, now: datetime | None = None) -> bool:
    """Hold a free place of this slot for the first who waits for it. False when nobody does. In a scope."""
    now = now or timezone.now()
    slot = Slot.objects.select_related("hospital").get(id=slot_id)
    if slot.stopped or slot.start <= now or slot.hospital.state != Hospital.State.LIVE:
        return False
    day = timezone.localtime(slot.start).date()
    holding = SlotHold.objects.filter(slot_id=slot_id, state=SlotHold.State.HELD).values("subject")
    line = WaitingEntry.objects.filter(
        Q(practitioner=None) | Q(practitioner_id=slot.practitioner_id),
        department_id=slot.department_id,
        state=State.WAITING,
        first_day__lte=day,
        last_day__gte=day,
    ).exclude(Q(subject__in=holding) | Q(hold__slot_id=slot_id))
    for entry in line.order_by("created_at", "id")[:_TRIED]:
        if not WaitingEntry.objects.filter(id=entry.id, state=State.WAITING).update(state=State.OFFERED):
            continue  # somebody else's place reached her meanwhile
        if not take(slot_id):
            WaitingEntry.objects.filter(id=entry.id).update(state=State.WAITING)
            return False
        kept = SlotHold.objects.create(slot=slot, subject=entry.subject, expires_at=_until(slot, now), created_at=now)
        WaitingEntry.objects.filter(id=entry.id).update(hold=kept, told_at=None)
        after_commit("hospitals.tasks.tell_of_place", str(entry.hospital_id), str(entry.id))
        return True
    return False


def _until(slot: Slot, now: datetime) -> datetime:
    """Longer than a hold made by hand, because she is not looking; not in the night, and never past the slot itself."""
    lasts = timedelta(minutes=3 * slot.hospital.hold_min)
    until = _by_day(now) + lasts
    if _by_day(until) != until:
        until = _by_day(until) + lasts
    return min(until, slot.start)


def _by_day(at: datetime) -> datetime:
    """The same moment, or the morning that ends its night."""
    local = timezone.localtime(at)
    if MORNING <= local.time() < NIGHT:
        return at
    days = 1 if local.time() >= NIGHT else 0
    return timezone.make_aware(datetime.combine(local.date() + timedelta(days=days), MORNING))


def in_line() -> "models.QuerySet[WaitingEntry]":
    """Everybody who waits or has a place held for her."""
    return WaitingEntry.objects.filter(state__in=IN_LINE)


def satisfied(*, department_id: UUID, subject: UUID) -> None:
    """She has a place with this department now. In a scope."""
    in_line().filter(department_id=department_id, subject=subject).update(state=State.BOOKED)


def back_in_line(hold_ids: list[UUID]) -> None:
    """The places held for them are gone through no fault of theirs: they wait on where they stood. In a scope."""
    WaitingEntry.objects.filter(hold_id__in=hold_ids, state=State.OFFERED).update(
        state=State.WAITING, hold=None, told_at=None
    )


# --- telling her --------------------------------------------------------------------------------------------


def _offered(row: WaitingEntry) -> PlaceOffered:
    assert row.hold is not None
    slot = row.hold.slot
    return PlaceOffered(
        entry_id=row.id,
        hospital_id=row.hospital_id,
        subject=row.subject,
        slot_id=slot.id,
        hospital=slot.hospital.name,
        department=slot.department.name,
        practitioner=slot.practitioner.name,
        start=slot.start,
        expires_at=row.hold.expires_at,
    )


def _open_offers(now: datetime) -> "models.QuerySet[WaitingEntry]":
    return WaitingEntry.objects.filter(
        state=State.OFFERED, told_at=None, hold__state=SlotHold.State.HELD, hold__expires_at__gt=now
    ).select_related("hold", "hold__slot", "hold__slot__hospital", "hold__slot__department", "hold__slot__practitioner")


def offered(subjects: Iterable[UUID]) -> set[UUID]:
    """Those of them for whom a place is held that they have not been told of."""
    with tenancy.service("offers of several persons"):
        held = _open_offers(timezone.now()).filter(subject__in=subjects)
        return set(held.order_by().values_list("subject", flat=True))


def tell(hospital_id: UUID, entry_id: UUID, *, now: datetime | None = None) -> bool:
    """Hand the event to settings.HOSPITALS_OFFER_SINK while she has not heard of it. Safe to call twice."""
    with tenancy.scope(hospital_id):
        row = _open_offers(now or timezone.now()).filter(id=entry_id).first()
        if row is None:
            return False
        import_string(settings.HOSPITALS_OFFER_SINK)(_offered(row))
        return True


def sweep(*, now: datetime | None = None) -> int:
    """Tell again of what a lost task left behind. Returns how many."""
    now = now or timezone.now()
    with tenancy.service("offers not told"):
        rows = list(_open_offers(now).values_list("hospital_id", "id")[:_TOLD_AT_ONCE])
    return sum(tell(hospital_id, entry_id, now=now) for hospital_id, entry_id in rows)


def offers(*, subject: UUID, now: datetime | None = None) -> list[PlaceOffered]:
    """The places held for her that she has not been told of. Who has told her says so (``told``)."""
    with tenancy.service("offers of one person"):
        return [
            _offered(row) for row in _open_offers(now or timezone.now()).filter(subject=subject).order_by("created_at")
        ]


def told(offers: Iterable[PlaceOffered], *, now: datetime | None = None) -> None:
    """She has been told of them."""
    for offer in offers:
        with tenancy.scope(offer.hospital_id):
            rows = WaitingEntry.objects.filter(id=offer.entry_id, told_at=None, state=State.OFFERED)
            rows.update(told_at=now or timezone.now())


def holds(*, hospital_id: UUID, slot_id: UUID, subject: UUID, now: datetime | None = None) -> bool:
    """Whether a place of this slot is held for her."""
    with tenancy.scope(hospital_id):
        mine = SlotHold.objects.filter(slot_id=slot_id, subject=subject, state=SlotHold.State.HELD)
        return mine.filter(expires_at__gt=now or timezone.now()).exists()
