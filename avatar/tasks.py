"""The Celery task that gives an utterance its voice: many at once on one event loop a process, whatever the pool.

With the threads pool (``-P threads``) one process speaks for many sessions: a thread waits per utterance, the work is
done on the loop. With prefork each child has a loop of its own.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import replace
from functools import cache
from typing import Any

import structlog
import uvloop
from celery import current_app, shared_task
from celery.signals import worker_process_init, worker_ready
from django.conf import settings

from avatar import pipeline
from avatar.cache import Published, announcement_key, keep, patch_key, recall, worth_keeping
from avatar.exceptions import AvatarError
from avatar.protocol import End, readdress
from avatar.renderers import get_renderer
from avatar.renderers.base import Renderer
from avatar.streams import (
    DEFAULT_AVATAR,
    LOST,
    SPEECH_TTL_S,
    Publisher,
    Slice,
    Utterance,
    claim_key,
    client,
    fallback,
    record_key,
    slices_key,
    state_key,
)
from avatar.tts.chain import SpeechChain

DEADLINE_S = 60.0
SIGN_OF_LIFE_S = 0.4
ALIVE_S = 1.0  # a worker writes, if only a sign of life, more often than this
TOGETHER = 6
TOGETHER_S = 0.1

log = structlog.get_logger(__name__)


class Loop:
    """An event loop on a thread of its own, which outlives every single task."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = uvloop.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="speech-loop", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result()


_loop: Loop | None = None
_making = threading.Lock()
_published = Published()


def loop() -> Loop:
    """This process's loop; a forked child makes its own."""
    global _loop
    with _making:
        if _loop is None or _loop.pid != os.getpid():
            _loop = Loop()
        return _loop


@cache
def voice() -> SpeechChain:
    return SpeechChain.from_settings()


@shared_task(name="avatar.tasks.speak", acks_late=True, ignore_result=True)
def speak(session: str, generation: int, index: int, attempt: int = 1) -> None:
    """Make one attempt at the utterance that the session's record of that generation and index tells."""
    loop().run(perform(session, generation, index, attempt))


async def perform(session: str, generation: int, index: int, attempt: int) -> None:
    """Speak until the end, an interrupt, or the deadline. A second delivery of the same attempt does nothing."""
    try:
        pipe = client().pipeline(transaction=False)
        pipe.get(record_key(session, generation, index))
        pipe.set(claim_key(session, generation, index, attempt), b"", nx=True, ex=SPEECH_TTL_S)
        pipe.xrevrange(slices_key(session, generation, index, 3 - attempt), count=1)
        pipe.time()
        pipe.hmget(state_key(session), ["generation", "next"])
        record, claimed, latest, (now_s, _), (standing, following) = await pipe.execute()
        if record is None or not claimed:
            return
        if standing is not None and (int(standing) != generation or index < int(following or 0)):
            return
        # The other attempt may only have been waiting in the queue: under load, nobody makes the same speech twice.
        if latest and now_s - int(latest[0][0].split(b"-")[0]) / 1000 < ALIVE_S:
            return
        u = Utterance.from_record(record)
        out = Publisher(u, attempt)
        work = asyncio.create_task(_make(u, out))
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not (await asyncio.wait({work}, timeout=SIGN_OF_LIFE_S))[0]:
                    if not await out.write(Slice(0, 0)):
                        return
            work.result()
        except TimeoutError:
            await out.write(fallback(u, at_ms=out.end_ms, said=out.said, code="speech_deadline"))
        finally:
            work.cancel()
    except LOST as error:  # the feed asks for another attempt as soon as Redis is back
        log.warning("speech_lost_redis", error=type(error).__name__)


async def _make(u: Utterance, out: Publisher) -> None:
    try:
        renderer = get_renderer(u.avatar)
    except AvatarError as error:
        await out.write(fallback(u, at_ms=0, said=0, code=error.code))
        return
    key = announcement_key(u, renderer.version, ",".join(settings.SPEECH_CHAIN))
    wanted, stored = await asyncio.gather(out.write(pipeline.start(u, renderer)), recall(key))
    if not wanted:
        return
    if stored is not None:
        await _publish(out, [_readdressed(piece, u.generation, u.index) for piece in stored], renderer)
        return
    made: list[Slice] = []
    waiting: list[Slice] = []
    written_at = 0.0
    async with aclosing(pipeline.slices(u, voice=voice(), renderer=renderer)) as slices:
        async for piece in slices:
            made.append(piece)
            waiting.append(piece)
            # A voice that is faster than time gives many slices at once: they share a way to Redis, but for the first.
            if not piece.last and len(waiting) < TOGETHER and time.monotonic() - written_at < TOGETHER_S:
                continue
            if out.full:
                await out.write(fallback(u, at_ms=out.end_ms, said=out.said, code="session_full"))
                return
            if not await _publish(out, waiting, renderer):
                return
            waiting = []
            written_at = time.monotonic()
    if made[-1].heard[1] == End.KIND and await worth_keeping(key):
        await keep(key, [_readdressed(piece, 0, 0) for piece in made])


def _readdressed(piece: Slice, generation: int, index: int) -> Slice:
    return replace(
        piece,
        heard=readdress(piece.heard, generation=generation, index=index),
        seen=readdress(piece.seen, generation=generation, index=index),
    )


async def _publish(out: Publisher, pieces: list[Slice], renderer: Renderer) -> bool:
    """Write ``pieces`` behind the patches that they name and Redis may not have."""
    states = dict.fromkeys(state for piece in pieces for state in piece.states)
    keys = {state: patch_key(out.utterance.avatar, renderer.version, state) for state in states}
    new = {key: renderer.patch(state) for state, key in keys.items() if key not in _published}
    wanted = await out.write(*pieces, patches=new)
    for key in new:
        _published.add(key)
    return wanted


def warm_up() -> None:
    """Load the voice and the default avatar before somebody waits for them."""
    # The loop's thread must not wait its turn behind threads that only keep Celery's books.
    sys.setswitchinterval(0.001)
    voice()
    get_renderer(DEFAULT_AVATAR)
    loop()


@worker_process_init.connect
def _child_is_up(**_: Any) -> None:
    if "speech" in current_app.amqp.queues.consume_from:
        warm_up()


@worker_ready.connect
def _worker_is_up(sender: Any, **_: Any) -> None:
    if not sender.pool.__module__.endswith("prefork") and "speech" in current_app.amqp.queues.consume_from:
        warm_up()
