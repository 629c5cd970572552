"""Which hospital the code that runs now works for: a context variable, and a manager that raises without it.

``scope`` serves functions, coroutines and tasks (asyncio and sync_to_async copy the context). A generator is different: what
it sets stays set in whoever drives it, between two items. ``within`` and ``streaming`` therefore run an async generator in
a context of its own. On PostgreSQL the scope is also told to the database, where row-level security is the second lock
(see hospitals.postgres).
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, Generic, Literal, ParamSpec, TypeVar, get_args
from uuid import UUID

from django.db import models

from hospitals.exceptions import ScopeMissing, WrongScope

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=models.Model)


@dataclass(frozen=True, slots=True)
class Scope:
    """One hospital, or (``hospital_id`` None) a named report over all of them, which only reads."""

    hospital_id: UUID | None
    report: str = ""


_current: ContextVar[Scope | None] = ContextVar("hospitals_scope", default=None)


def active() -> Scope | None:
    """The scope as it is; None outside any."""
    return _current.get()


def current() -> UUID:
    """The hospital of the current scope. Raises ``ScopeMissing``, also inside a report."""
    found = _current.get()
    if found is None or found.hospital_id is None:
        raise ScopeMissing
    return found.hospital_id


@contextmanager
def _entered(scope: Scope | None) -> Iterator[None]:
    before = _current.get()
    _current.set(scope)
    try:
        yield
    finally:
        # Not reset(token): the end of a block may run in another context than its beginning (a task that was closed).
        _current.set(before)


@contextmanager
def scope(hospital_id: UUID | str) -> Iterator[UUID]:
    """Everything inside works for this hospital. Scopes nest; the outer one is back afterwards."""
    chosen = hospital_id if isinstance(hospital_id, UUID) else UUID(str(hospital_id))
    with _entered(Scope(chosen)):
        yield chosen


def no_scope() -> Any:
    """Everything inside works for no hospital: how a request or a task begins."""
    return _entered(None)


def leave(to: Scope | None = None) -> None:
    """From here on no hospital's scope, or ``to``: for where the work begins and ends in two functions (Celery's signals)."""
    _current.set(to)


# Set by hospitals.audit, which stands above: writes down that a report was read, before it is.
on_report: list[Callable[[str, str], None]] = []


@contextmanager
def commission(report: str, reason: str) -> Iterator[None]:
    """A read over all hospitals: named, with a reason, and on the audit log before anything is read. It cannot write.

    Raises ``ScopeMissing`` without them, and where no audit log listens.
    """
    if not report or not reason:
        raise ScopeMissing("跨院查询必须写明名称和理由。")
    if not on_report:
        raise ScopeMissing("跨院查询没有审计记录,不能进行。", code="report_unaudited")
    for tell in on_report:
        tell(report, reason)
    with _entered(Scope(None, report)):
        yield


# All there is of looking across hospitals without a report: what is due, or whose it is. Not on the audit log, so it is
# for finding ids, and a new name is somebody's decision.
Work = Literal[
    "a slot and who wants it",
    "a slot to hold",
    "compile a query",
    "expire holds",
    "hospitals with rows",
    "inbox sweep",
    "locate appointment",
    "offers not told",
    "offers of one person",
    "lines of one person",
    "offers of several persons",
    "outbox sweep",
    "what is kept too long",
]
WORKS: frozenset[str] = frozenset(get_args(Work))


@contextmanager
def service(work: Work) -> Iterator[None]:
    """The service's own look across hospitals to find whose work is due (sweeps, an appointment's hospital); reads only.

    Raises ``ScopeMissing`` for work that is not in ``WORKS``.
    """
    if work not in WORKS:
        raise ScopeMissing(code="unknown_work")
    with _entered(Scope(None, f"service:{work}")):
        yield


# --- generators ---------------------------------------------------------------------------------------------


class _InContext(Generic[T]):
    """An awaitable whose every step runs in the given context instead of the caller's."""

    def __init__(self, context: Context, awaitable: Awaitable[T]) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._awaitable.__await__()
        step = functools.partial(next, steps)
        while True:
            try:
                waiting = self._context.run(step)
            except StopIteration as done:
                result: T = done.value
                return result
            try:
                sent = yield waiting
            except BaseException as error:  # noqa: BLE001  (cancellation belongs inside as well)
                step = functools.partial(steps.throw, error)
            else:
                step = functools.partial(steps.send, sent)


async def within(hospital_id: UUID | str, stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """Drive ``stream`` in a scope that only it sees: between two items the caller's own scope holds."""
    context = copy_context()
    context.run(_current.set, Scope(UUID(str(hospital_id))))
    iterator = aiter(stream)
    try:
        while True:
            try:
                item = await _InContext(context, anext(iterator))
            except StopAsyncIteration:
                return
            yield item
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await _InContext(context, close())


def streaming(function: Callable[P, AsyncIterator[T]]) -> Callable[P, AsyncIterator[T]]:
    """For async generator functions with a keyword ``hospital_id``: the body runs in that hospital's scope."""

    @functools.wraps(function)
    def scoped(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return within(str(kwargs["hospital_id"]), function(*args, **kwargs))

    return scoped


# --- rows ---------------------------------------------------------------------------------------------------


def of_a_hospital(model: type[models.Model]) -> bool:
    """Whether its rows are a hospital's (or its API client's): on PostgreSQL only that hospital's scope writes them."""
    owners = ("hospitals.Hospital", "hospitals.ApiClient")
    named = {field.related_model._meta.label for field in model._meta.concrete_fields if field.related_model}
    return model._meta.label == owners[0] or bool(named & set(owners))


class TenantQuerySet(models.QuerySet[M]):
    """Rows of the scope's hospital."""

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> list[M]:
        rows = list(objs)
        for row in rows:
            check_writable(row.hospital_id)
        return super().bulk_create(rows, *args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        current()
        return super().update(**kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        current()
        return super().delete()


class TenantManager(models.Manager.from_queryset(TenantQuerySet)):  # type: ignore[misc]
    """Raises ``ScopeMissing`` when nobody said for which hospital; never returns everything by accident."""

    def get_queryset(self) -> Any:
        scope = _current.get()
        if scope is None:
            raise ScopeMissing
        rows = super().get_queryset()
        return rows if scope.hospital_id is None else rows.filter(hospital_id=scope.hospital_id)


def check_writable(hospital_id: UUID | None) -> None:
    """Raises ``WrongScope`` unless the scope is this very hospital's."""
    if hospital_id != current():
        raise WrongScope


class TenantModel(models.Model):
    """A row that belongs to one hospital and is read and written only in its scope."""

    hospital = models.ForeignKey("hospitals.Hospital", on_delete=models.PROTECT, related_name="+", verbose_name="医院")

    objects = TenantManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"  # refreshing, saving and following relations are scoped as well

    hospital_id: UUID

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.hospital_id is None:
            self.hospital_id = current()
        check_writable(self.hospital_id)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        check_writable(self.hospital_id)
        return super().delete(*args, **kwargs)
