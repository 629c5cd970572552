"""Statements of the ORM put together once and sent many times: for the few that everybody waits for when places open.

Putting a statement together costs Django ten times what sending it costs, and the database plans a join of six tables longer
than it runs it. Here both are done once: what changes from call to call are a query's named parts, or a row's values.
On PostgreSQL the server keeps the plan (see hospitals.postgres). A tenant's rows need their hospital among the parts,
since the scope of the first caller must not be kept.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import QuerySet
from django.db.models.sql.compiler import SQLCompiler

from hospitals import tenancy

Part = UUID | str


def _here() -> Any:
    """This thread's connection itself, on PostgreSQL hospitals.postgres': django.db.connection would look it up at each attribute."""
    return connections[DEFAULT_DB_ALIAS]


def cursor(*, shared: bool = False) -> Any:
    """A cursor for a statement that will be sent again and again. ``shared``: it touches tables of no hospital only."""
    here = _here()
    return here.planned_cursor(shared=shared) if here.vendor == "postgresql" else here.cursor()


def adapted(part: Part) -> Part:
    """As this database keeps it: SQLite has no UUIDs."""
    native = isinstance(part, str) or _here().features.has_native_uuid_field
    return part if native else part.hex  # type: ignore[union-attr]


def in_flight() -> bool:
    """Whether statements go now without waiting for answers: none of the ORM's may."""
    here = _here()
    return here.vendor == "postgresql" and bool(here.connection.info.pipeline_status)


@contextmanager
def in_one_go() -> Iterator[None]:
    """Writes inside go to PostgreSQL without waiting for each other's answer; what one of them raises comes at the latest
    at the end. Only for statements of this module: the ORM's would not learn how many rows they touched."""
    here = _here()
    if here.vendor == "postgresql":
        here.ensure_connection()
    if here.vendor != "postgresql" or in_flight():  # inside another: its end is ours
        yield
        return
    with here.in_one_packet():
        yield


def execute(sql: str, *params: Part | int) -> None:
    """A statement written by hand; UUIDs among ``params`` are adapted."""
    with cursor() as sent:
        sent.execute(sql, [adapted(p) if isinstance(p, UUID) else p for p in params])


def ask(sql: str, *params: Part | int) -> Any:
    """The same for a statement that answers with rows; its cursor is for ``read``, within ``in_one_go`` after its end."""
    asked = cursor()
    asked.execute(sql, [adapted(p) if isinstance(p, UUID) else p for p in params])
    return asked


def read(asked: Any) -> list[tuple[Any, ...]]:
    with asked:
        found: list[tuple[Any, ...]] = asked.fetchall()
        return found


def fetch(sql: str, *params: Part | int) -> list[tuple[Any, ...]]:
    return read(ask(sql, *params))


class Compiled:
    """``build`` takes the parts by name and returns a queryset of ``values_list``. ``shared``: as for ``cursor``."""

    def __init__(self, build: "Callable[..., QuerySet[Any, Any]]", *, shared: bool = False) -> None:
        self._build, self._shared = build, shared
        self._ready: tuple[SQLCompiler, str, list[Any], dict[int, str], Any] | None = None

    def _compile(self, parts: dict[str, Part]) -> tuple[SQLCompiler, str, list[Any], dict[int, str], Any]:
        stands_for = {uuid4().hex: name for name in parts}
        values = {n: UUID(h) if isinstance(parts[n], UUID) else h for h, n in stands_for.items()}
        with tenancy.service("compile a query"):
            compiler = self._build(**values).query.get_compiler(DEFAULT_DB_ALIAS)
        sql, params = compiler.as_sql()
        if self._shared and any(f'"{m._meta.db_table}"' in sql for m in tenancy.TenantModel.__subclasses__()):
            raise ValueError("a hospital's rows are not shared")
        found = {at: stands_for.get(str(value).replace("-", "")) for at, value in enumerate(params)}
        places = {at: name for at, name in found.items() if name is not None}
        if set(places.values()) != set(parts):
            raise ValueError("a part does not stand in the query as it was given")
        return compiler, sql, list(params), places, compiler.get_converters([column for column, *_ in compiler.select])

    def ask(self, **parts: Part) -> Any:
        """Ask for the rows of these parts; its cursor is for ``read``, within ``in_one_go`` after its end."""
        if self._ready is None:
            self._ready = self._compile(parts)
        _compiler, sql, params, places, _converters = self._ready
        sent = list(params)
        for at, name in places.items():
            sent[at] = adapted(parts[name])
        asked = cursor(shared=self._shared)
        asked.execute(sql, sent)
        return asked

    def read(self, asked: Any) -> list[tuple[Any, ...]]:
        assert self._ready is not None
        compiler, *_rest, converters = self._ready
        found = read(asked)
        return [tuple(row) for row in compiler.apply_converters(found, converters)] if converters else found

    def rows(self, **parts: Part) -> list[tuple[Any, ...]]:
        """The rows for these parts. What each may see is still the database's row-level security to say."""
        return self.read(self.ask(**parts))


