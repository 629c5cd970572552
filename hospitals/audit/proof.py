"""Proving the audit log: every row, every chain's end, that no chain went or began again, and that each still passes where
it once was.

Rows are streamed; what is kept are the chains' births. Nothing is written, and no key is made: without the key that made
a digest nothing is proved, and that is a break as well.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from operator import or_
from pathlib import Path

from django.db.models import Exists, OuterRef, Q

from hospitals import tenancy, vault
from hospitals.audit.chain import AUDIT_OWNER, BORN, BROKEN, COMMISSION, END_COLUMNS, GENESIS, End, digest
from hospitals.exceptions import CiphertextInvalid, InvalidInput, KeyDestroyed
from hospitals.models import ApiClient, Appointment, AuditChain, AuditEvent, DataKey, Hospital
from hospitals.vault import OpenKey

HEADS = "audit.heads"
_AT_ONCE = 100  # anchors looked up with one query
_CHAIN, _HEAD = re.compile(r"[a-z0-9-]{1,40}"), re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain does not hold; ``number``: of its row, 0 for the chain as a whole.

    ``what``: altered | missing | cut | extra | plain (a digest without a key where there was one) | old_key | no_key (its
    key is not there) | end (the end's seal does not hold) | broken (so the service found it before) | gone | unborn |
    reborn | anchor (it does not pass through a head that was sent elsewhere).
    """

    chain: str
    number: int
    what: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a chain once ended."""

    chain: str
    length: int
    head: str


@dataclass(frozen=True, slots=True)
class _Born:
    """How long a chain was when it was put down, and what it ended in: so far its digests are plain."""

    length: int
    head: str


def whole(anchors: Iterable[Anchor] = ()) -> Iterator[Break]:
    """Every place where the log does not hold, the commission's chain first. The service may go on meanwhile."""
    known = {*AuditChain.objects.values_list("key", flat=True), *_with_rows()}  # before the births are read
    if known or DataKey.objects.filter(owner_kind=AUDIT_OWNER[0]).exists():  # else nobody has done anything yet
        proof = _Proof()
        yield from proof.chain(COMMISSION)
        yield from proof.said
        for name in sorted({*proof.births, *known} - {COMMISSION}):
            yield from proof.chain(name)
    yield from _passing(anchors)


def chains() -> int:
    """How many there are."""
    return AuditChain.objects.count()


def _with_rows() -> set[str]:
    """Hospitals that have what never comes without an audit row: an appointment, an API client."""
    with tenancy.service("hospitals with rows"):
        theirs = [Exists(model.objects.filter(hospital=OuterRef("pk"))) for model in (Appointment, ApiClient)]
        return {str(found) for found in Hospital.objects.filter(reduce(or_, theirs)).values_list("id", flat=True)}


