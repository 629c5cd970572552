"""A SELECT of the ORM put together once and asked many times: for the few that everybody waits for when places open.

Putting the SQL together costs Django ten times what sending it costs. What changes from call to call are the query's
named parts; a tenant's rows need their hospital among them, since the scope of the first caller must not be kept.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import QuerySet
from django.db.models.sql.compiler import SQLCompiler

from hospitals import tenancy

Part = UUID | str


class Compiled:
    """``build`` takes the parts by name and returns a queryset of ``values_list``."""

    def __init__(self, build: "Callable[..., QuerySet[Any, Any]]") -> None:
        self._build = build
        self._ready: tuple[SQLCompiler, str, list[Any], dict[int, str], Any] | None = None

    def _compile(self, parts: dict[str, Part]) -> tuple[SQLCompiler, str, list[Any], dict[int, str], Any]:
        stands_for = {uuid4().hex: name for name in parts}
        values = {n: UUID(h) if isinstance(parts[n], UUID) else h for h, n in stands_for.items()}
        with tenancy.service("compile a query"):
            compiler = self._build(**values).query.get_compiler(DEFAULT_DB_ALIAS)
        sql, params = compiler.as_sql()
        found = {at: stands_for.get(str(value).replace("-", "")) for at, value in enumerate(params)}
        places = {at: name for at, name in found.items() if name is not None}
        if set(places.values()) != set(parts):
            raise ValueError("a part does not stand in the query as it was given")
        return compiler, sql, list(params), places, compiler.get_converters([column for column, *_ in compiler.select])

    def rows(self, **parts: Part) -> list[tuple[Any, ...]]:
        """The rows for these parts. What each may see is still the database's row-level security to say."""
        if self._ready is None:
            self._ready = self._compile(parts)
        compiler, sql, params, places, converters = self._ready
        sent = list(params)
        for at, name in places.items():
            sent[at] = adapted(parts[name])
        with connection.cursor() as cursor:
            cursor.execute(sql, sent)
            found = cursor.fetchall()
        return [tuple(row) for row in compiler.apply_converters(found, converters)] if converters else found


def adapted(part: Part) -> Part:
    """As this database keeps it: SQLite has no UUIDs."""
    native = isinstance(part, str) or connection.features.has_native_uuid_field
    return part if native else part.hex  # type: ignore[union-attr]
