"""What a hospital has on sale: its Schedules and Slots, read as the half days and slots of our directory. Pure.

A FHIR Schedule may last for months; a half day here is one Schedule, one day and one period, and is named after them.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any

from hospitals.connectors.fhir.client import MALFORMED, Resource
from hospitals.exceptions import BadEvent

CHINA = timezone(timedelta(hours=8))
IDENTIFIER_MAX = 64
_PERIODS = ((12, "morning"), (18, "afternoon"), (24, "evening"))  # before this hour
Read = Callable[[str], Resource]


@dataclass(frozen=True, slots=True)
class OfferedHalfDay:
    """``department`` and ``practitioner`` are the ids of the Schedule's HealthcareService and Practitioner(Role).

    ``told_at``: when the hospital last wrote the Schedule, if its server says so.
    """

    identifier: str
    department: str
    practitioner: str
    day: date
    period: str  # "morning" | "afternoon" | "evening"
    stopped: bool
    told_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class OfferedSlot:
    """A FHIR Slot is one place: it is free or not."""

    identifier: str
    half_day: str
    start: datetime
    end: datetime
    free: bool
    stopped: bool


@dataclass(frozen=True, slots=True)
class Offers:
    """What changed; ``unusable`` counts slots that lack what the directory needs."""

    half_days: tuple[OfferedHalfDay, ...]
    slots: tuple[OfferedSlot, ...]
    unusable: int = 0


def read_slots(slots: Iterable[Resource], read: Read, zone: tzinfo = CHINA) -> Offers:
    """The slots with the half days that they belong to; each half day once."""
    half_days: dict[str, OfferedHalfDay] = {}
    found: dict[str, OfferedSlot] = {}
    unusable = 0
    for resource in slots:
        try:
            half_day, slot = _slot(resource, read, zone)
        except (BadEvent, *MALFORMED):
            unusable += 1
            continue
        half_days[half_day.identifier] = half_day
        found[slot.identifier] = slot
    return Offers(tuple(half_days.values()), tuple(found.values()), unusable)


def _slot(resource: Resource, read: Read, zone: tzinfo) -> tuple[OfferedHalfDay, OfferedSlot]:
    start, end = datetime.fromisoformat(resource["start"]), datetime.fromisoformat(resource["end"])
    if start.tzinfo is None or end.tzinfo is None:
        raise BadEvent(code="timezone_missing")
    reference = str(resource["schedule"]["reference"])
    schedule = read(reference)
    local = start.astimezone(zone)
    period = next(name for hour, name in _PERIODS if local.hour < hour)
    half_day = OfferedHalfDay(
        identifier=_name(str(schedule["id"]), local.date(), period),
        department=_actor(schedule, "HealthcareService"),
        practitioner=_actor(schedule, "Practitioner", "PractitionerRole"),
        day=local.date(),
        period=period,
        stopped=schedule.get("active") is False,
        told_at=_written(schedule),
    )
    status = resource["status"]
    slot = OfferedSlot(
        identifier=str(resource["id"]),
        half_day=half_day.identifier,
        start=start,
        end=end,
        free=status == "free",
        stopped=half_day.stopped or status in ("busy-unavailable", "entered-in-error"),
    )
    return half_day, slot


def _written(resource: Resource) -> datetime | None:
    at = resource.get("meta", {}).get("lastUpdated")
    read = datetime.fromisoformat(at) if at else None
    return read if read and read.tzinfo else None


def _name(schedule_id: str, day: date, period: str) -> str:
    """Within the directory's length; a long id is shortened to a digest that stays the same."""
    name = f"{schedule_id}.{day:%Y%m%d}.{period}"
    if len(name) > IDENTIFIER_MAX:
        name = f"{hashlib.sha256(schedule_id.encode()).hexdigest()[:32]}.{day:%Y%m%d}.{period}"
    return name


def _actor(schedule: Resource, *kinds: str) -> str:
    """The id of the first actor of these kinds. Raises ``BadEvent`` (actor_missing)."""
    actors: list[dict[str, Any]] = schedule.get("actor", [])
    for actor in actors:
        *_base, kind, key = ["", *str(actor.get("reference", "")).split("/")]
        if kind in kinds and key:
            return key
    raise BadEvent(code="actor_missing")