class _Proof:
    """One pass over the log. ``births``: of each chain; ``said``: what the commission's chain says of others and is not so."""

    def __init__(self) -> None:
        self.births: dict[str, _Born] = {}
        self.said: list[Break] = []
        versions = DataKey.objects.filter(owner_kind=AUDIT_OWNER[0], owner_id=AUDIT_OWNER[1])
        self._newest = max(versions.values_list("version", flat=True), default=0)
        self._keys: dict[int, OpenKey | None] = {}
        self._anchors: list[Anchor] = []

    def _key(self, version: int) -> OpenKey | None:
        if version not in self._keys:
            try:
                self._keys[version] = vault.key_version(*AUDIT_OWNER, version)
            except (CiphertextInvalid, KeyDestroyed):
                self._keys[version] = None
        return self._keys[version]

    def chain(self, name: str) -> Iterator[Break]:
        """One chain. The commission's goes first: it tells of the others' births."""
        end = _end(name)
        if end is None:
            yield Break(name, 0, "gone")
            return
        if name not in self.births and name != COMMISSION:
            yield Break(name, 0, "unborn")
        expected, previous, version = 1, GENESIS, 0
        head = GENESIS if end.length == 0 else ""
        for row in AuditEvent.objects.filter(chain_id=name).order_by("number").iterator(chunk_size=2000):
            if row.number != expected:
                yield Break(name, expected, "missing")
            elif row.previous != previous:
                yield Break(name, row.number, "altered")
            if row.key_version and not version:
                yield from self._first_keyed(row)
            what = self._row(row, version)
            if what:
                yield Break(name, row.number, what)
            elif name == COMMISSION and row.key_version:
                self._hear(row)
            version = max(version, row.key_version)
            previous, expected = row.digest, row.number + 1
            head = row.digest if row.number == end.length else head
        if not version and self.births.get(name) != _Born(expected - 1, previous):
            yield Break(name, expected - 1, "unborn" if name not in self.births else "reborn")
        yield from self._ended(end, expected - 1, head)
        if name == COMMISSION:
            self._flush()

    def _row(self, row: AuditEvent, version: int) -> str:
        """What is wrong with it by itself, or ""."""
        if not row.key_version:
            born = self.births.get(row.chain_id)
            if version or (row.chain_id != COMMISSION and (born is None or row.number > born.length)):
                return "plain"
            return "altered" if row.detail or row.digest != digest(row, None) else ""
        if row.key_version < version:
            return "old_key"
        key = self._key(row.key_version)
        if key is None:
            return "no_key"
        if row.digest != digest(row, key):
            return "altered"
        return "broken" if row.action == BROKEN else ""

    def _first_keyed(self, row: AuditEvent) -> Iterator[Break]:
        """From here on digests are keyed, and here is where that was put down."""
        its_own = row.chain_id == COMMISSION and _tells_of(row) == COMMISSION
        born = _born(row.why) if its_own else self.births.get(row.chain_id)
        if born != _Born(row.number - 1, row.previous):
            yield Break(row.chain_id, row.number, "unborn" if born is None else "reborn")

    def _ended(self, end: End, length: int, head: str) -> Iterator[Break]:
        """``end``: as it was before the rows were read, of which there are ``length``; ``head``: of the row at its length."""
        later = _end(end.chain)  # the service may have appended meanwhile
        if length < end.length:
            yield Break(end.chain, length + 1, "cut")
        elif later is None or length > later.length or head != end.head:
            yield Break(end.chain, length, "extra")
        key = self._key(end.version)
        if key is None or end.sealed(key).seal != end.seal:
            yield Break(end.chain, end.length, "end")
        elif end.version < self._newest:
            yield Break(end.chain, end.length, "old_key")

    # --- what the commission's chain says of the others ------------------------------------------------------

    def _hear(self, row: AuditEvent) -> None:
        if row.action == HEADS:
            self._anchors += heads(row.detail)
            if len(self._anchors) >= _AT_ONCE:
                self._flush()
            return
        name = _tells_of(row)
        if name is None:
            return
        if name in self.births:
            self.said.append(Break(name, 0, "reborn"))
        born = _born(row.why)
        if born is not None:
            self.births.setdefault(name, born)

    def _flush(self) -> None:
        self.said += _passing(self._anchors)
        self._anchors = []


def _end(name: str) -> End | None:
    found = AuditChain.objects.filter(key=name).values_list(*END_COLUMNS).first()
    return End(*found) if found else None


def _tells_of(row: AuditEvent) -> str | None:
    """The chain whose birth this row is, if it is one."""
    return row.entity_id if row.action == BORN and row.actor_kind == "service" and row.entity == "chain" else None


def _born(why: str) -> _Born | None:
    length, _space, head = why.partition(" ")
    return _Born(int(length), head) if length.isdecimal() else None


# --- anchors ------------------------------------------------------------------------------------------------


def heads(detail: str) -> Iterator[Anchor]:
    """What an event of heads holds: a line a chain."""
    for line in detail.splitlines():
        chain, length, head = line.split(" ")
        yield Anchor(chain, int(length), head)


def _passing(anchors: Iterable[Anchor]) -> Iterator[Break]:
    """The anchors through which their chains do not pass any more."""
    waiting = iter(anchors)
    while page := list(islice(waiting, _AT_ONCE)):
        rows = AuditEvent.objects.filter(reduce(or_, (Q(chain=one.chain, number=one.length) for one in page)))
        there = {(row.chain_id, row.number): row.digest for row in rows.only("chain_id", "number", "digest")}
        for one in page:
            if there.get((one.chain, one.length)) != one.head:
                yield Break(one.chain, one.length, "anchor")


def read(path: Path) -> Iterator[Anchor]:
    """The heads in a file of log lines; others in it are passed over. Raises ``InvalidInput``, ``OSError``."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if HEADS not in line:
                continue
            try:
                told = json.loads(line[line.index("{") :])
                if told["event"] != HEADS:
                    continue
                found = Anchor(told["chain"], told["length"], told["head"])
                counted = type(found.length) is int and 0 < found.length < 2**63  # True is no length
                if not (counted and _CHAIN.fullmatch(found.chain) and _HEAD.fullmatch(found.head)):
                    raise ValueError
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidInput(f"第{number}行读不出链头。", code="bad_anchor", line=number) from error
            yield found
