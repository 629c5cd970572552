"""The second lock on PostgreSQL: with the ORM's scope taken away on purpose, no other hospital's row comes through."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.checks import Error, Warning
from django.db import DatabaseError, connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from hospitals import checks, seed, tenancy
from hospitals.exceptions import ConnectorUnavailable
from hospitals.models import (
    AccessToken,
    Appointment,
    Delivery,
    Hospital,
    IdempotentAnswer,
    InboxEvent,
    OutboxCommand,
    Slot,
)
from hospitals.services import access, circuit, erasure, onboarding, retention, rotation, waiting
from tests.hospitals.appointments import an_appointment
from tests.hospitals.joining import OFFICER, joined
from tests.hospitals.tenant_rows import OPEN, TENANTS, a_row, as_new, without_the_orm_s_scope
from tests.obedient import as_owner

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="row-level security is PostgreSQL's"),
]


@pytest.fixture()
def two() -> tuple[Appointment, Appointment]:
    return an_appointment("push", "one"), an_appointment("push", "two")


def raw_ids() -> set[uuid.UUID]:
    """What the database itself gives out, whatever the ORM thinks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM hospitals_appointment")
        return {row[0] for row in cursor.fetchall()}


def test_every_tenant_table_has_its_policies() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename, count(*) FROM pg_policies GROUP BY tablename")
        policies = dict(cursor.fetchall())
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
        forced = {row[0] for row in cursor.fetchall()}
    for model in (*TENANTS, *OPEN):
        assert policies.get(model._meta.db_table) == 4 and model._meta.db_table in forced, model


def test_without_a_scope_there_are_no_rows(two: Any) -> None:
    assert raw_ids() == set()


def test_a_scope_gives_its_own_rows_and_a_report_all(two: Any) -> None:
    one, other = two
    with tenancy.scope(one.hospital_id):
        assert raw_ids() == {one.id}
        with tenancy.scope(other.hospital_id):
            assert raw_ids() == {other.id}
        assert raw_ids() == {one.id}
    with tenancy.service("inbox sweep"):
        assert raw_ids() == {one.id, other.id}
    assert raw_ids() == set()


def test_foreign_rows_cannot_be_written_and_a_report_cannot_write(two: Any) -> None:
    one, other = two
    with tenancy.scope(one.hospital_id), connection.cursor() as cursor:
        cursor.execute("UPDATE hospitals_appointment SET reference = 'x' WHERE id = %s", [other.id])
        assert cursor.rowcount == 0
        cursor.execute("DELETE FROM hospitals_appointment WHERE id = %s", [other.id])
        assert cursor.rowcount == 0
    with tenancy.scope(one.hospital_id), pytest.raises(DatabaseError), transaction.atomic():
        Appointment.objects.filter(id=one.id).update(hospital_id=other.hospital_id)
    with tenancy.service("inbox sweep"), connection.cursor() as cursor:
        cursor.execute("UPDATE hospitals_appointment SET reference = 'x'")
        assert cursor.rowcount == 0


@pytest.fixture()
def rows(request: pytest.FixtureRequest, two: Any) -> tuple[Any, Any]:
    """A row of the test's model in each of the two hospitals."""
    mine, foreign = (a_row(request.param, appointment) for appointment in two)
    return mine, foreign


def owner_of(row: Any) -> uuid.UUID:
    return row.client.hospital_id if hasattr(row, "client_id") else getattr(row, "hospital_id", row.pk)


def refused(work: Callable[[], Any]) -> None:
    with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
        work()


def nothing_foreign_is_written(mine: Any, foreign: Any) -> None:
    """In ``mine``'s scope. Updates set what is there already, so that only the lock can stop them."""
    model, key = type(foreign), foreign._meta.pk
    everything = QuerySet(model)
    name = next(f.name for f in model._meta.concrete_fields if not f.primary_key and not f.remote_field)
    assert everything.filter(pk=mine.pk).update(**{name: F(name)}) == 1
    assert everything.filter(pk=foreign.pk).update(**{name: F(name)}) == 0
    with connection.cursor() as cursor:
        table, column = connection.ops.quote_name(model._meta.db_table), connection.ops.quote_name(key.column)
        cursor.execute(f"DELETE FROM {table} WHERE {column} = %s", [foreign.pk])
        assert cursor.rowcount == 0
    refused(lambda: everything.bulk_create([as_new(foreign)]))
    owner = next((n for n in ("hospital", "client") if n in {f.name for f in model._meta.concrete_fields}), None)
    if owner is not None:
        refused(lambda: everything.filter(pk=mine.pk).update(**{owner: getattr(foreign, owner).pk}))


