"""Compiled queries: put together once, true for every later call, whoever's hospital it is."""

import os
import socket
from contextlib import nullcontext
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from psycopg import _pipeline_base

from hospitals import tenancy
from hospitals.compiled import Compiled, CompiledInsert, ask, in_one_go, read
from hospitals.exceptions import WrongScope
from hospitals.models import Appointment, Slot, SlotHold
from hospitals.services import booking, booking_rules
from tests.embedded import ON_SERVICES
from tests.hospitals.clinics import NOW, Clinic, a_clinic, card

pytestmark = [pytest.mark.django_db, pytest.mark.services]


def test_each_call_has_its_own_parts() -> None:
    clinic = a_clinic()
    first, second = clinic.slot(capacity=1), clinic.slot(capacity=2)
    query = Compiled(lambda slot: Slot.objects.filter(id=slot, stopped=False).values_list("id", "capacity", "start"))
    assert query.rows(slot=first.id) == [(first.id, 1, first.start)]
    assert query.rows(slot=second.id) == [(second.id, 2, second.start)]
    assert query.rows(slot=uuid4()) == []


def test_the_first_caller_s_hospital_is_not_kept() -> None:
    person = UUID(int=1)
    here, there = a_clinic("here"), a_clinic("there")
    slots = {clinic.hospital.id: clinic.slot().id for clinic in (here, there)}
    here.book(here.slot(), person, key="k1")

    def seen(clinic: Clinic) -> list[str]:
        with tenancy.scope(clinic.hospital.id):
            return [row.idempotency_key for row in booking_rules.look(slots[clinic.hospital.id], subject=person)[1]]

    assert [seen(here), seen(there), seen(here)] == [["k1"], [], ["k1"]]


def test_it_is_put_together_once_and_then_one_statement() -> None:
    slot, built = a_clinic().slot(), []

    def build(slot: UUID) -> object:
        built.append(slot)
        return Slot.objects.filter(id=slot).values_list("free")

    query = Compiled(build)  # type: ignore[arg-type]
    with CaptureQueriesContext(connection) as asked:
        assert [query.rows(slot=slot.id) for _ in range(3)] == [[(1,)]] * 3
    assert (len(built), len(asked)) == (1, 3)


def test_a_part_that_the_query_does_not_use_is_a_mistake() -> None:
    query = Compiled(lambda slot, other: Appointment.objects.filter(slot=slot).values_list("id"))
    with pytest.raises(ValueError, match="part"):
        query.rows(slot=uuid4(), other=uuid4())


def test_a_hospital_s_rows_are_never_read_as_shared() -> None:
    query = Compiled(lambda slot: Appointment.objects.filter(slot=slot).values_list("id"), shared=True)
    with pytest.raises(ValueError, match="shared"):
        query.rows(slot=uuid4())


class TestInserting:
    def test_rows_are_sealed_and_read_back_as_saved_ones_are(self) -> None:
        clinic = a_clinic()
        made = clinic.book(clinic.slot(), number=3)
        with tenancy.scope(clinic.hospital.id):
            row = Appointment.objects.get(id=made.appointment_id)
        assert booking.card_of(row) == card(3)

    def test_another_hospital_s_row_is_refused(self) -> None:
        here, there = a_clinic("here"), a_clinic("there")
        hold = SlotHold(slot=there.slot(), subject=uuid4(), expires_at=NOW, hospital=there.hospital)
        with tenancy.scope(here.hospital.id), pytest.raises(WrongScope):
            CompiledInsert(SlotHold).save(hold)

    def test_what_excludes_a_row_keeps_it_out(self) -> None:
        clinic, subject = a_clinic(), uuid4()
        slot, insert = clinic.slot(), CompiledInsert(SlotHold)
        rows = [SlotHold(slot=slot, subject=subject, expires_at=NOW, hospital=clinic.hospital) for _ in range(2)]
        with tenancy.scope(clinic.hospital.id):
            assert [insert.save_once(row) for row in rows] == [True, False]
            assert [row._state.adding for row in rows] == [False, True]

    @pytest.mark.parametrize("together", [False, True])
    def test_a_mistake_is_told_at_once_or_at_the_end(self, together: bool) -> None:
        clinic, insert = a_clinic(), CompiledInsert(SlotHold)
        row = SlotHold(slot=clinic.slot(), subject=uuid4(), expires_at=NOW, hospital=clinic.hospital)
        way = in_one_go if together else nullcontext
        with tenancy.scope(clinic.hospital.id), pytest.raises(IntegrityError), transaction.atomic(), way():
            insert.save(row)
            insert.save(row)
        with tenancy.scope(clinic.hospital.id):
            assert not SlotHold.objects.exists()


@pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL")
def test_what_the_server_has_planned_outlives_a_rollback() -> None:
    """psycopg would have it planned anew by whoever comes next."""
    slot = a_clinic().slot()
    query = Compiled(lambda slot: Slot.objects.filter(id=slot).values_list("free", "capacity", "stopped"))

    def planned() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%%\"stopped\" AS %%'")
            found: int = cursor.fetchone()[0]
            return found

    before = planned()
    for _ in range(10):
        query.rows(slot=slot.id)
    assert planned() == before + 1
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        query.rows(slot=slot.id)
        raise ZeroDivisionError
    assert query.rows(slot=slot.id) == [(1, 1, False)]
    assert planned() == before + 1


@pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL")
class TestInOneGo:
    def test_statements_leave_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clinic, insert, way_out = a_clinic(), CompiledInsert(SlotHold), _pipeline_base.pipeline_communicate
        slot, sent = clinic.slot(capacity=9), []

        def holds() -> list[SlotHold]:
            return [SlotHold(slot=slot, subject=uuid4(), expires_at=NOW, hospital=clinic.hospital) for _ in range(4)]

        def counted(connection: object, commands: object) -> object:
            sent.append(commands)
            return way_out(connection, commands)  # type: ignore[arg-type]

        with tenancy.scope(clinic.hospital.id):
            insert.save(*holds()[:1])  # planned, and the server knows whose rows are meant
            monkeypatch.setattr(_pipeline_base, "pipeline_communicate", counted)
            with in_one_go():
                for row in holds():
                    insert.save(row)
                assert sent == []
            assert len(sent) == 1
            assert SlotHold.objects.count() == 5

    def test_an_answer_can_be_asked_for_before_the_end(self) -> None:
        slots = [a_clinic(name).slot(capacity=number) for number, name in enumerate(("here", "there"), start=1)]
        query = Compiled(lambda slot: Slot.objects.filter(id=slot).values_list("capacity"))
        with in_one_go():
            first, second = (query.ask(slot=slot.id) for slot in slots)
            assert query.read(second) == [(2,)]
        assert query.read(first) == [(1,)]

    @pytest.mark.timeout(60)  # it waited for an answer to what was never sent whole
    def test_more_than_any_buffer_holds_goes_all_the_same(self) -> None:
        long = [character * 3_000_000 for character in "甲乙丙"]
        with connection.cursor(), socket.socket(fileno=os.dup(connection.connection.pgconn.socket)) as way:
            way.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with in_one_go():
            asked = [ask("SELECT %s::text", text) for text in long]
        assert [read(one) for one in asked] == [[(text,)] for text in long]


@pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_a_server_that_went_away_before_it_was_told_whose_rows_are_meant_is_an_outage_like_any_other() -> None:
    clinic = a_clinic()
    chosen = connection.settings_dict
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        mine = cursor.fetchone()[0]
    where = {"host": chosen["HOST"], "port": chosen["PORT"], "user": chosen["USER"], "dbname": chosen["NAME"]}
    with psycopg.connect(**where, password=chosen["PASSWORD"] or None) as other:
        other.execute("SET ROLE NONE")
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [mine])
    with tenancy.scope(clinic.hospital.id), pytest.raises(OperationalError):
        Appointment.objects.exists()
    connection.close()
