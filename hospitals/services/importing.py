"""Bulk uploads of the directory: NDJSON or CSV read as a stream, written in batches, each faulty line told by its number.

A batch and how far the upload is are one transaction. An upload whose process was killed shows no progress any more: the same file
sent again to the same address goes on behind its last batch. One that failed begins anew, with whatever file.
"""

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import NoneType
from typing import Any, get_args
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
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
UTF_8 = "utf-8-sig"
# As a hospital names them → Python's. Excel in China saves GBK; GBK and GB2312 are parts of GB18030.
CHARSETS = {"": UTF_8, "utf-8": UTF_8, "utf8": UTF_8, **dict.fromkeys(("gbk", "gb2312", "gb18030"), "gb18030")}
STALE_AFTER = timedelta(minutes=5)  # many times what a batch takes
_BOOLEANS = {"true": True, "1": True, "是": True, "false": False, "0": False, "否": False}
_WHOLE = re.compile(r"-?[0-9]{1,10}")

Line = tuple[int, Any]  # number from 1, and a record or a Fault


# --- reading --------------------------------------------------------------------------------------------------


def too_large() -> TooLarge:
    return TooLarge(f"一次最多 {MOST_BYTES // 2**20} MiB,请分几次上传。")


def lines(chunks: Iterable[bytes], codec: str = UTF_8) -> Iterator[tuple[int, str | Fault]]:
    """Lines of text, numbered from 1, however the stream was cut. Raises ``TooLarge``."""
    rest, total, number = b"", 0, 0
    for chunk in chunks:
        total += len(chunk)
        if total > MOST_BYTES:
            raise too_large()
        *whole, rest = (rest + chunk).split(b"\n")  # in GB18030, too, this byte is a line's end and nothing else
        for line in whole:
            number += 1
            yield number, _text(line, codec)
        if len(rest) > LINE_MAX_BYTES:
            raise TooLarge(f"第 {number + 1} 行超过 {LINE_MAX_BYTES // 1024} KiB。")
    if rest:
        yield number + 1, _text(rest, codec)


def _text(line: bytes, codec: str) -> str | Fault:
    if len(line) > LINE_MAX_BYTES:
        return Fault("", "line_too_long", "这一行太长。")
    try:
        return line.decode(codec).rstrip("\r")
    except UnicodeDecodeError:
        if codec != UTF_8:
            return Fault("", "bad_encoding", "这一行不是 Content-Type 里写的编码。")
        return Fault("", "not_utf8", "这一行不是 UTF-8。Excel 请存成“CSV UTF-8”,或在 Content-Type 里写 charset=gbk。")


def ndjson(chunks: Iterable[bytes], codec: str = UTF_8) -> Iterator[Line]:
    """One JSON object a line; empty lines are passed over."""
    for number, line in lines(chunks, codec):
        if isinstance(line, Fault):
            yield number, line
        elif line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, Fault("", "bad_json", "这一行不是 JSON。")


def comma_separated(chunks: Iterable[bytes], kind: str, codec: str = UTF_8) -> Iterator[Line]:
    """A header, then one row a line; an empty cell is a field that was not given. No line breaks inside a cell."""
    header: list[str] | None = None
    for number, line in lines(chunks, codec):
        if isinstance(line, Fault):
            yield number, line
            continue
        if not line.strip():
            continue
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error:
            yield number, Fault("", "bad_csv", "这一行不是规范的 CSV;单元格里不能换行。")
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if "identifier" not in header or len(set(header)) != len(header):
                raise InvalidInput("表头要有 identifier,且各列不重名。", code="bad_header")
        elif len(cells) != len(header):
            yield number, Fault("", "wrong_number_of_cells", "列数与表头不一致。")
        else:
            yield number, _typed(BY_KIND[kind], dict(zip(header, cells, strict=True)))


def _type_of(annotation: Any) -> Any:
    """The type alone, without its rules and without None beside it."""
    inner = [one for one in get_args(annotation) if one is not NoneType]
    return _type_of(inner[0]) if inner else annotation


def _typed(row_type: type[Row], cells: dict[str, str]) -> dict[str, Any]:
    """Cells as the row's types; what cannot be one is left as text, for the row's own check to refuse."""
    typed: dict[str, Any] = {}
    for name, cell in cells.items():
        if not cell.strip():
            continue
        known = row_type.model_fields.get(name)
        wanted = _type_of(known.annotation) if known else str
        if wanted is bool:
            typed[name] = _BOOLEANS.get(cell.strip().lower(), cell)
        elif wanted is int and _WHOLE.fullmatch(cell.strip()):
            typed[name] = int(cell)
        else:
            typed[name] = cell
    return typed


# --- writing --------------------------------------------------------------------------------------------------


@dataclass
class _Batch:
    """Lines that are written together: ``rows`` by identifier, each with its line; ``line``: the last of them all."""

    kind: str = ""
    rows: dict[str, tuple[int, Row]] = field(default_factory=dict)
    faults: list[tuple[int, Fault]] = field(default_factory=list)
    read: int = 0
    line: int = 0
    digest: str = ""


