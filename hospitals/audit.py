"""The audit log: who did what to whose data, in which hospital, why; appended, and chained so that any change shows.

Each hospital has a chain of its own, and what concerns no single one is in the chain "commission". A row's digest is
SHA-256 over its columns and the digest before it; the chain's end is kept beside it, so that cutting rows off the end
is found as well. Writing takes the chain's row lock: do it last in a transaction.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from hospitals import compiled, tenancy
from hospitals.compiled import Compiled, CompiledInsert
from hospitals.models import AuditChain, AuditEvent
from hospitals.personal import numbers_hidden

COMMISSION = "commission"
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Actor:
    """``kind``: resident | hospital | commission | service; ``name``: an account's or credential's name, a resident's UUID,
    never a person's name."""

    kind: str
    name: str = ""


SERVICE = Actor("service")


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain does not hold. ``what``: altered | missing | cut | extra."""

    chain: str
    number: int
    what: str


def _digest(row: AuditEvent) -> str:
    """Over every column but the id, in a form that cannot be read two ways."""
    parts = [
        row.chain_id,
        row.number,
        row.at.astimezone(UTC).isoformat(timespec="microseconds"),
        row.actor_kind,
        row.actor,
        row.action,
        row.entity,
        row.entity_id,
        str(row.subject or ""),
        str(row.hospital_id or ""),
        row.why,
        row.previous,
        str(row.id),
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


_ends = Compiled(lambda key: AuditChain.objects.select_for_update().filter(key=key).values_list("length", "head"))
_first, _next = CompiledInsert(AuditChain), CompiledInsert(AuditEvent)
_MOVE_END = f"UPDATE {AuditChain._meta.db_table} SET length = %s, head = %s WHERE key = %s"


def _locked(key: str) -> tuple[int, str]:
    """The chain's length and last digest; nobody else appends until the transaction has ended."""
    found = _ends.rows(key=key)
    if not found:
        _first.save_once(AuditChain(key=key, length=0, head=GENESIS))  # or another process begins it now
        found = _ends.rows(key=key)
    return found[0][0], found[0][1]


@transaction.atomic(savepoint=False)
def record(
    action: str,
    *,
    actor: Actor = SERVICE,
    hospital_id: UUID | None = None,
    entity: str = "",
    entity_id: object = "",
    subject: UUID | None = None,
    why: str = "",
) -> None:
    """Append one event to the hospital's chain, or to the commission's when it concerns no single hospital."""
    chain = str(hospital_id) if hospital_id else COMMISSION
    length, head = _locked(chain)
    row = AuditEvent(
        chain_id=chain,
        number=length + 1,
        at=timezone.now(),
        actor_kind=actor.kind,
        actor=actor.name[:150],
        action=action,
        entity=entity,
        entity_id=str(entity_id)[:64],
        subject=subject,
        hospital_id=hospital_id,
        why=numbers_hidden(why)[:200],
        previous=head,
    )
    row.digest = _digest(row)
    with compiled.in_one_go():
        _next.save(row)
        compiled.execute(_MOVE_END, row.number, row.digest, chain)


def record_once(
    action: str, *, since: datetime, actor: Actor, hospital_id: UUID, entity: str, entity_id: object, subject: UUID
) -> bool:
    """``record``, unless the same has been put down since then. Returns whether it was put down now."""
    same = AuditEvent.objects.filter(
        subject=subject, action=action, actor=actor.name, entity_id=str(entity_id)[:64], at__gte=since
    )
    if same.exists():  # most often: without the chain's lock
        return False
    with transaction.atomic():
        _locked(str(hospital_id))
        if same.exists():
            return False
        record(action, actor=actor, hospital_id=hospital_id, entity=entity, entity_id=entity_id, subject=subject)
    return True


def verify(key: str) -> Iterator[Break]:
    """Every place where this chain does not hold."""
    chain = AuditChain.objects.get(key=key)
    expected, previous = 1, GENESIS
    for row in AuditEvent.objects.filter(chain_id=key).order_by("number").iterator(chunk_size=2000):
        if row.number != expected:
            yield Break(key, expected, "missing")
            expected = row.number
        elif row.previous != previous:
            yield Break(key, row.number, "altered")
        if row.digest != _digest(row):
            yield Break(key, row.number, "altered")
        previous, expected = row.digest, expected + 1
    if expected - 1 < chain.length:
        yield Break(key, expected, "cut")
    elif expected - 1 > chain.length or previous != (chain.head or GENESIS):
        yield Break(key, expected - 1, "extra")


def about(subject: UUID, *, limit: int = 100) -> list[AuditEvent]:
    """Who looked at or changed this patient's data, newest first: what a resident may see of her own people."""
    return list(AuditEvent.objects.filter(subject=subject).order_by("-at")[:limit])


def _report(report: str, reason: str, *, actor: Actor) -> None:
    record("report", actor=actor, entity="report", entity_id=report, why=reason)


tenancy.on_report.append(partial(_report, actor=Actor("commission")))
