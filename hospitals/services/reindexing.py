"""The blind index's key is changed while everybody looks up by it: a new key, every index made anew in batches, the old one ended.

It can be killed anywhere and called again: which key an index was made with stands in it. Nothing is made anew before every
process looks up under both keys (``indexing.SWITCH``), and the old key ends only after ``rotation.GRACE`` and when no row needs
it: until then another process may still write with it.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from hospitals import audit, indexing, tenancy, vault
from hospitals.audit import Actor
from hospitals.connectors import codec
from hospitals.exceptions import CiphertextInvalid, InvalidInput, KeyDestroyed, KeyServiceUnavailable
from hospitals.keys import key_service
from hospitals.models import Appointment, DataKey, Hospital, InboxEvent
from hospitals.services import inbox
from hospitals.services.rotation import BATCH, GRACE, Damaged, Progress, Tell, living, quiet, tell_given_up

Row = Any  # of the model that the index is a column of
NOBODY, UNKNOWN = ("nobody", ""), ("unknown", "")


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
    sealed: str = ""
    lost: tuple[str, str] = NOBODY
    open_all: Callable[[list[Row]], None] = lambda _rows: None


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


register(
    Indexed(Appointment, "id_number_index", _number, "card"),
    Indexed(InboxEvent, "digest", _said, "body", lost=UNKNOWN),
)


@dataclass(frozen=True, slots=True)
class Reindexed:
    """``version``: the key that is written with, or will be; ``rows``: made anew by this call.

    ``waiting``: rows that cannot be yet; ``begun``: too early to make any anew; ``ended``: the old key was destroyed.
    ``damaged``: what the index is made of does not open.
    """

    version: int
    rows: int
    waiting: int
    begun: bool
    ended: bool
    damaged: tuple[Damaged, ...] = ()


def rotate(
    *, actor: Actor, now: datetime | None = None, batch: int = BATCH, tell: Tell = quiet, give_up: bool = False
) -> Reindexed:
    """Change the blind index's key, or go on with a change under way. Raises ``InvalidInput`` (``no_such_key``).

    Rows whose value does not open keep the old key alive; ``give_up``: they get an index that nobody looks up.
    """
    now = now or timezone.now()
    vault.forget(indexing.OWNER)
    key = _begin()
    age = now - key.created_at
    if age < indexing.SWITCH:
        return Reindexed(key.version, 0, 0, begun=True, ended=False)
    ripe = age >= GRACE  # before the sweep: what is written after it must be under the new key already
    rows = waiting = 0
    damaged: list[Damaged] = []
    for column in _columns.values():
        for scope, mine in _parts(column):
            with scope:
                moved, left, shut = _sweep(column, mine, key.version, batch, tell, give_up)
            rows, waiting, damaged = rows + moved, waiting + left, damaged + shut
    if damaged and give_up:
        tell_given_up(damaged, actor=actor, entity=indexing.OWNER[0], entity_id="index")
    ended = ripe and not waiting and (give_up or not damaged) and _end(key.version, actor)
    return Reindexed(key.version, rows, waiting, begun=False, ended=ended, damaged=tuple(damaged))


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


def _sweep(
    column: Indexed, mine: "models.QuerySet[Any]", version: int, batch: int, tell: Tell, give_up: bool
) -> tuple[int, int, list[Damaged]]:
    """Make every older index anew, a batch at a time. Returns how many, how many had to wait, and whose value does not open."""
    under_the_new = {f"{column.column}__startswith": indexing.mark(version)}
    older = mine.exclude(**{column.column: ""}).exclude(**under_the_new).order_by("pk")
    done = waiting = 0
    damaged: list[Damaged] = []
    after = None
    while True:
        page = list((older.filter(pk__gt=after) if after is not None else older)[:batch])
        with suppress(KeyServiceUnavailable):  # below each is opened by itself
            column.open_all(page)
        anew: dict[Row, str] = {}
        for row in page:
            found = _made_of(column, row)
            if isinstance(found, Damaged):
                damaged.append(found)
                found = column.lost if give_up else None
            else:
                waiting += found is None
            if found is not None:
                anew[row] = _index(row, found)
        moved = _move(column, anew)
        done, waiting = done + moved, waiting + len(anew) - moved
        if moved:
            tell(Progress(column.model._meta.db_table, done))
        if len(page) < batch:
            return done, waiting, damaged
        after = page[-1].pk


def _made_of(column: Indexed, row: Row) -> tuple[str, str] | Damaged | None:
    try:
        return column.of(row)
    except KeyDestroyed:
        return NOBODY
    except (CiphertextInvalid, KeyServiceUnavailable, InvalidInput):
        _ = key_service().current  # raises where more is at fault than this row
        return Damaged(column.model._meta.db_table, column.sealed, str(row.pk))


def _index(row: Row, found: tuple[str, str]) -> str:
    if found == UNKNOWN:
        return ""
    return indexing.blind_index(*((NOBODY[0], str(row.pk)) if found == NOBODY else found))


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
