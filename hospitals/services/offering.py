"""What FHIR hospitals have on sale, brought into the directory: half days and slots as if they had been uploaded.

Departments and practitioners are uploaded by the hospital; a slot of one that it has not uploaded is left out and counted.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.core.cache import cache
from django.utils import timezone

from hospitals import tenancy
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.fhir.offers import Offers
from hospitals.exceptions import CircuitOpen, ConnectorUnavailable, Crowded
from hospitals.models import Hospital, Practitioner, Schedule, Slot
from hospitals.services import circuit, connecting, upsert
from hospitals.services.rows import Fault, Row, ScheduleRow, SlotRow, parse
from hospitals.services.upsert import Outcome

log = structlog.get_logger(__name__)

LOOK_AHEAD = timedelta(days=28)
BUSY_S = 300
BATCH = 500


def refresh(hospital_id: UUID, *, now: datetime | None = None) -> int:
    """Ask one hospital what it has on sale. Returns how many slots were new or changed."""
    try:
        connector = connecting.connector(Hospital.objects.get(id=hospital_id))
    except ConnectorUnavailable as error:
        log.error("offers_misconfigured", hospital=str(hospital_id), code=error.code)
        return 0
    cursor = f"hospitals:offers:{hospital_id}:reached"
    if not isinstance(connector, FhirConnector) or not cache.add(f"{cursor}:busy", 1, BUSY_S):
        return 0
    try:
        now = now or timezone.now()
        reached = cache.get(cursor)  # None: nothing has been read yet
        try:
            with circuit.place(hospital_id):
                circuit.check(hospital_id)
                connecting.let_go_of_database()
                found, reached = connector.offers(reached, start=now, until=now + LOOK_AHEAD)
        except ConnectorUnavailable as error:
            circuit.failed(hospital_id, error)
            if not isinstance(error, CircuitOpen | Crowded):
                log.warning("offers_failed", hospital=str(hospital_id), code=error.code)
            return 0
        circuit.succeeded(hospital_id)
        with tenancy.scope(hospital_id):
            changed = _write(hospital_id, found)
        present = timezone.now()  # a hospital's clock that runs ahead must not skip what comes
        read = {kind: min(at, present) for kind, at in reached.items() if kind != "until"}
        cache.set(cursor, {**reached, **read}, timeout=None)
        return changed
    finally:
        cache.delete(f"{cursor}:busy")


def _write(hospital_id: UUID, offers: Offers) -> int:
    """Half days before the slots that name them. In the hospital's scope."""
    names = [half_day.identifier for half_day in offers.half_days]
    known = Schedule.objects.filter(hospital_id=hospital_id, identifier__in=names, stopped_at__isnull=False)
    stopped_at = dict(known.values_list("identifier", "stopped_at"))
    half_days = []
    for half_day in offers.half_days:
        # ``active`` that was written before an event stopped this half day does not put it back on sale.
        since = stopped_at.get(half_day.identifier)
        resumed = since is not None and half_day.told_at is not None and half_day.told_at > since
        given = {
            "department": half_day.department,
            "practitioner": half_day.practitioner,
            "day": half_day.day,
            "period": half_day.period,
            "stopped": True if half_day.stopped else False if resumed else None,
        }
        half_days.append((half_day.identifier, ScheduleRow, given))
    fees = _fees(hospital_id, offers)
    slots = []
    for slot in offers.slots:
        given = {
            "schedule": slot.half_day,
            "start": slot.start,
            "end": slot.end,
            "capacity": 1,
            "free": int(slot.free),
            "fee_fen": fees.get(slot.identifier, 0),
            "stopped": slot.stopped,
        }
        slots.append((slot.identifier, SlotRow, given))
    outcomes = _kept(hospital_id, "schedules", half_days)
    written = _kept(hospital_id, "slots", slots)
    faulty = offers.unusable + sum(1 for outcome in (*outcomes, *written) if outcome.fault is not None)
    if faulty:
        log.warning("offers_unusable", hospital=str(hospital_id), count=faulty)
    return sum(1 for outcome in written if outcome.what in (upsert.CREATED, upsert.UPDATED))


def _kept(hospital_id: UUID, kind: str, given: Sequence[tuple[str, type[Row], object]]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for first in range(0, len(given), BATCH):
        rows: list[tuple[str, Row]] = []
        for identifier, row_type, values in given[first : first + BATCH]:
            try:
                rows.append((identifier, parse(row_type, values)))
            except Fault as fault:
                outcomes.append(Outcome(identifier, fault=fault))
        outcomes += upsert.write(hospital_id=hospital_id, kind=kind, rows=rows)
    return outcomes


def _fees(hospital_id: UUID, offers: Offers) -> dict[str, int]:
    """FHIR's Slot knows no fee: a slot keeps its own, a new one has that of its practitioner's latest."""
    mine = Slot.objects.filter(hospital_id=hospital_id)
    known = dict(mine.filter(identifier__in=[s.identifier for s in offers.slots]).values_list("identifier", "fee_fen"))
    practitioner_of = {half_day.identifier: half_day.practitioner for half_day in offers.half_days}
    names = set(practitioner_of.values())
    usual: dict[str, int] = {}
    for row in Practitioner.objects.filter(hospital_id=hospital_id, identifier__in=names):
        latest = mine.filter(practitioner=row).order_by("-start").first()
        usual[row.identifier] = latest.fee_fen if latest else 0
    return {s.identifier: known.get(s.identifier, usual.get(practitioner_of[s.half_day], 0)) for s in offers.slots}
