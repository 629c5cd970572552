"""Django's PostgreSQL backend that tells the database, before a query, for which hospital it runs.

``companion.hospital`` is a setting of the database session: a hospital's id, ``*`` for a named report over all of them
(which the policies let read only), or empty. It is sent only when it differs from what this very connection was told
last. A rollback takes a setting back that was made inside the transaction, and a connection from the pool may remember
somebody else's: in both cases it is told anew.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg._preparing import PrepareManager
from psycopg.abc import PQGen
from psycopg.generators import send

SETTING = "companion.hospital"
EVERY = "*"


def told_value() -> str:
    """What the policies compare with, from the scope of the code that runs now."""
    from hospitals import tenancy  # it defines models, which Django may load only after this backend

    scope = tenancy.active()
    if scope is None:
        return ""
    return EVERY if scope.hospital_id is None else str(scope.hospital_id)


class KeptPlans(PrepareManager):
    """psycopg's record of what the server has planned, kept over a rollback.

    psycopg forgets every plan then, since a table may have gone with the transaction; the service's role makes none. Of two
    hundred who want the same places at once a dozen come too late after all, and each made the next ones plan anew.
    """

    def clear(self) -> bool:
        return False


class OnePacket(psycopg.Pipeline):
    """A pipeline whose statements leave together at its end, or when the first answer is asked for.

    psycopg sends each as it comes, in two looks at the socket and a write, and PostgreSQL wakes for each.
    """

    def _communicate_gen(self) -> PQGen[None]:
        while self.command_queue:
            self.command_queue.popleft()()  # into libpq's buffer, which goes by itself when it is full
        yield from ()

    def _sync_gen(self) -> PQGen[None]:
        self._enqueue_sync()
        yield from super()._communicate_gen()
        yield from send(
            self.pgconn
        )  # the rest: it returns when all is in libpq's buffer, and no answer comes to half a statement
        yield from self._fetch_gen(flush=False)

    def _exit_gen(self) -> PQGen[None]:
        try:
            yield from self._sync_gen()
        finally:
            yield from self._fetch_gen(flush=True)


class DatabaseWrapper(base.DatabaseWrapper):
    """One connection and what it was told last; None: not known."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told: str | None = None
        self.execute_wrappers.append(self._tell)

    def _tell(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        value = told_value()
        if value == self._told or getattr(context["cursor"], "shared", False):
            return execute(sql, params, many, context)
        if not getattr(context["cursor"], "planned", False) or self.connection.info.pipeline_status:
            self._send_told(value)
            return execute(sql, params, many, context)
        try:
            with self.in_one_packet():  # both on one way to the server
                self._send_told(value)
                return execute(sql, params, many, context)
        except BaseException:
            self._told = None  # what took the statement back took this back as well
            raise

    def _send_told(self, value: str) -> None:
        with self.wrap_database_errors, psycopg.Cursor(self.connection) as cursor:
            cursor.execute("SELECT set_config(%s, %s, false)", [SETTING, value], prepare=True)
        self._told = value

    @contextmanager
    def in_one_packet(self) -> Iterator[None]:
        """Statements inside wait for no answers; what one of them raises comes at the latest at the end."""
        self.ensure_connection()
        with self.wrap_database_errors:
            self.connection._pipeline = self.connection._pipeline or OnePacket(self.connection)
            with self.connection.pipeline():
                yield

    def planned_cursor(self, *, shared: bool = False) -> Any:
        """A cursor whose statements the server plans once and keeps (after OPTIONS' ``prepare_threshold``).

        Django's own cursors put the values into the text, so that each is a new statement to the server. ``shared``: for
        tables without policies only, where it need not be told whose rows are meant.
        """
        self.ensure_connection()
        with self.wrap_database_errors:
            cursor = self._prepare_cursor(psycopg.Cursor(self.connection))  # type: ignore[attr-defined]
        cursor.planned, cursor.shared = True, shared
        return cursor

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        made: Any = super().get_new_connection(conn_params)
        if not isinstance(made._prepared, KeptPlans):  # else the pool's, used before
            kept = KeptPlans()
            kept.prepare_threshold, kept.prepared_max = made._prepared.prepare_threshold, made._prepared.prepared_max
            made._prepared = kept
        return made

    def connect(self) -> None:
        self._told = None
        super().connect()

    def _rollback(self) -> None:
        self._told = None
        super()._rollback()  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        self._told = told_value()  # after an error the server takes this one statement, and nothing before it
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        self._told = None
