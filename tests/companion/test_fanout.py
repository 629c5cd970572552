"""Telling open pages from threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from companion import fanout


def test_the_first_threads_at_once_share_one_client_that_nobody_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dropped client closes its connections, also under the thread that was handed it."""
    both, made = threading.Barrier(2, timeout=10), redis.Redis.from_url

    def slowly(url: str, **options: Any) -> redis.Redis:
        both.wait()
        return made(url, **options)

    monkeypatch.setattr(fanout, "_publishers", {})
    monkeypatch.setattr(redis.Redis, "from_url", slowly)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(fanout._publisher, ["redis://127.0.0.1:1/0"] * 2)
    assert first is second is fanout._publisher("redis://127.0.0.1:1/0")
