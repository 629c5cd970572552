"""Hospitals that do not call us are asked: what has changed since the last time, stored once by each event's own id.

Where the last poll ended is kept in the cache, for as long as a hospital may be away: without it the last day is read again, which
tells nothing twice.
"""

import contextlib
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.core.cache import cache
from django.utils import timezone

from hospitals import tenancy
from hospitals.connectors.base import HospitalEvent
from hospitals.connectors.fhir import FhirConnector
from hospitals.exceptions import CircuitOpen, ConnectorUnavailable, Crowded
from hospitals.models import Appointment, Hospital
from hospitals.services import circuit, connecting, inbox

log = structlog.get_logger(__name__)

LOOK_BACK = timedelta(days=1)
BUSY_S = 300  # longer than a poll may take: one hospital is asked by one worker at a time


def _cursor(hospital_id: UUID) -> str:
    return f"hospitals:poll:{hospital_id}:reached"


def poll(hospital_id: UUID, *, now: datetime | None = None) -> int:
    """Ask one hospital. Returns how many events were told of its visits; 0 when it is being asked already or does not answer."""
    hospital = Hospital.objects.get(id=hospital_id)
    try:
        connector = connecting.connector(hospital)
    except ConnectorUnavailable as error:
        log.error("poll_misconfigured", hospital=hospital.code, code=error.code)
        return 0
    if not isinstance(connector, FhirConnector):
        return 0
    busy = f"{_cursor(hospital_id)}:busy"
    if not cache.add(busy, 1, BUSY_S):
        return 0
    try:
        reached = cache.get(_cursor(hospital_id))
        since = (now or timezone.now()) - LOOK_BACK
        try:
            with circuit.place(hospital_id):
                circuit.check(hospital_id)
                connecting.let_go_of_database()
                found = connector.poll(hospital_id, since, reached)
        except ConnectorUnavailable as error:
            circuit.failed(hospital_id, error)
            if not isinstance(error, CircuitOpen | Crowded):
                log.warning("poll_failed", hospital=str(hospital_id), code=error.code)
            return 0
        circuit.succeeded(hospital_id)
        with tenancy.scope(hospital_id):
            ours = _ours(found.events)
            for event in ours:
                inbox.store(event)
        if len(ours) < len(found.events):
            log.warning("poll_of_others", hospital=str(hospital_id), count=len(found.events) - len(ours))
        # Only now: a crash before this reads the same again. A hospital's clock that runs ahead must not skip what comes.
        present = timezone.now()
        cache.set(_cursor(hospital_id), {kind: min(at, present) for kind, at in found.reached.items()}, timeout=None)
        return len(ours)
    finally:
        cache.delete(busy)


def _ours(events: tuple[HospitalEvent, ...]) -> list[HospitalEvent]:
    """Those of this hospital's own appointments. A server that several hospitals share shows more: nothing of it is kept."""
    keys = set()
    for event in events:
        with contextlib.suppress(ValueError):
            keys.add(UUID(event.appointment_id))
    known = {str(key) for key in Appointment.objects.filter(id__in=keys).values_list("id", flat=True)}
    return [event for event in events if event.appointment_id in known]


def asked() -> list[UUID]:
    """The hospitals to poll: connected by FHIR, and live or being tried out."""
    speaking = (Hospital.State.SANDBOX, Hospital.State.CONFORMANCE_PASSED, Hospital.State.LIVE)
    rows = Hospital.objects.filter(connector__in=connecting.names(FhirConnector), state__in=speaking)
    return list(rows.values_list("id", flat=True))
