"""What keeps a model from costing too much: a circuit breaker for each, and a budget of tokens for each hospital."""

import time
from collections.abc import Callable
from datetime import date
from typing import Protocol

from django.core.cache import cache
from django.core.cache.backends.base import BaseCache


class Breaker:
    """Opens after ``failures`` in a row for ``rest_s`` seconds; then one try decides."""

    def __init__(self, *, failures: int = 3, rest_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._rest_s, self._clock = failures, rest_s, clock
        self._failed = 0
        self._until = 0.0

    @property
    def open(self) -> bool:
        return self._failed >= self._limit and self._clock() < self._until

    def succeeded(self) -> None:
        self._failed = 0

    def failed(self) -> None:
        self._failed += 1
        if self._failed >= self._limit:
            self._until = self._clock() + self._rest_s


class Budget(Protocol):
    async def left(self, hospital_id: str, on: date) -> int: ...

    async def spend(self, hospital_id: str, on: date, tokens: int) -> None: ...


class DailyTokens:
    """Tokens a hospital may use a day, counted in Django's cache so that all processes share them."""

    def __init__(self, tokens: int, *, store: BaseCache | None = None) -> None:
        self._tokens = tokens
        self._store = store if store is not None else cache

    def _key(self, hospital_id: str, on: date) -> str:
        return f"llm-tokens:{hospital_id or 'province'}:{on.isoformat()}"

    async def left(self, hospital_id: str, on: date) -> int:
        return self._tokens - int(await self._store.aget(self._key(hospital_id, on), 0))

    async def spend(self, hospital_id: str, on: date, tokens: int) -> None:
        key = self._key(hospital_id, on)
        await self._store.aadd(key, 0, 2 * 86_400)
        await self._store.aincr(key, tokens)
