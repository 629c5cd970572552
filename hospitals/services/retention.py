"""What is kept only so long (settings.HOSPITALS_KEPT_DAYS): bodies are cleared where a row is still needed, other rows go.

An event's row stays without its body: its id makes it once, and its type and number say where it stands among the others. So does
a command's, with its key. What a visit is made of is the companion's and stays. Everything here does a bounded amount and
returns how much: whoever is told that something is left calls again, in whatever process; it may be killed anywhere.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import takewhile
from operator import or_
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from hospitals import tenancy
from hospitals.connectors.base import CommandKind
from hospitals.models import (
    AccessToken,
    Appointment,
    Delivery,
    Hospital,
    IdempotentAnswer,
    InboxEvent,
    OutboxCommand,
    RetentionMark,
    SlotHold,
    WaitingEntry,
)
from hospitals.services import idempotency

log = structlog.get_logger(__name__)

AT_ONCE = 1000
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
Found = list[tuple[UUID, UUID]]  # (hospital, row)


def kept(name: str) -> timedelta:
    """How long what is called so in the settings is kept."""
    return timedelta(days=settings.HOSPITALS_KEPT_DAYS[name])


def sweep(now: datetime | None = None, *, limit: int = AT_ONCE) -> bool:
    """Clear what is due, at most ``limit`` rows a kind (and hospital). True when there may be more."""
    now = now or timezone.now()
    done = {
        "events": _clear(
            InboxEvent, "received_at", InboxEvent.State.RECEIVED, now - kept("events"), limit, _empty_events
        ),
        "commands": _clear(
            OutboxCommand, "created_at", OutboxCommand.State.WAITING, now - kept("commands"), limit, _empty_commands
        ),
    }
    for hospital_id in _with_something_over(now):
        with tenancy.scope(hospital_id):
            for name, rows, order, whose in _over(now):
                done[name] = max(done.get(name, 0), _delete(rows.filter(**{whose: hospital_id}), order, limit))
    log.info("retention", count=sum(done.values()))
    return any(count >= limit for count in done.values())


def _with_something_over(now: datetime) -> list[UUID]:
    """Hospitals of which some row goes altogether: most have none, and cost nothing more than this one query."""
    with tenancy.service("what is kept too long"):
        some = (Q(Exists(rows.filter(**{whose: OuterRef("pk")}))) for _kind, rows, _order, whose in _over(now))
        return list(Hospital.objects.filter(reduce(or_, some)).order_by("id").values_list("id", flat=True))


def _over(now: datetime) -> Iterable[tuple[str, QuerySet[Any], str, str]]:
    """What goes altogether: (kind, rows, in which order, where they name their hospital). In a scope."""
    answers = IdempotentAnswer.objects.filter(created_at__lt=now - idempotency.KEPT)
    waited = WaitingEntry.objects.exclude(state=WaitingEntry.State.OFFERED)
    held = SlotHold.objects.exclude(state=SlotHold.State.HELD)
    before = now - kept("lines")
    return (
        ("deliveries", Delivery.objects.filter(at__lt=now - kept("deliveries")), "at", "hospital"),
        ("answers", answers, "created_at", "hospital"),
        ("tokens", AccessToken.objects.filter(expires_at__lt=now), "expires_at", "client__hospital"),
        ("waiting", waited.filter(last_day__lt=timezone.localtime(before).date()), "last_day", "hospital"),
        ("holds", held.filter(expires_at__lt=before), "expires_at", "hospital"),
    )


def _delete(rows: QuerySet[Any], order: str, limit: int) -> int:
    """Returns how many the database deleted: what it withholds must not count as work that is left."""
    found = list(rows.order_by(order, "pk").values_list("pk", flat=True)[:limit])
    return rows.filter(pk__in=found).delete()[0]


@transaction.atomic
def _clear(
    model: type[models.Model], came: str, unsettled: str, before: datetime, limit: int, empty: Callable[[Found], None]
) -> int:
    """Empty the rows that came before this and after the mark, as far as they are settled, and move the mark."""
    kind = model._meta.model_name or ""
    RetentionMark.objects.get_or_create(kind=kind, defaults={"upto": _BEGINNING})
    mark = RetentionMark.objects.select_for_update().get(kind=kind)
    after = Q(**{f"{came}__gt": mark.upto})
    if mark.row:
        after |= Q(**{came: mark.upto, "id__gt": mark.row})
    with tenancy.service("what is kept too long"):
        due = model._default_manager.filter(after, **{f"{came}__gte": mark.upto, f"{came}__lt": before})
        found = list(due.order_by(came, "id").values_list("hospital_id", "id", came, "state")[:limit])
    # One that waits again after so long is settled within the day; the mark waits for it.
    settled = list(takewhile(lambda row: row[3] != unsettled, found))
    if settled:
        empty([(hospital_id, row_id) for hospital_id, row_id, _came, _state in settled])
        mark.upto, mark.row = settled[-1][2], settled[-1][1]
        mark.save()
    return len(settled)


def _by_hospital(found: Found) -> Iterable[tuple[UUID, list[UUID]]]:
    apart: dict[UUID, list[UUID]] = {}
    for hospital_id, row_id in found:
        apart.setdefault(hospital_id, []).append(row_id)
    return sorted(apart.items())


def _empty_events(found: Found) -> None:
    for hospital_id, ids in _by_hospital(found):
        with tenancy.scope(hospital_id):
            InboxEvent.objects.filter(id__in=ids).update(body=None)


def _empty_commands(found: Found) -> None:
    """With a booking goes the card: it was told, or never will be, and nothing else is done with it."""
    for hospital_id, ids in _by_hospital(found):
        with tenancy.scope(hospital_id):
            rows = OutboxCommand.objects.filter(id__in=ids)
            booked = rows.filter(kind=CommandKind.BOOK.value).values_list("appointment_id", flat=True)
            Appointment.objects.filter(id__in=list(booked)).update(card=None)
            rows.update(data=None)