def begin(*, run_id: UUID, hospital_id: UUID, dry_run: bool, now: datetime | None = None) -> tuple[ImportRun, bool]:
    """The run of this id, and whether it is to be performed: it is new, it failed, its process has gone, or it was a rehearsal
    of what is now meant. In a scope.

    Raises ``NotFound`` for another hospital's id, ``Conflict`` while it is under way.
    """
    now = now or timezone.now()
    known = ImportRun.objects.filter(id=run_id).first()
    if known is None:
        try:
            with transaction.atomic():
                return ImportRun.objects.create(id=run_id, hospital_id=hospital_id, dry_run=dry_run), True
        except IntegrityError as error:
            raise NotFound from error
    if known.state == ImportRun.State.FINISHED and (dry_run or not known.dry_run):
        return known, False
    gone = known.state == ImportRun.State.RUNNING
    if gone and known.progress_at > now - STALE_AFTER:
        raise Conflict("这次上传正在进行。", code="in_progress")
    values: dict[str, Any] = {"state": ImportRun.State.RUNNING, "progress_at": now, "finished_at": None}
    if not gone or known.dry_run or dry_run:  # from the first line
        values |= dict.fromkeys(("read", "written", "unchanged", "refused", "line"), 0)
        values |= {"faults": [], "digest": "", "dry_run": dry_run, "started_at": now}
    mine = ImportRun.objects.filter(id=run_id, attempt=known.attempt)
    if not mine.update(attempt=F("attempt") + 1, **values):
        raise Conflict("这次上传正在进行。", code="in_progress")
    known.refresh_from_db()
    return known, True


def perform(run: ImportRun, records: Iterable[Line], *, kind: str = "", actor: Actor) -> ImportRun:
    """Write what is right, tell what is not; the run's row shows how far it is. ``kind``: of lines that do not say.

    Raises ``Conflict``: ``another_file`` where what was written already is not what stands there, ``taken_over``.
    """
    rehearsed: upsert.Rehearsed | None = {} if run.dry_run else None
    told = run.dry_run
    try:
        for batch in _batches(records, kind, run):
            with transaction.atomic():
                _write(run, batch, rehearsed)
                if not told:  # with the first batch, since an upload may end in the middle
                    audit.record(
                        "directory.import",
                        actor=actor,
                        hospital_id=run.hospital_id,
                        entity="import",
                        entity_id=run.id,
                    )
            told = True
    except BaseException:
        _keep(run, state=ImportRun.State.FAILED, finished_at=timezone.now())
        raise
    _keep(run, state=ImportRun.State.FINISHED, finished_at=timezone.now())
    run.refresh_from_db()
    return run


def _write(run: ImportRun, batch: _Batch, rehearsed: upsert.Rehearsed | None) -> None:
    """One batch, and that it is written. In a transaction. Raises ``Conflict`` (taken_over)."""
    rows = [(identifier, row) for identifier, (_number, row) in batch.rows.items()]
    faults = list(batch.faults)
    if rows:
        for outcome in upsert.write(hospital_id=run.hospital_id, kind=batch.kind, rows=rows, rehearsed=rehearsed):
            if outcome.fault:
                faults.append((batch.rows[outcome.identifier][0], outcome.fault))
            elif outcome.what == upsert.UNCHANGED:
                run.unchanged += 1
            else:
                run.written += 1
    run.read += batch.read
    run.refused += len(faults)
    shown = [{"line": number, **fault.shown()} for number, fault in faults]
    run.faults = [*run.faults, *shown][:FAULTS_KEPT]
    run.line, run.digest = batch.line, batch.digest
    names = ("read", "written", "unchanged", "refused", "faults", "line", "digest")
    if not _keep(run, **{name: getattr(run, name) for name in names}):
        raise Conflict("这次上传已由另一次请求接着做。", code="taken_over")


def _keep(run: ImportRun, **values: Any) -> bool:
    """False when it is another's turn to write."""
    mine = ImportRun.objects.filter(id=run.id, attempt=run.attempt)
    return bool(mine.update(progress_at=timezone.now(), **values))


def _batches(records: Iterable[Line], default_kind: str, run: ImportRun) -> Iterator[_Batch]:
    """What is not written yet, in the file's order: a batch ends with its kind or when an identifier comes again."""
    batch = _Batch()
    for number, record, digest in _behind(records, run.line, run.digest):
        fault, kind, identifier, row = None, batch.kind, "", None
        try:
            kind, identifier, row = _row(record, default_kind)
        except Fault as found:
            fault = found
        if batch.read >= BATCH or (batch.rows and row and (kind != batch.kind or identifier in batch.rows)):
            yield batch
            batch = _Batch()
        if fault:
            batch.faults.append((number, fault))
        elif row:
            batch.kind = kind
            batch.rows[identifier] = (number, row)
        batch.read += 1
        batch.line, batch.digest = number, digest
    if batch.read:
        yield batch


def _behind(records: Iterable[Line], written: int, expected: str) -> Iterator[tuple[int, Any, str]]:
    """(line, record, digest of all up to it) of what comes after the line ``written``. Raises ``Conflict`` (another_file)."""
    digest, same = hashlib.sha256(), not written
    for number, record in records:
        digest.update(repr((number, record)).encode())
        if number == written:
            same = digest.hexdigest() == expected
        elif number > written:
            if not same:
                break
            yield number, record, digest.hexdigest()
    if not same:
        raise Conflict("这个编号上次传的是另一个文件;再发一次就从头传。", code="another_file")


def _row(record: Any, default_kind: str) -> tuple[str, str, Row]:
    """Raises ``Fault``."""
    if isinstance(record, Fault):
        raise record
    if not isinstance(record, dict):
        raise Fault("", "not_an_object", "每一行是一个 JSON 对象。")
    data = dict(record)
    kind = data.pop("kind", default_kind)
    if not isinstance(kind, str) or kind not in BY_KIND or (default_kind and kind != default_kind):
        raise Fault("/kind", "unknown_kind", "kind 要写 known 里的一种。", known=list(BY_KIND))
    identifier = data.pop("identifier", None)
    if not isinstance(identifier, str) or not IDENTIFIER_PATTERN.fullmatch(identifier):
        raise Fault("/identifier", "bad_identifier", "identifier 须为 1 到 64 个字母、数字或 _ . : -,且不以符号开头。")
    return kind, identifier, parse(BY_KIND[kind], data)
