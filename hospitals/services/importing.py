"""Bulk uploads of the directory: NDJSON or CSV read as a stream, written in batches, each faulty line told by its number."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from hospitals import audit
from hospitals.audit import Actor
from hospitals.exceptions import Conflict, InvalidInput, NotFound, TooLarge
from hospitals.models import ImportRun
from hospitals.services import upsert
from hospitals.services.rows import BY_KIND, IDENTIFIER_PATTERN, Fault, Row, parse

BATCH = 500
LINE_MAX_BYTES = 16 * 1024
MOST_BYTES = 64 * 1024 * 1024
FAULTS_KEPT = 200
_BOOLEANS = {"true": True, "1": True, "是": True, "false": False, "0": False, "否": False}

Line = tuple[int, Any]  # number from 1, and a record or a Fault


# --- reading --------------------------------------------------------------------------------------------------


def lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, str | Fault]]:
    """Lines of UTF-8 text, numbered from 1, however the stream was cut. Raises ``TooLarge``."""
    rest, total, number = b"", 0, 0
    for chunk in chunks:
        total += len(chunk)
        if total > MOST_BYTES:
            raise TooLarge(f"一次最多 {MOST_BYTES // 2**20} MiB,请分几次上传。")
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            yield number, _text(line)
        if len(rest) > LINE_MAX_BYTES:
            raise TooLarge(f"第 {number + 1} 行超过 {LINE_MAX_BYTES // 1024} KiB。")
    if rest:
        yield number + 1, _text(rest)


def _text(line: bytes) -> str | Fault:
    if len(line) > LINE_MAX_BYTES:
        return Fault("", "line_too_long", "这一行太长。")
    try:
        return line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        return Fault("", "not_utf8", "这一行不是 UTF-8。")


def ndjson(chunks: Iterable[bytes]) -> Iterator[Line]:
    """One JSON object a line; empty lines are passed over."""
    for number, line in lines(chunks):
        if isinstance(line, Fault):
            yield number, line
        elif line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, Fault("", "bad_json", "这一行不是 JSON。")


def comma_separated(chunks: Iterable[bytes], kind: str) -> Iterator[Line]:
    """A header, then one row a line; an empty cell is a field that was not given. No line breaks inside a cell."""
    header: list[str] | None = None
    for number, line in lines(chunks):
        if isinstance(line, Fault):
            yield number, line
            continue
        if not line.strip():
            continue
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error:
            yield number, Fault("", "bad_csv", "这一行不是规范的 CSV。")
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if "identifier" not in header or len(set(header)) != len(header):
                raise InvalidInput("表头要有 identifier,且各列不重名。", code="bad_header")
        elif len(cells) != len(header):
            yield number, Fault("", "wrong_number_of_cells", "列数与表头不一致。")
        else:
            yield number, _typed(BY_KIND[kind], dict(zip(header, cells, strict=True)))


def _typed(row_type: type[Row], cells: dict[str, str]) -> dict[str, Any]:
    """Cells as the row's types; what cannot be one is left as text, for the row's own check to refuse."""
    typed: dict[str, Any] = {}
    for name, cell in cells.items():
        if not cell.strip():
            continue
        known = row_type.model_fields.get(name)
        wanted = known.annotation if known else str
        if wanted is bool:
            typed[name] = _BOOLEANS.get(cell.strip().lower(), cell)
        elif wanted in (int, int | None) and cell.strip().lstrip("-").isdecimal() and len(cell) < 12:
            typed[name] = int(cell)
        else:
            typed[name] = cell
    return typed


# --- writing --------------------------------------------------------------------------------------------------


@dataclass
class _Counts:
    read: int = 0
    written: int = 0
    unchanged: int = 0
    refused: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, number: int, fault: Fault) -> None:
        self.refused += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append({"line": number, **fault.shown()})


def begin(*, run_id: UUID, hospital_id: UUID, dry_run: bool) -> tuple[ImportRun, bool]:
    """The run of this id, and whether it is new. In a scope. Raises ``NotFound`` for another hospital's id."""
    known = ImportRun.objects.filter(id=run_id).first()
    if known is not None:
        if known.state == ImportRun.State.RUNNING:
            raise Conflict("这次上传正在进行。", code="in_progress")
        return known, False
    try:
        with transaction.atomic():
            return ImportRun.objects.create(id=run_id, hospital_id=hospital_id, dry_run=dry_run), True
    except IntegrityError as error:
        raise NotFound from error


def perform(run: ImportRun, records: Iterable[Line], *, kind: str = "", actor: Actor) -> ImportRun:
    """Write what is right, tell what is not; the run's row shows how far it is. ``kind``: of lines that do not say."""
    counts = _Counts()
    rehearsed: upsert.Rehearsed | None = {} if run.dry_run else None
    try:
        for batch_kind, batch in _batches(records, kind, counts):
            outcomes = upsert.write(
                hospital_id=run.hospital_id,
                kind=batch_kind,
                rows=[(identifier, row) for identifier, (_number, row) in batch.items()],
                rehearsed=rehearsed,
            )
            for outcome in outcomes:
                if outcome.fault:
                    counts.refuse(batch[outcome.identifier][0], outcome.fault)
                elif outcome.what == upsert.UNCHANGED:
                    counts.unchanged += 1
                else:
                    counts.written += 1
            _progress(run, counts)
    except BaseException:
        _progress(run, counts, ImportRun.State.FAILED)
        raise
    _progress(run, counts, ImportRun.State.FINISHED)
    if not run.dry_run:
        audit.record("directory.import", actor=actor, hospital_id=run.hospital_id, entity="import", entity_id=run.id)
    run.refresh_from_db()
    return run


def _progress(run: ImportRun, counts: _Counts, state: str = "") -> None:
    ended = {"state": state, "finished_at": timezone.now()} if state else {}
    ImportRun.objects.filter(id=run.id).update(
        read=counts.read,
        written=counts.written,
        unchanged=counts.unchanged,
        refused=counts.refused,
        faults=counts.faults,
        **ended,
    )


def _batches(
    records: Iterable[Line], default_kind: str, counts: _Counts
) -> Iterator[tuple[str, dict[str, tuple[int, Row]]]]:
    """(kind, {identifier: (line, row)}), in the file's order: a batch ends with its kind or when an identifier comes again."""
    kind = ""
    batch: dict[str, tuple[int, Row]] = {}
    for number, record in records:
        counts.read += 1
        try:
            row_kind, identifier, row = _row(record, default_kind)
        except Fault as fault:
            counts.refuse(number, fault)
            continue
        if batch and (row_kind != kind or identifier in batch or len(batch) >= BATCH):
            yield kind, batch
            batch = {}
        kind = row_kind
        batch[identifier] = (number, row)
    if batch:
        yield kind, batch


def _row(record: Any, default_kind: str) -> tuple[str, str, Row]:
    """Raises ``Fault``."""
    if isinstance(record, Fault):
        raise record
    if not isinstance(record, dict):
        raise Fault("", "not_an_object", "每一行是一个 JSON 对象。")
    data = dict(record)
    kind = data.pop("kind", default_kind)
    if not isinstance(kind, str) or kind not in BY_KIND or (default_kind and kind != default_kind):
        raise Fault("/kind", "unknown_kind", "kind 不对。", known=list(BY_KIND))
    identifier = data.pop("identifier", None)
    if not isinstance(identifier, str) or not IDENTIFIER_PATTERN.fullmatch(identifier):
        raise Fault("/identifier", "bad_identifier", "identifier 须为 1 到 64 个字母、数字或 _ . : -,且不以符号开头。")
    return kind, identifier, parse(BY_KIND[kind], data)
