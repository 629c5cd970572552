"""What keeps a model from costing too much: a circuit breaker for each, tokens a day, and answers at a time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Protocol

from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from redis.exceptions import RedisError

from companion.llm.base import BudgetSpent, ModelBusy, ModelUnavailable


class Breaker:
    """Opens after ``failures`` in a row for ``rest_s`` seconds; then one try decides.

    ``park`` opens it at once, for as long as a server asked to be left alone.
    """

    def __init__(self, *, failures: int = 3, rest_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._rest_s, self._clock = failures, rest_s, clock
        self._failed = 0
        self._until = 0.0
        self._trying = False

    @property
    def open(self) -> bool:
        """Whether nobody may try now. After the rest, whoever ``enter``s first is the only one until it is settled."""
        return self._clock() < self._until or self._trying

    def enter(self) -> None:
        """Somebody tries. With failures behind it, nobody else does until this one ends."""
        self._trying = self._failed >= self._limit

    def succeeded(self) -> None:
        self._failed, self._until, self._trying = 0, 0.0, False

    def failed(self) -> None:
        self._failed += 1
        self._trying = False
        if self._failed >= self._limit:
            self._until = max(self._until, self._clock() + self._rest_s)

    def park(self, seconds: float) -> None:
        self._trying = False
        self._until = max(self._until, self._clock() + seconds)

    def left(self) -> None:
        """The try ended without a verdict: whoever asked went away."""
        self._trying = False


class Places:
    """Answers under way at a time in this process; full is full, nobody queues while a resident waits."""

    def __init__(self, most: int) -> None:
        self._free = most

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Raises ``ModelBusy``."""
        if self._free <= 0:
            raise ModelBusy(code="model_all_places_taken")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class Budget(Protocol):
    async def check(self, hospital_id: str, on: date) -> None:
        """Raises ``BudgetSpent``, or ``ModelUnavailable`` when nobody can tell."""
        ...

    async def spend(self, hospital_id: str, on: date, tokens: int) -> None: ...


class DailyTokens:
    """Tokens that a hospital, and all together, may use a day; counted in Django's cache, shared by all processes.

    Talk that belongs to no hospital yet counts on the province, as a hospital of its own. A day that ends a little over
    its budget is possible (answers under way are finished), by at most one answer a place.
    """

    def __init__(self, tokens: int, *, altogether: int | None = None, store: BaseCache | None = None) -> None:
        self._tokens, self._altogether = tokens, altogether
        self._store = store if store is not None else cache

    def _keys(self, hospital_id: str, on: date) -> tuple[str, str]:
        day = on.isoformat()
        return f"llm-tokens:{hospital_id or 'province'}:{day}", f"llm-tokens:*:{day}"

    async def check(self, hospital_id: str, on: date) -> None:
        one, all_ = self._keys(hospital_id, on)
        try:
            spent = await self._store.aget_many([one, all_])
        except (RedisError, OSError) as error:
            raise ModelUnavailable(code="model_budget_unknown") from error
        if int(spent.get(one, 0)) >= self._tokens:
            raise BudgetSpent
        if self._altogether is not None and int(spent.get(all_, 0)) >= self._altogether:
            raise BudgetSpent(code="model_budget_spent_altogether")

    async def spend(self, hospital_id: str, on: date, tokens: int) -> None:
        if tokens <= 0:
            return
        try:
            for key in self._keys(hospital_id, on):
                await self._store.aadd(key, 0, 2 * 86_400)
                await self._store.aincr(key, tokens)
        except (RedisError, OSError, ValueError):
            return  # uncounted this once; the next check stops the model while the store is away
