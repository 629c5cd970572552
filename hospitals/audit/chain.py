"""What holds a chain of audit rows together: digests and the seal of its end, both under a key of their own.

The key is the vault's (``AUDIT_OWNER``): wrapped by the key service, never erased, its old versions kept, since rows made
with them are proved with them. Within a chain versions only rise. A chain's birth stands in the commission's chain, with
how long it was and what it ended in: that is where plain digests end, and what shows a chain that went or began again.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC
from hashlib import sha256
from typing import Any

import structlog
from django.conf import settings
from django.utils import timezone

from hospitals import ciphers, compiled, vault
from hospitals.compiled import Compiled, CompiledInsert
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed
from hospitals.models import AuditChain, AuditEvent
from hospitals.vault import OpenKey

log = structlog.get_logger(__name__)

AUDIT_OWNER = ("audit", "")
COMMISSION = "commission"
GENESIS = "0" * 64
BORN, BROKEN = "chain.born", "chain.broken"


@dataclass(frozen=True, slots=True)
class End:
    """A chain's last row as its AuditChain keeps it; ``seal`` covers the others."""

    chain: str
    length: int
    head: str
    anchored: int = 0
    version: int = 0
    seal: str = ""

    def sealed(self, key: OpenKey) -> "End":
        """The same under this key."""
        seal = _mac(key, ["end", self.chain, self.length, self.head, self.anchored, key.version])
        return End(self.chain, self.length, self.head, self.anchored, key.version, seal)


def _packed(parts: list[Any]) -> bytes:
    """In a form that cannot be read two ways."""
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()


def _mac(key: OpenKey, parts: list[Any]) -> str:
    return ciphers.mac(key.cipher, key.secret, _packed(parts))


def newest() -> OpenKey:
    """Today's key, made on first use."""
    return vault.current_key(*AUDIT_OWNER, cipher=ciphers.mac_for(settings.HOSPITALS_CIPHER))


def _key_of(version: int) -> OpenKey:
    found = newest()
    return found if found.version == version else vault.key_version(*AUDIT_OWNER, version)


def _key_from(version: int) -> OpenKey:
    """Today's key, or that version where this process has not heard of it yet."""
    found = newest()
    return found if found.version >= version else vault.key_version(*AUDIT_OWNER, version)


def digest(row: AuditEvent, key: OpenKey | None) -> str:
    """Over every column; without a key as rows were before there was one, which had no ``detail``."""
    parts: list[Any] = [
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
    return (
        sha256(_packed(parts)).hexdigest() if key is None else _mac(key, ["row", *parts, row.detail, row.key_version])
    )


# --- ends, under their row's lock --------------------------------------------------------------------------

END_COLUMNS = ("key", "length", "head", "anchored", "key_version", "seal")
_ends = Compiled(lambda key: AuditChain.objects.select_for_update().filter(key=key).values_list(*END_COLUMNS))
_last = Compiled(
    lambda key: AuditEvent.objects.filter(chain=key).order_by("-number").values_list("number", "digest")[:1]
)
_first, _next = CompiledInsert(AuditChain), CompiledInsert(AuditEvent)
_MOVE = (
    f"UPDATE {AuditChain._meta.db_table} SET length = %s, head = %s, anchored = %s, key_version = %s, seal = %s"
    " WHERE key = %s"
)


def move(end: End) -> None:
    """Write a locked end down."""
    compiled.execute(_MOVE, end.length, end.head, end.anchored, end.version, end.seal, end.chain)


def ask(chain: str) -> Any:
    """Lock the chain's end among statements that go in one go; for ``locked``."""
    return _ends.ask(key=chain)


def locked(chain: str, asked: Any = None) -> End:
    """The chain's end; nobody else appends until the transaction has ended. Begun, and its birth put down, on first use.

    An end whose seal does not hold is somebody else's work: that is put down in the chain itself, for good, and the
    service goes on.
    """
    found = _ends.rows(key=chain) if asked is None else _ends.read(asked)
    end = End(*found[0]) if found else None
    if end is None or not end.seal:
        return _born(chain)
    return end if holds(end) else _broken(end)


def holds(end: End) -> bool:
    """Whether the end is as the service left it."""
    try:
        return end.sealed(_key_of(end.version)).seal == end.seal
    except (CiphertextInvalid, KeyDestroyed):
        return False


def _born(chain: str) -> End:
    # The commission's end first: whoever holds it may be about to begin this very chain.
    commission = locked(COMMISSION) if chain != COMMISSION else None
    _first.save_once(AuditChain(key=chain, length=0, head=GENESIS))  # or another process begins it now
    end = End(*_ends.rows(key=chain)[0])
    if end.seal:
        return end if holds(end) else _broken(end)
    end = _behind_all(replace(end, head=end.head or GENESIS))
    moved = append(commission or end, action=BORN, **_about(end))
    if commission is None:
        return moved
    end = end.sealed(_key_from(moved.version))
    move(end)
    return end


def _broken(end: End) -> End:
    log.error("audit.broken", chain=end.chain, length=end.length)
    return append(_behind_all(replace(end, version=0)), action=BROKEN, **_about(end))


def _about(end: End) -> dict[str, str]:
    return {
        "actor_kind": "service",
        "entity": "chain",
        "entity_id": end.chain,
        "why": f"{end.length} {end.head}",
    }


def _behind_all(end: End) -> End:
    """The same, or the last row there is where the end does not know of it."""
    found = _last.rows(key=end.chain)
    return replace(end, length=found[0][0], head=found[0][1]) if found and found[0][0] > end.length else end


def append(end: End, **columns: Any) -> End:
    """One more row behind a locked end. Returns the chain's new end."""
    made_with = _key_from(end.version)
    row = AuditEvent(
        chain_id=end.chain,
        number=end.length + 1,
        at=timezone.now(),
        previous=end.head,
        key_version=made_with.version,
        **columns,
    )
    row.digest = digest(row, made_with)
    moved = replace(end, length=row.number, head=row.digest).sealed(made_with)
    with compiled.in_one_go():
        _next.save(row)
        move(moved)
    return moved


def seal_anew(chain: str, *, version: int = 0, anchored: int | None = None) -> None:
    """Seal the chain's end with today's key, or that version; with ``anchored``, when so many rows were sent elsewhere."""
    end = locked(chain)
    kept = end if anchored is None else replace(end, anchored=max(end.anchored, anchored))
    move(kept.sealed(_key_from(max(end.version, version))))
