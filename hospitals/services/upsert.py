"""Writing the directory: rows by the hospital's own identifiers, one or many at once, and only what really changed.

All writes of one hospital wait for each other (its row is locked), so that "read, compare, write" is one step; places are
never oversold by it, since the slots' rows are locked as well while ``free`` is worked out.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from hospitals.exceptions import Conflict, NotFound
from hospitals.models import Floor, Hospital, Schedule, Slot
from hospitals.services import booking, places, waiting
from hospitals.services.rows import BY_KIND, Fault, Found, Row, ScheduleRow, SlotRow

Rehearsed = dict[str, dict[str, Any]]  # kind → identifier → row as it would be
# Of these kinds hangs whether a slot is on sale: the kind → what a slot calls it.
_ABOVE_SLOTS = {"departments": "department", "practitioners": "practitioner", "schedules": "schedule"}
CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row: ``what`` or a fault. ``columns``: those that an update changed."""

    identifier: str
    what: str = ""
    fault: Fault | None = None
    columns: tuple[str, ...] = ()


def lock(hospital_id: UUID) -> None:
    """Other writes of this hospital's directory wait until the transaction ends; bookings do not."""
    Hospital.objects.select_for_update(no_key=True).get(id=hospital_id)


def rows_of(row: type[Row], hospital_id: UUID) -> "models.QuerySet[Any]":
    """The hospital's rows of a kind, with what they name."""
    found: models.QuerySet[Any] = row.model.objects.filter(hospital_id=hospital_id)
    return found.select_related(*row.refs) if row.refs else found


@transaction.atomic
def write(
    *,
    hospital_id: UUID,
    kind: str,
    rows: Sequence[tuple[str, Row]],
    rehearsed: Rehearsed | None = None,
    now: datetime | None = None,
) -> list[Outcome]:
    """Make or change rows, each (identifier, row), no identifier twice. A faulty row hinders no other. In a scope.

    Places that come free by it go to whoever waits for them first.
    With ``rehearsed`` nothing is locked or written: what would be is put there and counts for what follows.
    """
    row_type = BY_KIND[kind]
    if rehearsed is None:
        lock(hospital_id)
    # Half days before their slots: so a clinic that is being stopped elsewhere (booking.stop) is seen or waits.
    found = _named(row_type, hospital_id, [row for _identifier, row in rows], rehearsed)
    known = _known(row_type, hospital_id, [identifier for identifier, _row in rows], rehearsed)
    outcomes: list[Outcome] = []
    made: list[Any] = []
    changed: list[Any] = []
    free_before = {row.id: row.free for row in known.values()} if row_type is SlotRow else {}
    for identifier, row in rows:
        before = known.get(identifier)
        try:
            values = row.values(found, before)
            if row_type.model is Floor:
                _check_floor(identifier, values, [*made, *changed], (rehearsed or {}).get(kind, {}))
        except Fault as fault:
            outcomes.append(Outcome(identifier, fault=fault))
            continue
        if before is None:
            made.append(row_type.model(hospital_id=hospital_id, identifier=identifier, **values))
            outcomes.append(Outcome(identifier, CREATED))
        elif columns := _apply(before, values):
            changed.append(before)
            outcomes.append(Outcome(identifier, UPDATED, columns=columns))
        else:
            outcomes.append(Outcome(identifier, UNCHANGED))
    if rehearsed is None:
        _save(row_type, made, changed)
        back = _settle(row_type, made, changed)
        if row_type is SlotRow:
            back += [row.id for row in (*made, *changed) if row.free > free_before.get(row.id, 0)]
        waiting.offer_places(back, now=now)
    else:
        rehearsed.setdefault(kind, {}).update({row.identifier: row for row in (*made, *changed)})
    return outcomes


def _known(
    row_type: type[Row], hospital_id: UUID, identifiers: list[str], rehearsed: Rehearsed | None
) -> dict[str, Any]:
    """Identifier → the row as it is; locked, unless this is a rehearsal."""
    rows = row_type.model.objects.filter(hospital_id=hospital_id, identifier__in=identifiers)
    if rehearsed is None:
        known = {row.identifier: row for row in rows.select_for_update()}
    else:
        known = {row.identifier: row for row in rows.select_related(*row_type.refs)}
        mine = rehearsed.get(row_type.kind, {})
        # copies: what a batch changes is not yet there for the batch itself, as in the database
        known |= {name: copy(mine[name]) for name in identifiers if name in mine}
    if row_type is SlotRow and known:
        taken, unconfirmed = places.taken(row.id for row in known.values())
        for row in known.values():
            row.taken, row.unconfirmed = taken[row.id], unconfirmed[row.id]
            if rehearsed and (half_day := rehearsed.get("schedules", {}).get(row.schedule.identifier)):
                row.department_id, row.practitioner_id = half_day.department_id, half_day.practitioner_id  # as _follow
    return known


