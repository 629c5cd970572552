"""On PostgreSQL the code under test runs as a role that row-level security holds for, as in production.

The tables belong to whoever signs in, who makes them and empties them. The database itself is told that every session in
it begins as the obedient role, so that the processes a test starts obey as well; ``as_owner`` is the one way past it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from tests.service_role import made_late

ROLE = "companion_obedient"
STATEMENTS = (
    *made_late(ROLE),
    f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET role TO {ROLE}', current_database()); END $$",
)


@contextmanager
def as_owner() -> Iterator[None]:
    """Past row-level security, for a look at what is in a table or rows that nobody in the product may write."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE NONE")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")


def obeyed(execute: Callable[[str], Any]) -> None:
    """The tables are made: each new session in the database that ``execute`` asks, as its owner, begins obedient."""
    for statement in STATEMENTS:
        execute(statement)


def obey_from_here_on(monkeypatch: Any) -> None:
    """For this process' test database; Django's flush between tests stays the owner's."""
    with as_owner(), connection.cursor() as cursor:
        obeyed(cursor.execute)
    connection.close()
    connection.close_pool()
    operations = type(connection.ops)
    flush = operations.execute_sql_flush

    def by_the_owner(self: Any, sql_list: Any) -> None:
        with as_owner():
            flush(self, sql_list)

    monkeypatch.setattr(operations, "execute_sql_flush", by_the_owner)
