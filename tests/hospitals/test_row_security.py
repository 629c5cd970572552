"""The second lock on PostgreSQL: with the ORM's scope taken away on purpose, no other hospital's row comes through."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.checks import Error, Warning
from django.db import DatabaseError, connection, transaction
from django.db.models.query import QuerySet

from hospitals import checks, tenancy
from hospitals.models import Appointment, Delivery, HospitalCredential, OutboxCommand, WebhookEndpoint
from hospitals.tenancy import TenantModel
from tests.hospitals.appointments import an_appointment

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="row-level security is PostgreSQL's"),
]
ROLE = "companion_obedient"
TENANTS = [model for model in apps.get_app_config("hospitals").get_models() if issubclass(model, TenantModel)]


@pytest.fixture()
def two() -> tuple[Appointment, Appointment]:
    return an_appointment("push", "one"), an_appointment("push", "two")


@pytest.fixture()
def obedient(two: Any) -> Iterator[None]:
    """Everything runs as a role that row-level security holds for, as in production."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"DO $$ BEGIN CREATE ROLE {ROLE} NOSUPERUSER NOBYPASSRLS; EXCEPTION WHEN duplicate_object THEN END $$"
        )
        cursor.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}")
        cursor.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {ROLE}")
        cursor.execute(f"SET ROLE {ROLE}")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")


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
    for model in TENANTS:
        assert policies.get(model._meta.db_table) == 4 and model._meta.db_table in forced, model


def test_without_a_scope_there_are_no_rows(obedient: None) -> None:
    assert raw_ids() == set()


def test_a_scope_gives_its_own_rows_and_a_report_all(two: Any, obedient: None) -> None:
    one, other = two
    with tenancy.scope(one.hospital_id):
        assert raw_ids() == {one.id}
        with tenancy.scope(other.hospital_id):
            assert raw_ids() == {other.id}
        assert raw_ids() == {one.id}
    with tenancy.service("test"):
        assert raw_ids() == {one.id, other.id}
    assert raw_ids() == set()


def test_foreign_rows_cannot_be_written_and_a_report_cannot_write(two: Any, obedient: None) -> None:
    one, other = two
    with tenancy.scope(one.hospital_id), connection.cursor() as cursor:
        cursor.execute("UPDATE hospitals_appointment SET reference = 'x' WHERE id = %s", [other.id])
        assert cursor.rowcount == 0
        cursor.execute("DELETE FROM hospitals_appointment WHERE id = %s", [other.id])
        assert cursor.rowcount == 0
    with tenancy.scope(one.hospital_id), pytest.raises(DatabaseError), transaction.atomic():
        Appointment.objects.filter(id=one.id).update(hospital_id=other.hospital_id)
    with tenancy.service("test"), connection.cursor() as cursor:
        cursor.execute("UPDATE hospitals_appointment SET reference = 'x'")
        assert cursor.rowcount == 0


@pytest.mark.parametrize("model", TENANTS, ids=lambda model: model._meta.model_name)
def test_with_the_orm_s_scope_removed_the_database_still_holds(model: Any, two: Any, obedient: None) -> None:
    one, other = two
    with tenancy.scope(other.hospital_id):
        OutboxCommand.objects.create(hospital_id=other.hospital_id, appointment=other, kind="book", idempotency_key="k")
        HospitalCredential.objects.create(hospital_id=other.hospital_id, kind="events", secret="whsec_x")
        WebhookEndpoint.objects.create(environment="live", url="https://hooks.two.example/", secret="whsec_x")
        Delivery.objects.create(environment="live", kind="book", idempotency_key="k", number=1, duration_ms=1)
    with tenancy.scope(one.hospital_id):
        assert not QuerySet(model).filter(hospital_id=other.hospital_id).exists()


def test_a_rollback_does_not_leave_the_database_in_another_scope(two: Any, obedient: None) -> None:
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
    found = checks.role_obeys_row_security(None, databases=["default"])
    assert [type(message) for message in found] == [Warning]
    settings.MODE = "production"
    assert [type(message) for message in checks.role_obeys_row_security(None, databases=["default"])] == [Error]


def test_an_obedient_role_passes_the_check(obedient: None, settings: Any) -> None:
    settings.MODE = "production"
    assert checks.role_obeys_row_security(None, databases=["default"]) == []
