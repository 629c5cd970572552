"""Connections to Redis."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from redis.asyncio import Connection

from avatar.streams import VANISHED_AFTER_S
from avatar.wakes import Wakes
from companion.fanout import Fanout


@pytest.mark.parametrize("listening", [Wakes, Fanout])
async def test_a_subscription_to_a_redis_that_vanished_without_a_word_is_lost(
    listening: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """It hears nothing for hours: so the kernel asks, and what is sent is not retried for a quarter of an hour."""
    tried: asyncio.Queue[Connection] = asyncio.Queue()

    async def connect(connection: Connection) -> None:
        tried.put_nowait(connection)
        raise OSError

    monkeypatch.setattr(Connection, "_connect", connect)
    settings.REDIS_URL = "redis://redis.example/0"
    listens: Coroutine[Any, Any, None] = listening()._listen()
    task = asyncio.ensure_future(listens)
    line = await asyncio.wait_for(tried.get(), 10)
    task.cancel()
    options = line.socket_keepalive_options
    unanswered = options[socket.TCP_KEEPINTVL] * options[socket.TCP_KEEPCNT]
    assert line.socket_keepalive and options[socket.TCP_KEEPIDLE] + unanswered <= VANISHED_AFTER_S
    assert options[socket.TCP_USER_TIMEOUT] <= VANISHED_AFTER_S * 1000
    assert line.socket_connect_timeout
