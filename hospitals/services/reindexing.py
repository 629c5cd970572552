"""The blind index's key is changed while everybody looks up by it: a new key, every index made anew in batches, the old one ended.

It can be killed anywhere and called again: which key an index was made with stands in it. Nothing is made anew before every
process looks up under both keys (``indexing.SWITCH``), and the old key ends only after ``rotation.GRACE`` and when no row needs
it: until then another process may still write with it.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from hospitals import audit, indexing, tenancy, vault
from hospitals.audit import Actor
from hospitals.connectors import codec
from hospitals.exceptions import CiphertextInvalid, InvalidInput, KeyDestroyed
from hospitals.models import Appointment, DataKey, Hospital, InboxEvent
from hospitals.services import inbox
from hospitals.services.rotation import BATCH, GRACE, Progress, Tell, living, quiet

Row = Any  # of the model that the index is a column of


@dataclass(frozen=True, slots=True)
class Indexed:
    """A column with blind indexes.

    ``of``: (purpose, value) that a row's index is made of. None: it cannot be known now, and the row waits. ``NOBODY``: it will
    never be looked up again. ``UNKNOWN``: whoever looks at it must see that it says nothing, and it is emptied. ``open_all``
    opens the keys of many rows in one go.
    """

    model: type[models.Model]
    column: str
    of: Callable[[Row], tuple[str, str] | None]
    open_all: Callable[[list[Row]], None] = lambda _rows: None


NOBODY, UNKNOWN = ("nobody", ""), ("unknown", "")
_columns: dict[tuple[type[models.Model], str], Indexed] = {}


def register(*columns: Indexed) -> None:
    """Tell of columns that are to be made anew; once more is fine."""
    _columns.update({(column.model, column.column): column for column in columns})


def _number(row: Appointment) -> tuple[str, str]:
    """Without its card (hospitals.services.retention) a booking counts by its patient's id alone: the number is nowhere."""
    return ("id_number", row.card["id_number"]) if row.card else NOBODY


def _said(row: InboxEvent) -> tuple[str, str]:
    """Without its body it is known by its id: under an index of nobody's, its hospital's own copy would be another event."""
    return inbox.said(codec.parse_event(row.hospital_id, row.body.encode())) if row.body else UNKNOWN


register(Indexed(Appointment, "id_number_index", _number), Indexed(InboxEvent, "digest", _said))


@dataclass(frozen=True, slots=True)
class Reindexed:
    """``version``: the key that is written with, or will be; ``rows``: made anew by this call.

    ``waiting``: rows that cannot be yet; ``begun``: too early to make any anew; ``ended``: the old key was destroyed.
    """

    version: int
    rows: int
    waiting: int
    begun: bool
    ended: bool


def rotate(*, actor: Actor, now: datetime | None = None, batch: int = BATCH, tell: Tell = quiet) -> Reindexed:
    """Change the blind index's key, or go on with a change under way. Raises ``InvalidInput`` (``no_such_key``)."""
    now = now or timezone.now()
    vault.forget(indexing.OWNER)
    key = _begin()
    age = now - key.created_at
    if age < indexing.SWITCH:
        return Reindexed(key.version, 0, 0, begun=True, ended=False)
    ripe = age >= GRACE  # before the sweep: what is written after it must be under the new key already
    rows = waiting = 0
    for column in _columns.values():
        for scope, mine in _parts(column):
            with scope:
                moved, left = _sweep(column, mine, key.version, batch, tell)
                rows, waiting = rows + moved, waiting + left
    ended = ripe and not waiting and _end(key.version, actor)
    return Reindexed(key.version, rows, waiting, begun=False, ended=ended)


def _begin() -> DataKey:
    """The key to move to: a new one, or that of a change under way."""
    with transaction.atomic():
        there = living(*indexing.OWNER)
        if not there:
            raise InvalidInput("没有这个密钥。", code="no_such_key")
        if len(there) == 1:
            vault.new_key(*indexing.OWNER, there[0].version + 1, indexing.mac_name())
    kind, owner_id = indexing.OWNER
    return DataKey.objects.filter(owner_kind=kind, owner_id=owner_id).latest("version")


def _parts(column: Indexed) -> "Iterator[tuple[Any, models.QuerySet[Any]]]":
    """The column's rows, each hospital's in its own scope."""
    if not issubclass(column.model, tenancy.TenantModel):
        yield nullcontext(), column.model._default_manager.all()
        return
    for hospital_id in list(Hospital.objects.order_by("id").values_list("id", flat=True)):
        yield tenancy.scope(hospital_id), _of_hospital(column, hospital_id)


def _of_hospital(column: Indexed, hospital_id: UUID) -> "models.QuerySet[Any]":
    with tenancy.scope(hospital_id):
        return column.model._default_manager.filter(hospital_id=hospital_id)


def _sweep(column: Indexed, mine: "models.QuerySet[Any]", version: int, batch: int, tell: Tell) -> tuple[int, int]:
    """Make every older index anew, a batch at a time. Returns how many, and how many had to wait."""
    under_the_new = {f"{column.column}__startswith": indexing.mark(version)}
    older = mine.exclude(**{column.column: ""}).exclude(**under_the_new).order_by("pk")
    done = waiting = 0
    after = None
    while True:
        page = list((older.filter(pk__gt=after) if after is not None else older)[:batch])
        column.open_all(page)
        anew = {row: index for row in page if (index := _anew(column, row)) is not None}
        moved = _move(column, anew)
        done, waiting = done + moved, waiting + len(page) - moved
        if moved:
            tell(Progress(column.model._meta.db_table, done))
        if len(page) < batch:
            return done, waiting
        after = page[-1].pk


def _anew(column: Indexed, row: Row) -> str | None:
    try:
        found = column.of(row)
    except KeyDestroyed:
        found = NOBODY
    except (CiphertextInvalid, InvalidInput):
        return None
    if found is UNKNOWN:
        return ""
    if found is NOBODY:
        found = NOBODY[0], str(row.pk)
    return None if found is None else indexing.blind_index(*found)


def _move(column: Indexed, anew: dict[Row, str]) -> int:
    """Put the new indexes down, each only where the row's has not changed meanwhile."""

    def put(row: Row, index: str) -> None:
        here = type(row)._default_manager.filter(pk=row.pk, **{column.column: getattr(row, column.column)})
        here.update(**{column.column: index})

    try:
        with transaction.atomic():
            for row, index in anew.items():
                put(row, index)
        return len(anew)
    except IntegrityError:  # one of them stands there twice: the others need not wait for it
        moved = 0
        for row, index in anew.items():
            try:
                with transaction.atomic():
                    put(row, index)
                moved += 1
            except IntegrityError:
                continue
        return moved


@transaction.atomic
def _end(version: int, actor: Actor) -> bool:
    kind, owner_id = indexing.OWNER
    living(kind, owner_id)  # holds them
    old = DataKey.objects.filter(owner_kind=kind, owner_id=owner_id, version__lt=version, destroyed_at=None)
    if not old.update(wrapped=b"", destroyed_at=timezone.now()):
        return False
    transaction.on_commit(lambda: vault.forget(indexing.OWNER))
    audit.record("keys.rotated", actor=actor, entity=kind, entity_id="index", why=f"v{version}")
    return True