def _named(row_type: type[Row], hospital_id: UUID, rows: Iterable[Row], rehearsed: Rehearsed | None) -> Found:
    """(kind, identifier) → row, of all that these rows name and that is not withdrawn; a slot's half day is locked."""
    wanted: dict[str, set[str]] = {}
    for row in rows:
        for field, kind in row_type.refs.items():
            wanted.setdefault(kind, set()).add(getattr(row, field))
    found: dict[tuple[str, str], models.Model] = {}
    for kind, identifiers in wanted.items():
        model = BY_KIND[kind].model
        mine = model.objects.filter(hospital_id=hospital_id, identifier__in=identifiers, withdrawn_at=None)
        if row_type is SlotRow and rehearsed is None:
            mine = mine.select_for_update(no_key=True).order_by("id")
        for named in mine:
            found[kind, named.identifier] = named
        would_be = (rehearsed or {}).get(kind, {})
        found |= {(kind, name): would_be[name] for name in identifiers if name in would_be}
    return found


def _check_floor(identifier: str, values: dict[str, Any], written: list[Floor], rehearsed: dict[str, Floor]) -> None:
    """A building has one floor of each number, withdrawn ones apart. Not in the database yet: ``written``, other floors of this batch, and
    ``rehearsed``, those of earlier ones. Raises ``Fault``."""
    wanted = values["building"].id, values["number"]
    pending = [*written, *(floor for name, floor in rehearsed.items() if name != identifier)]
    others = Floor.objects.filter(building=values["building"], number=values["number"], withdrawn_at=None)
    if (
        any((floor.building_id, floor.number) == wanted for floor in pending)
        or others.exclude(identifier__in=[identifier, *rehearsed]).exists()
    ):
        raise Fault("/number", "floor_taken", "这栋楼已经有这一层。")


def _apply(row: Any, values: dict[str, Any]) -> tuple[str, ...]:
    """Set what differs; a withdrawn row that is written again is back. Returns the columns that changed."""
    differing = {name: value for name, value in values.items() if _as_it_is(row, name, value) != value}
    if getattr(row, "withdrawn_at", None) is not None:
        differing["withdrawn_at"] = None
    for name, value in differing.items():
        setattr(row, name, value)
    return tuple(differing)


def _as_it_is(row: Any, name: str, value: Any) -> Any:
    """The row's present value; of a row it names, the wanted one when it is the same, without reading it."""
    if isinstance(value, models.Model):
        return value if getattr(row, f"{name}_id") == value.pk else None
    return getattr(row, name)


def _save(row_type: type[Row], made: list[Any], changed: list[Any]) -> None:
    now = timezone.now()
    for row in changed:
        row.changed_at = now
    names = [f.name for f in row_type.model._meta.concrete_fields if f.name not in ("id", "hospital", "identifier")]
    try:
        with transaction.atomic():
            row_type.model.objects.bulk_create(made, batch_size=500)
            if changed:
                row_type.model.objects.bulk_update(changed, names, batch_size=200)
    except IntegrityError as error:  # nobody else writes this hospital's rows: two of its own contradict each other
        raise Conflict("这些内容互相冲突。", code="rows_conflict") from error
    if row_type is ScheduleRow:
        _follow(changed)


def _follow(schedules: list[Schedule]) -> None:
    """A clinic that stops or moves takes its slots along; whoever is booked in a stopped one is told."""
    for schedule in schedules:
        if schedule.stopped_at is not None:
            booking.stop(schedule_id=schedule.id)
        mine = Slot.objects.filter(schedule=schedule)
        mine.update(department_id=schedule.department_id, practitioner_id=schedule.practitioner_id)


def _settle(row_type: type[Row], made: list[Any], changed: list[Any]) -> list[UUID]:
    """Put on or off sale what these rows decide of; returns the slots that are on sale again."""
    if row_type is SlotRow:
        return places.settle(Slot.objects.filter(id__in=[row.id for row in (*made, *changed)]))
    if row_type.kind in _ABOVE_SLOTS and changed:
        return places.settle(Slot.objects.filter(**{f"{_ABOVE_SLOTS[row_type.kind]}__in": changed}))
    return []


def withdraw(*, hospital_id: UUID, kind: str, identifier: str) -> bool:
    """Take a row out of what is offered: it stays as a tombstone. False when it was withdrawn before. Raises ``NotFound``."""
    row_type = BY_KIND[kind]
    with transaction.atomic():
        lock(hospital_id)
        row = rows_of(row_type, hospital_id).filter(identifier=identifier).first()
        if row is None:
            raise NotFound
        now = timezone.now()
        gone = _withdraw(row, now)
        if gone:
            _settle(row_type, [], [row])
        return gone


def _withdraw(row: Any, now: datetime) -> bool:
    if isinstance(row, Slot):
        return bool(Slot.objects.filter(id=row.id, stopped_itself=False).update(stopped_itself=True, changed_at=now))
    return bool(type(row).objects.filter(id=row.id, withdrawn_at=None).update(withdrawn_at=now, changed_at=now))


def set_fee(*, hospital_id: UUID, practitioner: str, fee_fen: int) -> int:
    """The fee of all of a practitioner's coming slots. Returns how many changed. Raises ``NotFound``."""
    with transaction.atomic():
        lock(hospital_id)
        row = rows_of(BY_KIND["practitioners"], hospital_id).filter(identifier=practitioner).first()
        if row is None:
            raise NotFound
        now = timezone.now()
        coming = Slot.objects.filter(practitioner=row, start__gt=now).exclude(fee_fen=fee_fen)
        return coming.update(fee_fen=fee_fen, changed_at=now)
