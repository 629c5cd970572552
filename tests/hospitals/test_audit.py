"""The audit log holds, and whatever is done to it is found: a byte changed, a row out, in, or cut off, a chain made anew."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakSet

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hospitals import audit, vault
from hospitals.audit import Actor, chain, heads, proof
from hospitals.audit.chain import COMMISSION, GENESIS
from hospitals.models import AuditChain, AuditEvent, DataKey
from hospitals.services import rotation
from tests.hospitals.appointments import an_appointment
from tests.hospitals.forging import as_it_is, digests, plain_from, unguarded

pytestmark = pytest.mark.django_db
HOSPITAL = UUID(int=7)
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
            detail="rows",
        )


def found() -> list[tuple[str, int, str]]:
    return [(b.chain, b.number, b.what) for b in proof.whole()]


def test_an_untouched_log_holds() -> None:
    assert found() == []
    said = StringIO()
    call_command("verify_audit", stdout=said)
    assert "2 chains hold" in said.getvalue()


def test_what_does_not_hold_is_named_and_ends_with_an_error() -> None:
    unguarded("UPDATE hospitals_auditevent SET why = 'x' WHERE chain_id = %s AND number = 2", CHAIN)
    told = StringIO()
    with pytest.raises(CommandError, match="1 breaks in 1 chains"):
        call_command("verify_audit", stderr=told)
    assert told.getvalue() == f"{CHAIN} 2: altered\n"


# --- one value changed ---------------------------------------------------------------------------------------

# Every column of a row and of the chain's end. Characters the digest is made from; a time and a number move by little.
TEXTS = ["action", "actor_kind", "actor", "entity", "entity_id", "why", "detail", "previous", "digest"]
IDENTIFIERS = ["id", "subject", "hospital_id"]


def test_no_column_is_left_out() -> None:
    columns = {field.attname for field in AuditEvent._meta.concrete_fields}
    assert columns == {*TEXTS, *IDENTIFIERS, "at", "number", "key_version", "chain_id"}
    assert {field.attname for field in AuditChain._meta.concrete_fields} == set(chain.END_COLUMNS)


@settings(max_examples=150, deadline=None)
@given(
    where=st.sampled_from([(CHAIN, 1), (CHAIN, 2), (CHAIN, 3), (COMMISSION, 1), (COMMISSION, 2)]),
    column=st.sampled_from([*TEXTS, *IDENTIFIERS, "at", "number", "key_version", "chain_id"]),
    position=st.integers(0, 100),
    byte=st.characters(min_codepoint=32, max_codepoint=0x9FFF, exclude_characters="\x7f"),
)
def test_whichever_byte_of_whichever_row_changes_it_is_found(
    where: tuple[str, int], column: str, position: int, byte: str
) -> None:
    with transaction.atomic():
        row = AuditEvent.objects.get(chain_id=where[0], number=where[1])
        before = getattr(row, column)
        changed: Any
        if column in TEXTS:
            room = getattr(AuditEvent._meta.get_field(column), "max_length", None)
            at = position % (len(before) + 1)
            changed = (before[:at] + byte + before[at + 1 :])[:room]
        elif column in IDENTIFIERS:
            changed = UUID(int=before.int ^ (1 << position)) if before else UUID(int=position)
        elif column == "at":
            changed = before + timedelta(microseconds=position + 1)
        elif column == "number":
            changed = 1000 + position
        elif column == "key_version":
            changed = position
        else:
            AuditChain.objects.create(key=f"other-{position}", length=0, head=GENESIS)
            changed = f"other-{position}"
        assume(changed != before)
        unguarded("SELECT 1")
        AuditEvent.objects.filter(pk=row.pk).update(**{column: changed})
        assert found()
        transaction.set_rollback(True)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from([CHAIN, COMMISSION]),
    column=st.sampled_from(["length", "head", "anchored", "key_version", "seal"]),
    by=st.integers(1, 3),
    position=st.integers(0, 63),
)
def test_whatever_changes_at_a_chain_s_end_is_found(name: str, column: str, by: int, position: int) -> None:
    with transaction.atomic():
        before = AuditChain.objects.values_list(column, flat=True).get(key=name)
        changed: Any = before + by if isinstance(before, int) else before[:position]
        AuditChain.objects.filter(key=name).update(**{column: changed})
        assert found()
        transaction.set_rollback(True)


# --- rows out, in and about -----------------------------------------------------------------------------------


def test_a_row_taken_out_is_found() -> None:
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s AND number = 2", CHAIN)
    assert (CHAIN, 2, "missing") in found()


def test_rows_cut_off_at_the_end_are_found() -> None:
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s AND number = 3", CHAIN)
    assert (CHAIN, 3, "cut") in found()


def test_rows_cut_off_with_the_end_rewritten_are_found() -> None:
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s AND number = 3", CHAIN)
    AuditChain.objects.filter(key=CHAIN).update(length=2, head=digests(CHAIN)[-1])
    assert found() == [(CHAIN, 2, "end")]


def test_rows_that_changed_places_are_found() -> None:
    for old, new in ((1, 91), (2, 1), (91, 2)):
        unguarded("UPDATE hospitals_auditevent SET number = %s WHERE chain_id = %s AND number = %s", new, CHAIN, old)
    assert {number for _chain, number, what in found() if what == "altered"} == {1, 2, 3}


def test_a_row_put_in_at_the_end_is_found() -> None:
    last = AuditEvent.objects.get(chain_id=CHAIN, number=3)
    last.pk, last.number, last.previous = uuid4(), 4, last.digest
    last.digest = chain.digest(last, None)
    last.save(force_insert=True)
    assert {what for _chain, _number, what in found()} == {"altered", "extra"}


# --- a chain made anew, gone, begun again ---------------------------------------------------------------------


@pytest.mark.parametrize("name", [CHAIN, COMMISSION])
@pytest.mark.parametrize("keep_version", [False, True])
def test_a_whole_chain_made_anew_without_the_key_is_found(name: str, keep_version: bool) -> None:
    plain_from(name, 1, why="x", keep_version=keep_version)
    assert [b for b in found() if b[0] == name]


@pytest.mark.parametrize("name", [CHAIN, COMMISSION])
def test_a_whole_chain_made_anew_is_not_taken_for_an_old_one_later(name: str) -> None:
    plain_from(name, 1, why="x", keep_version=False)
    AuditChain.objects.filter(key=name).update(seal="", key_version=0)
    assert [b for b in found() if b[0] == name]
    audit.record("next", hospital_id=HOSPITAL if name == CHAIN else None)
    assert {what for _chain, _number, what in found()} & {"reborn", "unborn"}


def test_a_row_without_a_key_after_one_with_it_is_found() -> None:
    plain_from(CHAIN, 3, keep_version=False)
    assert (CHAIN, 3, "plain") in found()


def test_a_chain_made_anew_with_another_key_is_found() -> None:
    DataKey.objects.filter(owner_kind="audit").delete()
    vault.forget()
    assert {what for _chain, _number, what in found()} == {"no_key", "end", "unborn"}
    audit.record("next", hospital_id=HOSPITAL)
    assert {what for _chain, _number, what in found()} >= {"altered", "broken"}


def _vanish(name: str) -> None:
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s", name)
    AuditChain.objects.filter(key=name).delete()


def test_a_chain_that_went_is_found_and_one_begun_again() -> None:
    _vanish(CHAIN)
    assert found() == [(CHAIN, 0, "gone")]
    audit.record("next", hospital_id=HOSPITAL)
    assert (CHAIN, 0, "reborn") in found()


def test_the_commission_s_chain_cannot_go_or_begin_again() -> None:
    _vanish(COMMISSION)
    assert found() == [(COMMISSION, 0, "gone"), (CHAIN, 0, "unborn"), (CHAIN, 1, "unborn")]
    audit.record("next")
    assert found() == [(CHAIN, 0, "unborn"), (CHAIN, 1, "unborn")]


def test_a_hospital_with_rows_has_a_chain() -> None:
    row = an_appointment("push")
    assert found() == [(str(row.hospital_id), 0, "gone")]
    audit.record("appointment.book", hospital_id=row.hospital_id)
    assert found() == []


# --- the service goes on, and does not mend what others did ------------------------------------------------------


def cut() -> None:
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s AND number = 3", CHAIN)
    AuditChain.objects.filter(key=CHAIN).update(length=2, head=digests(CHAIN)[-1])


def shorten() -> None:
    AuditChain.objects.filter(key=CHAIN).update(length=1)


def unknown_key() -> None:
    AuditChain.objects.filter(key=CHAIN).update(key_version=99)


@pytest.mark.parametrize("change", [cut, shorten, unknown_key])
def test_an_altered_end_is_put_down_for_good(change: Callable[[], None]) -> None:
    change()
    for _ in range(2):
        audit.record("next", hospital_id=HOSPITAL)
    (broken,) = AuditEvent.objects.filter(action="chain.broken")
    assert found() == [(CHAIN, broken.number, "broken")]
    assert AuditEvent.objects.filter(chain_id=CHAIN, action="next").count() == 2


def test_an_old_end_given_back_is_not_noticed_by_itself() -> None:
    """What needs heads that were sent elsewhere: an earlier state of a chain, with the seal that it had then."""
    before = as_it_is(CHAIN)
    audit.record("next", hospital_id=HOSPITAL)
    unguarded("DELETE FROM hospitals_auditevent WHERE chain_id = %s AND number = 4", CHAIN)
    AuditChain.objects.filter(key=CHAIN).update(**before)
    assert found() == []


# --- from before there was a key --------------------------------------------------------------------------------


def from_before() -> None:
    """As an installation is after the migration: plain digests, unsealed ends, no births, no key."""
    unguarded("DELETE FROM hospitals_auditevent WHERE action = 'chain.born'")
    unguarded("UPDATE hospitals_auditevent SET detail = ''")
    DataKey.objects.filter(owner_kind="audit").delete()
    vault.forget()
    plain_from(CHAIN, 1, keep_version=False)
    AuditChain.objects.filter(key=CHAIN).update(seal="", key_version=0)
    AuditChain.objects.filter(key=COMMISSION).update(seal="", key_version=0, length=0, head="")


@pytest.mark.parametrize("sealed_by", ["task", "first row"])
def test_old_rows_hold_once_their_ends_are_sealed(sealed_by: str) -> None:
    from_before()
    assert (CHAIN, 3, "end") in found()
    if sealed_by == "task":
        heads.seal_old_ends()
        assert found() == []
    audit.record("next", hospital_id=HOSPITAL)
    assert found() == []
    assert list(AuditEvent.objects.filter(chain_id=CHAIN).values_list("key_version", flat=True)) == [0, 0, 0, 1]


def test_an_old_row_that_changed_is_found() -> None:
    from_before()
    heads.seal_old_ends()
    plain_from(CHAIN, 2, why="x", keep_version=False)
    assert (CHAIN, 3, "reborn") in found()
    plain_from(CHAIN, 2, why="看报告", keep_version=False)
    unguarded("UPDATE hospitals_auditevent SET detail = 'x' WHERE chain_id = %s AND number = 1", CHAIN)
    assert (CHAIN, 1, "altered") in found()


# --- keys that change ---------------------------------------------------------------------------------------------


def test_a_new_key_seals_every_end_and_old_rows_still_hold() -> None:
    assert rotation.rotate_audit(actor=Actor("service")) == 2
    audit.record("next", hospital_id=HOSPITAL)
    assert found() == []
    assert list(AuditEvent.objects.filter(chain_id=CHAIN).values_list("key_version", flat=True)) == [1, 1, 1, 2]
    assert set(AuditChain.objects.values_list("key_version", flat=True)) == {2}


def test_a_process_that_has_not_heard_of_the_new_key_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    old = chain.newest()
    rotation.rotate_audit(actor=Actor("service"))
    monkeypatch.setattr(chain, "newest", lambda: old)
    audit.record("next", hospital_id=HOSPITAL)
    audit.record("next", hospital_id=uuid4())
    monkeypatch.undo()
    assert found() == []


def test_who_has_an_old_key_cannot_use_it_any_more() -> None:
    old = chain.newest()
    rotation.rotate_audit(actor=Actor("service"))
    end = chain.locked(CHAIN)
    chain.move(end.sealed(old))
    assert found() == [(CHAIN, 3, "old_key")]


def test_a_change_of_keys_that_was_cut_off_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(rotation.chain, "seal_anew", only(chain.seal_anew, COMMISSION))
        with pytest.raises(InterruptedError):
            rotation.rotate_audit(actor=Actor("service"))
    assert found() == [(CHAIN, 3, "old_key")]
    assert rotation.rotate_audit(actor=Actor("service")) == 2
    assert found() == []


def only(work: Callable[..., None], name: str) -> Callable[..., None]:
    def until(key: str, **more: Any) -> None:
        if key != name:
            raise InterruptedError
        work(key, **more)

    return until


def test_national_cryptography_makes_the_digests_where_it_is_asked_for(settings: Any) -> None:
    settings.HOSPITALS_CIPHER = "SM4-GCM"
    rotation.rotate_audit(actor=Actor("service"))
    audit.record("next", hospital_id=HOSPITAL)
    assert chain.newest().cipher == "HMAC-SM3"
    assert found() == []


# --- what it costs -------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_record_asks_three_things_of_the_database() -> None:
    DataKey.objects.update(created_at="2020-01-01T00:00:00Z")
    audit.record("warm", hospital_id=HOSPITAL)
    with CaptureQueriesContext(connection) as asked:
        audit.record("next", hospital_id=HOSPITAL)
    said = [query["sql"] for query in asked.captured_queries]  # planned statements are logged without their text
    assert len([text for text in said if not str(text).startswith(("BEGIN", "COMMIT"))]) == 3


def test_a_hundred_thousand_rows_are_proved_and_few_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    end, key, at = chain.locked(CHAIN), chain.newest(), timezone.now()
    for _ in range(20):
        rows = []
        for _ in range(5000):
            about = {"chain_id": CHAIN, "number": end.length + 1, "at": at, "actor_kind": "service", "action": "x"}
            row = AuditEvent(**about, previous=end.head, key_version=key.version)
            row.digest = chain.digest(row, key)
            end = replace(end, length=row.number, head=row.digest)
            rows.append(row)
        AuditEvent.objects.bulk_create(rows)
    del rows, row
    chain.move(end.sealed(key))
    alive: WeakSet[AuditEvent] = WeakSet()
    most, judged = 0, proof._Proof._row

    def counted(self: Any, row: AuditEvent, version: int) -> str:
        nonlocal most
        alive.add(row)
        most = max(most, len(alive))
        return judged(self, row, version)

    monkeypatch.setattr(proof._Proof, "_row", counted)
    assert found() == []
    assert 0 < most <= 4000


# --- the database's own lock ---------------------------------------------------------------------------------------


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
