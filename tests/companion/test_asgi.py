"""The ASGI door as a server opens and closes it."""

import asyncio
from typing import Any

import pytest

from companion import asgi

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]


async def test_it_opens_and_closes_as_a_server_asks_it_to() -> None:
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    told: list[str] = []

    async def send(message: dict[str, Any]) -> None:
        told.append(message["type"])

    for kind in ("lifespan.startup", "lifespan.shutdown"):
        asked.put_nowait({"type": kind})
    await asgi.application({"type": "lifespan"}, asked.get, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
