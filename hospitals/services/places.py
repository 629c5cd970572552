"""Which slots are on sale, and how many of their places: what the services that write slots keep right.

``Slot.stopped`` is all that selling looks at. It follows from the slot's own word (``stopped_itself``) and from its half day,
practitioner and department; whoever changes one of these calls ``settle``.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Count, F, IntegerField, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from hospitals.models import Appointment, Slot, SlotHold

_OFF_SALE = (
    Q(stopped_itself=True)
    | Q(schedule__stopped_at__isnull=False)
    | Q(schedule__withdrawn_at__isnull=False)
    | Q(practitioner__withdrawn_at__isnull=False)
    | Q(department__withdrawn_at__isnull=False)
    | Q(department__bookable=False)
)


def settle(slots: "QuerySet[Slot]") -> list[UUID]:
    """Take off sale what is stopped or withdrawn and put back what no longer is; returns what came back."""
    now = timezone.now()
    slots.filter(_OFF_SALE, stopped=False).update(stopped=True, changed_at=now)
    back = list(slots.filter(stopped=True).exclude(_OFF_SALE).values_list("id", flat=True))
    Slot.objects.filter(id__in=back).update(stopped=False, changed_at=now)
    return back


def _held(**which: Any) -> "QuerySet[SlotHold]":
    return SlotHold.objects.filter(state=SlotHold.State.HELD, **which).order_by()


def _sold(**which: Any) -> "QuerySet[Appointment]":
    return Appointment.objects.filter(**which).exclude(state__in=Appointment.GAVE_ITS_PLACE_BACK).order_by()


def taken(slot_ids: Iterable[UUID]) -> tuple[Counter[UUID], Counter[UUID]]:
    """Of each slot: places held or sold here; and those of them of which its hospital cannot know yet. In a scope."""
    ids = list(slot_ids)
    held = Counter(_held(slot_id__in=ids).values_list("slot_id", flat=True))
    sold, pending = held.copy(), held.copy()
    for slot_id, state in _sold(slot_id__in=ids).values_list("slot_id", "state"):
        sold[slot_id] += 1
        pending[slot_id] += state == Appointment.State.PENDING
    return sold, pending


def count_back(slot_id: UUID) -> bool:
    """One place more on sale, unless its hospital has counted it already. In a scope and a transaction."""
    # Locked before anything is counted, so that places given back at the same moment see each other.
    Slot.objects.select_for_update(no_key=True).filter(id=slot_id).values_list("id").first()
    left = F("capacity") - _number(_held(slot_id=slot_id)) - _number(_sold(slot_id=slot_id))
    return bool(Slot.objects.filter(id=slot_id, free__lt=left).update(free=F("free") + 1))


def _number(rows: "QuerySet[Any]") -> Coalesce:
    counted = rows.values("slot_id").annotate(n=Count("id")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), Value(0))
