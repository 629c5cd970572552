"""The waiting list (候补): when a place comes free, whoever has waited longest gets it held, and its hospital is told nothing yet.

A held place is booked like any other; if the hold runs out it goes to the next in line.
"""

from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from hospitals import tenancy
from hospitals.exceptions import AlreadyBooked, NotFound
from hospitals.models import Department, Slot, SlotHold, WaitingEntry

State = WaitingEntry.State


def join(
    *,
    department_id: UUID,
    subject: UUID,
    first_day: date,
    last_day: date,
    practitioner_id: UUID | None = None,
) -> UUID:
    """Wait for a place with this department between two days (both included). Raises ``AlreadyBooked``, ``NotFound``."""
    department = Department.objects.filter(id=department_id, withdrawn_at=None).first()
    if department is None:
        raise NotFound
    with tenancy.scope(department.hospital_id):
        try:
            with transaction.atomic():
                row = WaitingEntry.objects.create(
                    department=department,
                    practitioner_id=practitioner_id,
                    subject=subject,
                    first_day=first_day,
                    last_day=last_day,
                )
        except IntegrityError as error:
            raise AlreadyBooked("已经在候补了。") from error
        return row.id


def leave(*, hospital_id: UUID, entry_id: UUID) -> None:
    """Wait no longer; a place held for her runs out by itself. Raises ``NotFound``."""
    with tenancy.scope(hospital_id):
        if not WaitingEntry.objects.filter(id=entry_id, state__in=(State.WAITING, State.OFFERED)).update(
            state=State.LEFT
        ):
            raise NotFound


def offer(slot: Slot) -> bool:
    """A place of this slot came free: hold it for the first who waits for it. False when nobody does. In a scope."""
    now = timezone.now()
    if slot.stopped or slot.start <= now:
        return False
    day = timezone.localtime(slot.start).date()
    line = WaitingEntry.objects.filter(
        department_id=slot.department_id, state=State.WAITING, first_day__lte=day, last_day__gte=day
    )
    for entry in line.order_by("created_at", "id")[:50]:
        if entry.practitioner_id not in (None, slot.practitioner_id):
            continue
        if not WaitingEntry.objects.filter(id=entry.id, state=State.WAITING).update(state=State.OFFERED):
            continue  # somebody else's place reached her meanwhile
        if SlotHold.objects.filter(slot=slot, subject=entry.subject, state=SlotHold.State.HELD).exists():
            continue
        kept = SlotHold.objects.create(slot=slot, subject=entry.subject, expires_at=_until(slot, now))
        WaitingEntry.objects.filter(id=entry.id).update(hold=kept)
        return True
    return False


def _until(slot: Slot, now: datetime) -> datetime:
    """Longer than a hold made by hand, because she is not looking; never past the slot itself."""
    return min(now + timedelta(minutes=3 * slot.hospital.hold_min), slot.start)


def satisfied(*, slot: Slot, subject: UUID) -> None:
    """She has a place with this department now. In a scope."""
    WaitingEntry.objects.filter(
        department_id=slot.department_id, subject=subject, state__in=(State.WAITING, State.OFFERED)
    ).update(state=State.BOOKED)


def lapsed(hold: SlotHold) -> None:
    """A place that was held for somebody waiting ran out: she has had her turn. In a scope."""
    WaitingEntry.objects.filter(hold=hold, state=State.OFFERED).update(state=State.LEFT)


def offers_for(*, subject: UUID) -> list[SlotHold]:
    """The places held for her now, in whatever hospital."""
    with tenancy.service("holds of one person"):
        rows = SlotHold.objects.filter(subject=subject, state=SlotHold.State.HELD, expires_at__gt=timezone.now())
        return list(rows.select_related("slot", "slot__department", "slot__practitioner").order_by("expires_at"))
