"""The service's own Celery application, which also notes when a voice gave its first sound: ``celery -A benchmarks._stream_worker``."""

import time
from collections.abc import AsyncIterator
from typing import Any

from avatar.timeline import AudioChunk
from companion.celery import app

NOTES = "bench:first-sound"

__all__ = ["app"]


class Noting:
    """A voice that says on the machine's steady clock when its first chunk came, by text."""

    def __init__(self, voice: Any) -> None:
        self.voice = voice

    async def synthesize(self, request: Any) -> AsyncIterator[Any]:
        from avatar.streams import client

        noted = False
        async for item in self.voice.synthesize(request):
            if isinstance(item, AudioChunk) and not noted:
                noted = True
                at = time.monotonic()
                yield item
                await client().hset(NOTES, request.text, at)
            else:
                yield item


@app.on_after_finalize.connect
def _note(**_: Any) -> None:
    from avatar import tasks

    plain = tasks.voice
    noting: list[Noting] = []

    def voice() -> Any:
        if not noting:
            noting.append(Noting(plain()))
        return noting[0]

    tasks.voice = voice
