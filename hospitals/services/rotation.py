"""Keys are changed while everybody goes on: a new version, every column sealed anew in batches, then the old one destroyed.

All of it can be killed anywhere and called again: what is left to do is read from the rows themselves. The old version is
destroyed only after ``GRACE``: until then another process may still seal with the key that it remembers. A value that does not
open holds nobody up: it is named, and its owner keeps the old version until it was mended or is given up.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, Max, Q
from django.db.models.constants import LOOKUP_SEP
from django.utils import timezone

from hospitals import audit, ciphers, tenancy, vault
from hospitals.audit import Actor, chain
from hospitals.exceptions import CiphertextInvalid, InvalidInput, KeyDestroyed, KeyServiceUnavailable
from hospitals.keys import key_service
from hospitals.models import AuditChain, AuditEvent, DataKey
from hospitals.services import copies

BATCH = 200
GRACE = timedelta(minutes=10)  # far above vault.REMEMBERED_S and any request
OWNERS = ("hospital", "resident", "staff", "incident")
BEGUN, ENDED = "keys.rotation.begun", "keys.rotation.ended"  # of everybody's
GIVEN_UP = "keys.given_up"


@dataclass(frozen=True, slots=True)
class Progress:
    """``table``: where it is; ``rows``: sealed anew there so far."""

    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class Damaged:
    """Where a value stands that does not open, though its owner is there."""

    table: str
    column: str
    row: str

    def __str__(self) -> str:
        return f"{self.table} {self.column} {self.row}"


@dataclass(frozen=True, slots=True)
class Rotated:
    """``version``: the one in use; ``rows``: sealed anew by this call; ``retired``: old versions destroyed by it.

    ``waiting``: old versions that stay until the grace is over, or because of what is ``damaged``; call again then.
    """

    version: int
    rows: int
    retired: int
    waiting: int
    damaged: tuple[Damaged, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """``keys``: wrapped anew by this call; ``unopened``: (owner kind, owner id, version) of those that do not open, left as they are."""

    keys: int
    unopened: tuple[tuple[str, str, int], ...]


Tell = Callable[[Progress], None]


def quiet(_progress: Progress) -> None:
    """Nobody asked."""


def encrypted(kind: str) -> Iterator[tuple[type[models.Model], str, list[vault.EncryptedField]]]:
    """Every model with columns under keys of this kind: (model, attribute of the owner's id, its columns)."""
    for model in apps.get_models():
        if not model._meta.managed:  # somebody else's table
            continue
        by_attribute: dict[str, list[vault.EncryptedField]] = {}
        for field in model._meta.concrete_fields:
            if isinstance(field, vault.EncryptedField) and field.owner[0] == kind:
                by_attribute.setdefault(field.owner[1], []).append(field)
        for attribute, fields in by_attribute.items():
            yield model, attribute, fields


def living(kind: str, owner_id: str) -> list[DataKey]:
    """The owner's versions, newest first, locked. Raises ``KeyDestroyed`` when she was erased."""
    rows = list(DataKey.objects.select_for_update().filter(owner_kind=kind, owner_id=owner_id).order_by("-version"))
    if rows and rows[0].destroyed_at is not None:
        raise KeyDestroyed
    return [row for row in rows if row.destroyed_at is None]


def _begin(kind: str, owner_id: str, shut: set[str]) -> int:
    """The version to move to: a new one, or that of a rotation which was cut off; one that does not open is none to move to."""
    with transaction.atomic():
        live = living(kind, owner_id)
        if len(live) > 1 and str(live[0].id) not in shut:
            return live[0].version
        if not live:
            raise InvalidInput("没有这个密钥。", code="no_such_key")
        version: int = vault.new_key(kind, owner_id, live[0].version + 1).version
        return version


def _shut(owner: str, rows: list[DataKey]) -> list[Damaged]:
    """Those of an owner's keys that do not open themselves. Raises ``KeyServiceUnavailable``."""
    found = []
    for row in rows:
        try:
            vault.key_version(row.owner_kind, owner, row.version, row=row)
        except (CiphertextInvalid, KeyServiceUnavailable):
            _ = key_service().current  # raises where more is at fault than this key, or its master
            found.append(Damaged(DataKey._meta.db_table, "wrapped", str(row.id)))
    return found


def _seal_anew(row: models.Model, fields: Iterable[vault.EncryptedField], damaged: list[Damaged]) -> bool:
    """Returns whether it changed; what of it does not open stays as it is and is put down as damaged."""
    changed: dict[str, Any] = {}
    for field in fields:
        stored = row.__dict__.get(field.attname)
        if not isinstance(stored, vault.Ciphertext):
            continue
        try:
            if not field.is_current(row, stored):
                changed[field.attname] = field.seal(row, field.open(row, stored))
        except KeyDestroyed:  # of a version that was retired, or given up: nobody can read it any more
            continue
        except (CiphertextInvalid, KeyServiceUnavailable):
            _ = key_service().current  # raises where more is at fault than this value
            damaged.append(Damaged(type(row)._meta.db_table, str(field.column), str(row.pk)))
    if changed:
        type(row)._default_manager.filter(pk=row.pk).update(**changed)
    return bool(changed)


def page_of(
    model: type[models.Model], attribute: str, owner_id: str, after: Any, batch: int
) -> "models.QuerySet[models.Model]":
    """The next of an owner's rows, held. There is an index for each kind of rows: asked of everybody, nothing else would end."""
    rows = model._default_manager.filter(**{attribute: owner_id}).order_by("pk")
    related = attribute.rpartition(LOOKUP_SEP)[0]
    rows = (rows.select_related(related) if related else rows).select_for_update(of=("self",))
    return (rows.filter(pk__gt=after) if after is not None else rows)[:batch]


def _sweep(kind: str, owner_id: str, batch: int, tell: Tell, damaged: list[Damaged]) -> int:
    """Seal every older value anew; a batch is one transaction that holds its rows. Returns how many rows changed."""
    total = 0
    for model, attribute, fields in encrypted(kind):
        done, after = 0, None
        while True:
            with transaction.atomic():
                page = list(page_of(model, attribute, owner_id, after, batch))
                for second in {field.also for field in fields if field.also}:
                    with suppress(KeyServiceUnavailable):  # each is opened by itself, and told of, below
                        vault.open_keys(second[0], {found for row in page if (found := getattr(row, second[1]))})
                done += sum(_seal_anew(row, fields, damaged) for row in page)
            if done:
                tell(Progress(model._meta.db_table, done))
            if len(page) < batch:
                break
            after = page[-1].pk
        total += done
    return total + (_sweep_copies(UUID(owner_id), batch, tell, damaged) if kind == "resident" else 0)


def _sweep_copies(resident_id: UUID, batch: int, tell: Tell, damaged: list[Damaged]) -> int:
    """The same for what hospitals' rows hold of hers, under her key and theirs."""
    done = 0
    for hospital_id, appointments in copies.pages(copies.of(resident_id), batch):
        with tenancy.scope(hospital_id):
            for rows in copies.rows(appointments):
                fields = [f for f in rows.model._meta.concrete_fields if isinstance(f, vault.EncryptedField)]
                with transaction.atomic():
                    again = sum(_seal_anew(row, fields, damaged) for row in rows.select_for_update().order_by("pk"))
                if again:
                    tell(Progress(rows.model._meta.db_table, again))
                done += again
    return done


@transaction.atomic
def _retire(kind: str, owner_id: str, version: int, actor: Actor, given_up: list[Damaged]) -> int:
    living(kind, owner_id)  # raises, and holds them
    old = DataKey.objects.filter(owner_kind=kind, owner_id=owner_id, version__lt=version, destroyed_at=None)
    count = old.update(wrapped=b"", destroyed_at=timezone.now())
    transaction.on_commit(lambda: vault.forget((kind, owner_id)))
    hospital_id = UUID(owner_id) if kind == "hospital" else None
    whose: dict[str, Any] = {"hospital_id": hospital_id, "entity": kind, "entity_id": owner_id}
    if given_up:
        tell_given_up(given_up, actor=actor, **whose)
    audit.record("keys.rotated", actor=actor, why=f"v{version}", **whose)
    return count


def tell_given_up(damaged: list[Damaged], *, actor: Actor, **about: Any) -> None:
    """On the audit log: these were not readable when the key that they may have been sealed or made with was ended."""
    audit.record(GIVEN_UP, actor=actor, why=str(len(damaged)), detail="\n".join(map(str, damaged)), **about)


def rotate(
    kind: str,
    owner_id: UUID | str,
    *,
    actor: Actor,
    now: datetime | None = None,
    batch: int = BATCH,
    tell: Tell = quiet,
    give_up: bool = False,
) -> Rotated:
    """Change an owner's key, or go on with a change that was cut off. Raises ``KeyDestroyed``, ``InvalidInput``.

    While something of hers does not open, her old key stays; ``give_up``: it is destroyed all the same. One of whose keys
    does not open is left as she is.
    """
    if kind not in OWNERS:  # the blind index's key is changed by services.reindexing
        raise InvalidInput("只能更换医院或居民的密钥。", code="no_such_key")
    owner = str(owner_id)
    vault.forget((kind, owner))
    with tenancy.scope(owner) if kind == "hospital" else nullcontext():
        with transaction.atomic():
            before = living(kind, owner)
        damaged = _shut(owner, before)
        if damaged and not give_up:
            return Rotated(before[0].version, 0, 0, len(before) - 1, tuple(damaged))
        version = _begin(kind, owner, {found.row for found in damaged})
        made_at = DataKey.objects.get(owner_kind=kind, owner_id=owner, version=version).created_at
        ripe = (now or timezone.now()) - made_at >= GRACE  # before the sweep: what comes after it must be new already
        rows = _sweep(kind, owner, batch, tell, damaged)
        retired = _retire(kind, owner, version, actor, damaged) if ripe and (give_up or not damaged) else 0
    old = DataKey.objects.filter(owner_kind=kind, owner_id=owner, version__lt=version, destroyed_at=None)
    return Rotated(version, rows, retired, old.count(), tuple(damaged))


def rotate_all(
    *,
    actor: Actor,
    each: Callable[[str, str, Rotated], None],
    now: datetime | None = None,
    tell: Tell = quiet,
) -> int:
    """Change everybody's keys, or go on with what was begun; ``each`` hears of every owner. Returns how many are left.

    The audit log remembers that it began, so that after a cut nobody whose turn had not come is left out. Where single
    owners are in the middle of a change and no change of everybody's is, it goes on with those only. Who has something damaged
    is left over, and called again until it was mended or given up; no new change of everybody's begins before.
    """
    began = _begun_at()
    if began is None and not _due(began).exists():
        audit.record(BEGUN, actor=actor, entity="keys")
        began = _begun_at()
    kind = owner_id = ""
    while page := list(
        _due(began).filter(_behind(kind, owner_id))[:BATCH]
    ):  # a province's residents are no list in memory
        for kind, owner_id in page:
            with suppress(KeyDestroyed):  # erased before her turn
                each(kind, owner_id, rotate(kind, owner_id, actor=actor, now=now, tell=tell))
    left = _due(began).count()
    if began is not None and not left:
        audit.record(ENDED, actor=actor, entity="keys")
    return left


def _begun_at() -> datetime | None:
    """When the change of everybody's keys began that has not ended."""
    told = AuditEvent.objects.filter(chain_id=chain.COMMISSION, action__in=(BEGUN, ENDED))
    last = told.order_by("-number").values_list("action", "at").first()
    return last[1] if last is not None and last[0] == BEGUN else None


def _due(began: datetime | None) -> "models.QuerySet[DataKey, tuple[str, str]]":
    """Owners in the middle of a change, and those who have had no new key since it began: their kinds and ids, in this order."""
    living = DataKey.objects.filter(destroyed_at=None, owner_kind__in=OWNERS).values("owner_kind", "owner_id")
    due = Q(versions__gt=1) if began is None else Q(versions__gt=1) | Q(newest__lt=began)
    found = living.annotate(versions=Count("id"), newest=Max("created_at")).filter(due)
    return found.order_by("owner_kind", "owner_id").values_list("owner_kind", "owner_id")


def _behind(kind: str, owner_id: str) -> Q:
    return Q(owner_kind__gt=kind) | Q(owner_kind=kind, owner_id__gt=owner_id)


def rotate_audit(*, actor: Actor) -> int:
    """A new key for the audit log's digests, and every chain's end sealed with it; or on with a change that was cut off.

    Older versions stay: rows made with them are proved with them. Returns the version in use.
    """
    vault.forget(chain.AUDIT_OWNER)
    version = chain.newest().version
    ends = AuditChain.objects.exclude(seal="").order_by("key")
    if not ends.filter(key_version__lt=version).exists():
        with transaction.atomic():
            cipher = ciphers.mac_for(settings.HOSPITALS_CIPHER)
            version = vault.new_key(*chain.AUDIT_OWNER, version + 1, cipher).version
            chain.seal_anew(chain.COMMISSION, version=version)  # what is begun from now on is as new as this
            audit.record("keys.rotated", actor=actor, entity="audit", why=f"v{version}")
    for key in list(ends.filter(key_version__lt=version).values_list("key", flat=True)):
        with transaction.atomic():
            chain.seal_anew(key, version=version)
    return version


def rewrap_all(*, actor: Actor, batch: int = BATCH, tell: Tell = quiet) -> Rewrapped:
    """Wrap every data key under today's master key; afterwards, when all of them opened, the old master key may go.

    Round by round, until one finds nothing to move: other processes make keys meanwhile, and there may be another master key.
    Raises ``KeyServiceUnavailable``.
    """
    done, before, unopened = 0, -1, list[tuple[str, str, int]]()
    while done != before:
        before, after, unopened, current = done, UUID(int=0), [], key_service().current
        rows = DataKey.objects.filter(destroyed_at=None).exclude(master_id=current).order_by("id")
        while page := list(rows.filter(id__gt=after)[:batch]):
            for row in page:
                try:
                    done += vault.rewrap(row)
                except (CiphertextInvalid, KeyServiceUnavailable):
                    _ = key_service().current  # raises where more is at fault than this key, or its master
                    unopened.append((row.owner_kind, row.owner_id, row.version))
            after = page[-1].id
            tell(Progress(DataKey._meta.db_table, done))
    audit.record("keys.rewrapped", actor=actor, entity="master_key", entity_id=current, why=str(done))
    return Rewrapped(done, tuple(unopened))
