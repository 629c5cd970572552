"""Heads that were sent elsewhere show a chain cut or made anew, also by somebody who has the database and the key."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command

from hospitals import audit, tasks
from hospitals.audit import chain, heads, proof
from hospitals.audit.chain import COMMISSION
from hospitals.models import AuditChain, AuditEvent
from tests.hospitals.forging import as_it_is, digests, unguarded

pytestmark = pytest.mark.django_db
HOSPITALS = UUID(int=1), UUID(int=2)
FIRST, SECOND = map(str, HOSPITALS)


@pytest.fixture
def stream() -> Iterator[StringIO]:
    """The process's log stream, in the form in which it is written."""
    logger = logging.getLogger("hospitals")
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logger.handlers[0].formatter)
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)


@pytest.fixture
def file(stream: StringIO, tmp_path: Path) -> Path:
    """Two hospitals' chains, and the lines of their heads as an operator keeps them."""
    for hospital in HOSPITALS:
        for _ in range(3):
            audit.record("x", hospital_id=hospital)
    heads.send()
    kept = tmp_path / "heads.log"
    kept.write_text(f"a line of somebody else\n{stream.getvalue()}")
    return kept


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def found(file: Path | None = None) -> list[tuple[str, int, str]]:
    return [(b.chain, b.number, b.what) for b in proof.whole(proof.read(file) if file else ())]


def made_anew(name: str, number: int, **changes: Any) -> None:
    """As somebody with the key would: the row of that number changed, and all behind it and the end made to fit."""
    unguarded("SELECT 1")
    previous = "" if number == 1 else digests(name)[number - 2]
    rows = list(AuditEvent.objects.filter(chain_id=name, number__gte=number).order_by("number"))
    for row in rows:
        values = {"previous": previous or row.previous, **(changes if row.number == number else {})}
        for column, value in values.items():
            setattr(row, column, value)
        previous = row.digest = chain.digest(row, chain.newest())
        AuditEvent.objects.filter(pk=row.pk).update(**values, digest=previous)
    end = chain.End(name, rows[-1].number, previous, AuditChain.objects.get(key=name).anchored)
    chain.move(end.sealed(chain.newest()))


def test_heads_that_moved_are_written_once_and_the_commission_s_always(stream: StringIO) -> None:
    audit.record("x", hospital_id=HOSPITALS[0])
    assert heads.send() == 1
    assert [(line["event"], line["chain"], line["length"]) for line in lines(stream)] == [
        ("audit.heads", FIRST, 1),
        ("audit.heads", COMMISSION, 3),  # its birth, the hospital's, and these heads
    ]
    assert {line["head"] for line in lines(stream)} == {digests(FIRST)[-1], digests(COMMISSION)[-1]}
    stream.truncate(stream.seek(0))
    tasks.send_audit_heads()
    assert [line["chain"] for line in lines(stream)] == [COMMISSION]
    assert found() == []


def test_a_line_holds_no_more_than_a_head(stream: StringIO) -> None:
    audit.record("x", hospital_id=HOSPITALS[0], subject=uuid4(), why="看报告")
    heads.send()
    assert set(lines(stream)[0]) == {"event", "chain", "length", "head", "level", "logger", "timestamp"}


def test_nobody_has_done_anything_yet(stream: StringIO) -> None:
    assert heads.send() == 0 and not stream.getvalue()
    assert found() == []


def test_chains_pass_through_their_heads(file: Path) -> None:
    audit.record("x", hospital_id=HOSPITALS[0])
    said = StringIO()
    call_command("verify_audit", anchors=str(file), stdout=said)
    assert "3 chains hold, through 3 heads" in said.getvalue()


