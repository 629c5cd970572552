"""The role that the tests run as on PostgreSQL, without which what they show of row-level security would be nothing."""

import pytest
from django.db import DatabaseError, connection, transaction

from companion.background import in_thread
from tests.obedient import ROLE, as_owner

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="roles are PostgreSQL's"),
]


def signed_in() -> tuple[str, bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        return cursor.fetchone()


async def test_each_thread_of_a_test_begins_obedient() -> None:
    assert await in_thread(signed_in) == (ROLE, False)


def test_it_owns_no_table_and_empties_none() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tableowner = current_user")
        assert cursor.fetchone() == (0,)
        for statement in ("TRUNCATE hospitals_slot CASCADE", "ALTER TABLE hospitals_slot DISABLE ROW LEVEL SECURITY"):
            with pytest.raises(DatabaseError), transaction.atomic():
                cursor.execute(statement)


def test_a_look_as_the_owner_ends_with_its_block_however_it_ends() -> None:
    with pytest.raises(ZeroDivisionError), as_owner():
        assert signed_in()[1]
        raise ZeroDivisionError
    assert signed_in() == (ROLE, False)
    with pytest.raises(ZeroDivisionError), transaction.atomic(), as_owner():
        raise ZeroDivisionError
    assert signed_in() == (ROLE, False)