class CompiledInsert:
    """New rows of one model, several in one statement.

    Fields are prepared and sealed as ``save`` does it; rows whose keys the database makes are not told them. No signals.
    """

    def __init__(self, model: type[models.Model]) -> None:
        self._model, self._shared = model, not tenancy.of_a_hospital(model)
        self._statements: dict[tuple[int, bool], str] = {}
        self._fields: list[models.Field[Any, Any]] = []

    def _compile(self, count: int, once: bool) -> str:
        quoted, about = _here().ops.quote_name, self._model._meta
        self._fields = [f for f in about.concrete_fields if not isinstance(f, models.AutoField)]
        columns = ", ".join(quoted(str(field.column)) for field in self._fields)
        row = f"({', '.join(['%s'] * len(self._fields))})"
        sql = f"INSERT INTO {quoted(about.db_table)} ({columns}) VALUES {', '.join([row] * count)}"
        return f"{sql} ON CONFLICT DO NOTHING RETURNING 1" if once else sql

    def _prepared(self, rows: Sequence[models.Model], *, once: bool = False) -> tuple[str, list[Any]]:
        for row in rows:
            if isinstance(row, tenancy.TenantModel):
                tenancy.check_writable(row.hospital_id)
        sql = self._statements.get((len(rows), once))
        if sql is None:
            sql = self._statements[len(rows), once] = self._compile(len(rows), once)
        here = _here()
        return sql, [f.get_db_prep_save(f.pre_save(row, True), here) for row in rows for f in self._fields]

    def save(self, *rows: models.Model) -> None:
        """Raises ``WrongScope`` for another hospital's, ``IntegrityError`` (``in_one_go``: at its end)."""
        if rows:
            sql, values = self._prepared(rows)
            with cursor(shared=self._shared) as sent:
                sent.execute(sql, values)
            for row in rows:
                row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS

    def save_once(self, row: models.Model) -> bool:
        """False when a row stands there that excludes it. Raises ``WrongScope``."""
        sql, values = self._prepared([row], once=True)
        asked = cursor(shared=self._shared)
        asked.execute(sql, values)
        new = bool(read(asked))
        row._state.adding, row._state.db = not new, DEFAULT_DB_ALIAS
        return new


class CompiledUpdate:
    """Some columns of one row that is there, found by its key. Fields are prepared and sealed as ``save`` does it. No signals."""

    def __init__(self, model: type[models.Model], *names: str) -> None:
        self._model, self._names, self._shared = model, names, not tenancy.of_a_hospital(model)
        self._fields: list[models.Field[Any, Any]] = []
        self._sql = ""

    def save(self, row: models.Model) -> None:
        """Raises ``WrongScope`` for another hospital's."""
        if isinstance(row, tenancy.TenantModel):
            tenancy.check_writable(row.hospital_id)
        if not self._sql:
            quoted, about = _here().ops.quote_name, self._model._meta
            self._fields = [about.get_field(name) for name in self._names]  # type: ignore[misc]
            columns = ", ".join(f"{quoted(str(field.column))} = %s" for field in self._fields)
            self._sql = f"UPDATE {quoted(about.db_table)} SET {columns} WHERE {quoted(str(about.pk.column))} = %s"
        here = _here()
        values = [f.get_db_prep_save(f.pre_save(row, False), here) for f in self._fields]
        with cursor(shared=self._shared) as sent:
            sent.execute(self._sql, [*values, row._meta.pk.get_db_prep_value(row.pk, here)])
