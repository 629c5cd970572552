"""A circuit breaker for each hospital's system: after repeated failures it is left alone for a while.

Kept in the database, so that all workers know; written only when something changes. And a bulkhead: however slowly one
hospital answers, it holds no more than a few of a process's threads.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from hospitals import tenancy
from hospitals.exceptions import CircuitOpen, ConnectorUnavailable, Crowded
from hospitals.models import Circuit

OPENS_AFTER = 5
FIRST_REST_S, LONGEST_REST_S = 10.0, 300.0
AT_ONCE = 2  # calls of one process to one hospital

_places: dict[UUID, threading.BoundedSemaphore] = {}


@contextmanager
def place(hospital_id: UUID) -> Iterator[None]:
    """Raises ``Crowded`` where that many calls to this hospital are under way."""
    mine = _places.setdefault(hospital_id, threading.BoundedSemaphore(AT_ONCE))  # one for all, whoever is first
    if not mine.acquire(blocking=False):
        raise Crowded
    try:
        yield
    finally:
        mine.release()


def check(hospital_id: UUID) -> None:
    """Raises ``CircuitOpen`` while the hospital is left alone. When the rest is over one call goes through to see."""
    row = Circuit.objects.filter(hospital_id=hospital_id).first()
    now = timezone.now()
    if row is None or row.open_until is None:
        return
    if row.open_until > now:
        raise CircuitOpen
    # half open: whoever moves the time first may try, everybody else still waits
    rest = now + timedelta(seconds=FIRST_REST_S)
    with tenancy.scope(hospital_id):
        if not Circuit.objects.filter(hospital_id=hospital_id, open_until=row.open_until).update(open_until=rest):
            raise CircuitOpen


def failed(hospital_id: UUID, error: ConnectorUnavailable) -> None:
    """One call did not get through."""
    if isinstance(error, CircuitOpen | Crowded):
        return
    with tenancy.scope(hospital_id):
        row, _created = Circuit.objects.get_or_create(hospital_id=hospital_id)
        failures, rest_s = row.failures + 1, 0.0
        if failures >= OPENS_AFTER:
            rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2 ** min(failures - OPENS_AFTER, 8))
        Circuit.objects.filter(hospital_id=hospital_id).update(
            failures=F("failures") + 1,
            open_until=timezone.now() + timedelta(seconds=rest_s) if rest_s else None,
            last_failure=error.code,
            changed_at=timezone.now(),
        )


def succeeded(hospital_id: UUID) -> None:
    """The hospital answers again."""
    with tenancy.scope(hospital_id):
        Circuit.objects.filter(hospital_id=hospital_id, failures__gt=0).update(
            failures=0, open_until=None, changed_at=timezone.now()
        )
