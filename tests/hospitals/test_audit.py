"""The audit log holds, and whatever is done to it is found: a byte changed, a row out, in, or cut off at the end."""

from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hospitals import audit
from hospitals.audit import Actor
from hospitals.models import AuditChain, AuditEvent

pytestmark = pytest.mark.django_db
HOSPITAL = uuid4()
CHAIN = str(HOSPITAL)


@pytest.fixture(autouse=True)
def three_rows() -> None:
    for number in range(3):
        audit.record(
            f"read.{number}",
            actor=Actor("hospital", "client-1"),
            hospital_id=HOSPITAL,
            entity="report",
            entity_id=number,
            subject=uuid4(),
            why="看报告",
        )


def unguarded(sql: str, *values: object) -> None:
    """As somebody with the database's own password would: without the triggers that forbid it."""
    with connection.cursor() as cursor:
        table = " ON hospitals_auditevent" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER IF EXISTS audit_event_append_only{table}")
        cursor.execute(sql, values)


def found() -> list[tuple[int, str]]:
    return [(b.number, b.what) for b in audit.verify(CHAIN)]


def test_an_untouched_log_holds() -> None:
    assert found() == []
    said = StringIO()
    call_command("verify_audit", stdout=said)
    assert "hold" in said.getvalue()


@pytest.mark.parametrize(
    "column", ["action", "actor_kind", "actor", "entity", "entity_id", "why", "previous", "digest", "at", "subject"]
)
def test_one_changed_byte_in_any_column_is_found(column: str) -> None:
    row = AuditEvent.objects.get(chain_id=CHAIN, number=2)
    value = str(getattr(row, column)) if column not in ("at", "subject") else None
    changed = {"at": "2020-01-01 00:00:00", "subject": uuid4().hex}.get(column) or (
        ("x" if value[:1] != "x" else "y") + value[1:]
    )
    unguarded(f"UPDATE hospitals_auditevent SET {column} = %s WHERE id = %s", changed, row.id.hex)
    assert any(what == "altered" for _number, what in found())
    with pytest.raises(CommandError, match="break"):
        call_command("verify_audit", stderr=StringIO())


# Every column of a row and of the chain's end. Characters the digest is made from; a time and a number move by little.
TEXTS = ["action", "actor_kind", "actor", "entity", "entity_id", "why", "previous", "digest"]
IDENTIFIERS = ["id", "subject", "hospital_id"]


def test_no_column_is_left_out() -> None:
    columns = {field.attname for field in AuditEvent._meta.concrete_fields}
    assert columns == {*TEXTS, *IDENTIFIERS, "at", "number", "chain_id"}


@settings(max_examples=120, deadline=None)
@given(
    number=st.integers(1, 3),
    column=st.sampled_from([*TEXTS, *IDENTIFIERS, "at", "number", "chain_id"]),
    position=st.integers(0, 100),
    byte=st.characters(min_codepoint=32, max_codepoint=0x9FFF, exclude_characters="\x7f"),
)
def test_whichever_byte_of_whichever_row_changes_it_is_found(
    number: int, column: str, position: int, byte: str
) -> None:
    with transaction.atomic():
        row = AuditEvent.objects.get(chain_id=CHAIN, number=number)
        before = getattr(row, column)
        changed: Any
        if column in TEXTS:
            room = AuditEvent._meta.get_field(column).max_length
            at = position % (len(before) + 1)
            changed = (before[:at] + byte + before[at + 1 :])[:room]
        elif column in IDENTIFIERS:
            changed = UUID(int=before.int ^ (1 << position))
        elif column == "at":
            changed = before + timedelta(microseconds=position + 1)
        elif column == "number":
            changed = 1000 + position
        else:
            AuditChain.objects.create(key=f"other-{position}", length=0, head=audit.GENESIS)
            changed = f"other-{position}"
        assume(changed != before)
        with connection.cursor() as cursor:
            cursor.execute(
                "DROP TRIGGER IF EXISTS audit_event_append_only"
                + (" ON hospitals_auditevent" if connection.vendor == "postgresql" else "")
            )
        AuditEvent.objects.filter(pk=row.pk).update(**{column: changed})
        assert found()
        transaction.set_rollback(True)


@pytest.mark.parametrize("changed", [{"length": 2}, {"length": 4}, {"head": "0" * 63 + "1"}])
def test_a_changed_end_of_the_chain_is_found(changed: dict[str, Any]) -> None:
    AuditChain.objects.filter(key=CHAIN).update(**changed)
    assert found()


def test_a_row_taken_out_is_found() -> None:
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s AND number = 2", CHAIN)
    assert (2, "missing") in found()


def test_rows_cut_off_at_the_end_are_found() -> None:
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s AND number = 3", CHAIN)
    assert found() == [(3, "cut")]


def test_rows_that_changed_places_are_found() -> None:
    for old, new in ((1, 91), (2, 1), (91, 2)):
        unguarded("UPDATE hospitals_auditevent SET number = %s WHERE chain_id = %s AND number = %s", new, CHAIN, old)
    assert found()


def test_a_row_put_in_at_the_end_is_found() -> None:
    last = AuditEvent.objects.get(chain_id=CHAIN, number=3)
    last.pk, last.number, last.previous = uuid4(), 4, last.digest
    last.digest = audit._digest(last)
    last.save(force_insert=True)
    assert (4, "extra") in found()


def test_the_log_refuses_to_be_changed() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEvent.objects.filter(chain_id=CHAIN).update(why="x")
    assert found() == []


@pytest.mark.services
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite refuses changes only; see the migration")
def test_the_log_refuses_to_lose_rows() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEvent.objects.filter(chain_id=CHAIN).delete()
    assert found() == []


def test_a_resident_sees_who_looked_at_her() -> None:
    subject = uuid4()
    audit.record("read.report", actor=Actor("hospital", "c"), hospital_id=HOSPITAL, subject=subject)
    assert [row.action for row in audit.about(subject)] == ["read.report"]
    assert AuditChain.objects.get(key=CHAIN).length == 4
