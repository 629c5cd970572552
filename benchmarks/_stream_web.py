"""The socket that the stream's benchmark talks to: a session's feed on a websocket, and nothing of the conversation around it."""

import asyncio
import contextlib
import json
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")

import django  # noqa: E402

django.setup()

from avatar import sessions  # noqa: E402


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    session = scope["path"].strip("/")
    await receive()
    await send({"type": "websocket.accept"})
    async with sessions.Feed(session) as feed:
        pump = asyncio.create_task(_pump(feed, send))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await _hear(json.loads(message["text"]), session, feed)
        finally:
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump
    await sessions.interrupt(session)


async def _pump(feed: sessions.Feed, send: Any) -> None:
    async for message in feed:
        await send({"type": "websocket.send", "bytes": message})


async def _hear(message: dict[str, Any], session: str, feed: sessions.Feed) -> None:
    if "speak" in message:
        generation, index = feed.generation, message["index"]
        await sessions.speak(
            sessions.Utterance(
                session=session,
                generation=generation,
                utterance_id=message["id"],
                index=index,
                text=message["speak"],
            )
        )
    elif "playhead" in message:
        feed.playhead(message["playhead"], message["pts_ms"])
    else:
        await sessions.interrupt(session)