def test_rows_cut_off_by_who_has_the_key_are_found(file: Path) -> None:
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s AND number = 3", FIRST)
    end = chain.End(FIRST, 2, digests(FIRST)[-1], 3)
    chain.move(end.sealed(chain.newest()))
    assert found(file) == [(FIRST, 3, "anchor"), (FIRST, 3, "anchor")]  # the commission's chain knows it, and the file
    with pytest.raises(CommandError, match="2 breaks in 1 chains"):
        call_command("verify_audit", anchors=str(file), stderr=StringIO())


def test_a_chain_made_anew_by_who_has_the_key_is_found_without_the_file_too(file: Path) -> None:
    made_anew(SECOND, 1, why="another")
    assert found() == [(SECOND, 3, "anchor")]


def test_the_commission_s_heads_made_to_fit_as_well_are_found_by_the_file(file: Path) -> None:
    made_anew(SECOND, 2, why="another")
    told = AuditEvent.objects.get(action="audit.heads")
    lines = [f"{FIRST} 3 {digests(FIRST)[-1]}", f"{SECOND} 3 {digests(SECOND)[-1]}"]
    made_anew(COMMISSION, told.number, detail="\n".join(lines))
    assert found() == []
    assert found(file) == [(SECOND, 3, "anchor"), (COMMISSION, told.number, "anchor")]


def test_an_old_end_given_back_is_found(file: Path) -> None:
    before = as_it_is(FIRST)
    audit.record("x", hospital_id=HOSPITALS[0])
    heads.send()
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s AND number = 4", FIRST)
    AuditChain.objects.filter(key=FIRST).update(**before)
    assert found() == [(FIRST, 4, "anchor")]


def test_everything_taken_away_is_found_by_the_file(file: Path) -> None:
    unguarded("DELETE FROM hospitals_auditevent")
    AuditChain.objects.all().delete()
    assert {what for _chain, _number, what in found(file)} >= {"anchor"}


def test_what_was_sent_and_not_finished_is_sent_again(stream: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    audit.record("x", hospital_id=HOSPITALS[0])
    with monkeypatch.context() as patched:
        patched.setattr(chain, "seal_anew", lambda *_a, **_k: (_ for _ in ()).throw(InterruptedError))
        with pytest.raises(InterruptedError):
            heads.send()
    assert heads.send() == 1 and heads.send() == 0
    assert found() == []


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "audit.heads"}',
        '{"event": "audit.heads", "chain": "x", "length": "3", "head": "0"}',
        '{"event": "audit.heads", "chain": 3, "length": 3, "head": "%s"}' % ("0" * 64),
        '{"event": "audit.heads", "chain": "x", "length": 99999999999999999999, "head": "%s"}' % ("0" * 64),
        '{"event": "audit.heads", "chain": "x", "length": true, "head": "%s"}' % ("0" * 64),
        '{"event": "audit.heads", "chain": "x\\u0000", "length": 3, "head": "%s"}' % ("0" * 64),
        '{"event": "audit.heads"',
        "audit.heads",
    ],
)
def test_a_line_of_heads_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "heads.log"
    file.write_text(f"\n{line}\n")
    with pytest.raises(CommandError, match="第2行"):
        call_command("verify_audit", anchors=str(file))


def test_a_line_that_a_collector_put_something_before_is_read(tmp_path: Path) -> None:
    file = tmp_path / "heads.log"
    file.write_text('web-1 | {"event": "audit.heads", "chain": "x", "length": 3, "head": "%s"}\n' % ("0" * 64))
    assert list(proof.read(file)) == [proof.Anchor("x", 3, "0" * 64)]


def test_a_file_without_heads_or_none_at_all_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_text("{}\n")
    for name in ("empty.log", "missing.log"):
        with pytest.raises(CommandError, match=name):
            call_command("verify_audit", anchors=str(tmp_path / name))


def test_heads_can_be_sent_by_hand(stream: StringIO) -> None:
    audit.record("x", hospital_id=HOSPITALS[0])
    said = StringIO()
    call_command("audit_heads", stdout=said)
    assert "1 heads moved" in said.getvalue() and len(lines(stream)) == 2