@pytest.mark.django_db(transaction=False)
@pytest.mark.parametrize("rows", TENANTS, ids=lambda model: model._meta.model_name, indirect=True)
def test_with_the_orm_s_scope_removed_nothing_foreign_is_read_or_written(
    rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, foreign = rows
    without_the_orm_s_scope(monkeypatch)
    every = type(mine).objects.all
    for row, hidden in (rows, rows[::-1]):
        with tenancy.scope(row.hospital_id):
            assert every().filter(pk=row.pk).exists() and not every().filter(pk=hidden.pk).exists()
            assert set(every().values_list("hospital_id", flat=True)) == {row.hospital_id}
    with tenancy.scope(mine.hospital_id):
        nothing_foreign_is_written(mine, foreign)
    assert not every().exists()


@pytest.mark.django_db(transaction=False)
@pytest.mark.parametrize("rows", OPEN, ids=lambda model: model._meta.model_name, indirect=True)
def test_what_everybody_reads_is_written_in_its_own_hospital_s_scope_only(rows: Any) -> None:
    mine, foreign = rows
    with tenancy.scope(owner_of(mine)):
        assert QuerySet(type(mine)).filter(pk__in=[mine.pk, foreign.pk]).count() == 2
        nothing_foreign_is_written(mine, foreign)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {connection.ops.quote_name(mine._meta.db_table)}")
        assert cursor.rowcount == 0  # nobody said for which hospital


def test_a_place_is_sold_in_its_hospital_s_scope_and_not_outside(two: Any) -> None:
    one, other = two
    with tenancy.scope(one.hospital_id):
        Slot.objects.filter(id=one.slot_id).update(free=1)
        assert waiting.take(one.slot_id) and not waiting.take(one.slot_id)
    with tenancy.scope(other.hospital_id):
        Slot.objects.filter(id=other.slot_id).update(free=1)
    with tenancy.scope(one.hospital_id):
        assert not waiting.take(other.slot_id)


def test_joining_and_seeding_go_through_the_lock() -> None:
    """What writes these tables says for which hospital, also where it begins outside any scope."""
    found = joined("river")
    access.rotate_client_secret(client_id=found.client_id, actor=OFFICER)
    circuit.failed(found.hospital_id, ConnectorUnavailable())
    circuit.succeeded(found.hospital_id)
    province = seed._load("province")
    few = {**province, "hospitals": province["hospitals"][1:2]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seed, "_load", lambda name: few)
        for _ in range(2):
            seed.seed_province(timezone.now())
    rotation.rotate("hospital", found.hospital_id, actor=OFFICER)
    erasure.leave_and_erase(found.hospital_id, actor=OFFICER, reason="合并")
    assert Hospital.objects.get(id=found.hospital_id).state == "left"
    assert Slot.objects.filter(hospital__code=few["hospitals"][0]["code"]).exists()


def test_what_the_commission_mends_of_a_hospital_goes_through_the_lock() -> None:
    river = joined("river").hospital_id
    about: dict[str, Any] = {"hospital_id": river, "actor": OFFICER, "reason": "更正"}
    onboarding.correct(name="湖滨医院", city="乙市", **about)
    assert onboarding.reissue_claim(**about)
    onboarding.end_signing_secrets(**about)
    onboarding.end_client(environment="sandbox", **about)
    onboarding.set_connector(name="push", **about)
    row = Hospital.objects.get(id=river)
    assert (row.name, row.connector) == ("湖滨医院", "push")


def test_what_is_kept_too_long_goes_and_then_nothing_is_left_to_do(two: Any) -> None:
    for appointment in two:
        for model in (AccessToken, Delivery, IdempotentAnswer, OutboxCommand, InboxEvent):
            a_row(model, appointment)
        with tenancy.scope(appointment.hospital_id):
            OutboxCommand.objects.update(state="accepted")
            InboxEvent.objects.update(state="done")
    later = timezone.now() + timedelta(days=31)
    rounds = 0
    while retention.sweep(later, limit=2) and rounds < 10:
        rounds += 1
    assert rounds == 1  # two events and two commands over both hospitals are a full round, then nothing is left
    assert not AccessToken.objects.exists()
    for appointment in two:
        with tenancy.scope(appointment.hospital_id):
            assert not Delivery.objects.exists() and not IdempotentAnswer.objects.exists()
            assert not InboxEvent.objects.filter(body__isnull=False).exists()
            assert not OutboxCommand.objects.filter(data__isnull=False).exists()


def test_rows_that_the_lock_withholds_are_not_counted_as_deleted(two: Any) -> None:
    for appointment in two:
        a_row(AccessToken, appointment)
    with tenancy.scope(two[0].hospital_id):
        assert retention._delete(AccessToken.objects.all(), "expires_at", 2) == 1


def test_a_rollback_does_not_leave_the_database_in_another_scope(two: Any) -> None:
    one, other = two
    with tenancy.scope(one.hospital_id):
        assert raw_ids() == {one.id}
        with pytest.raises(RuntimeError), transaction.atomic(), tenancy.scope(other.hospital_id):
            assert raw_ids() == {other.id}
            raise RuntimeError
        assert raw_ids() == {one.id}
    with tenancy.scope(other.hospital_id):
        assert raw_ids() == {other.id}
    with transaction.atomic():
        with pytest.raises(RuntimeError), tenancy.scope(one.hospital_id), transaction.atomic():
            assert raw_ids() == {one.id}
            raise RuntimeError
        with tenancy.scope(one.hospital_id):
            assert raw_ids() == {one.id}


def test_an_error_in_a_scope_is_taken_back_to_the_savepoint_before_it(two: Any) -> None:
    """What is told when the scope ends must not stand between the error and its rollback."""
    one, other = two
    with tenancy.scope(one.hospital_id), transaction.atomic():
        refused_there = pytest.raises(DatabaseError, match="row-level security")
        with refused_there, transaction.atomic(), tenancy.scope(other.hospital_id):
            QuerySet(Appointment).bulk_create([as_new(one)])
        assert raw_ids() == {one.id}
    assert raw_ids() == set()


def test_a_connection_that_was_used_for_another_is_told_anew(two: Any) -> None:
    one, _other = two
    with tenancy.scope(one.hospital_id):
        assert one.id in raw_ids()
    connection.close()  # back to the pool, with what it was told
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('companion.hospital', true)")
        assert cursor.fetchone()[0] in ("", None)


async def test_async_generators_keep_their_own_scope(two: Any) -> None:
    one, other = two

    def told() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('companion.hospital', true)")
            return cursor.fetchone()[0]

    async def stream() -> Any:
        for _ in range(2):
            yield await sync_to_async(told)()

    with tenancy.scope(other.hospital_id):
        async for seen in tenancy.within(one.hospital_id, stream()):
            assert seen == str(one.hospital_id)
            assert await sync_to_async(told)() == str(other.hospital_id)


def test_a_role_that_passes_the_lock_is_named_at_start(settings: Any) -> None:
    with as_owner():
        found = checks.role_obeys_row_security(None, databases=["default"])
        assert [type(message) for message in found] == [Warning]
        settings.MODE = "production"
        assert [type(message) for message in checks.role_obeys_row_security(None, databases=["default"])] == [Error]


def test_a_database_that_does_not_answer_is_named_with_the_servers_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong name, a wrong password and a closed port are mended at different places."""
    wrong = connection.copy("wrong")
    wrong.settings_dict = {**wrong.settings_dict, "NAME": "no_such_database", "PASSWORD": "s3cret"}
    wrong.settings_dict["OPTIONS"] = {k: v for k, v in wrong.settings_dict["OPTIONS"].items() if k != "pool"}
    monkeypatch.setattr(checks, "connections", {"wrong": wrong})
    (message,) = checks.role_obeys_row_security(None, databases=["wrong"])
    assert message.id == "hospitals.E003" and "no_such_database" in str(message.msg)
    assert "s3cret" not in str(message.msg)


def test_an_obedient_role_passes_the_check(settings: Any) -> None:
    settings.MODE = "production"
    assert checks.role_obeys_row_security(None, databases=["default"]) == []
