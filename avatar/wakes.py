"""One subscription a process that wakes sleeping feeds: ten thousand idle sockets cost Redis one connection, not as many."""

import asyncio
import contextlib
from weakref import WeakKeyDictionary

from avatar.streams import LOST, subscriber, wake_channel

RECONNECT_S = 0.2


class Sleeper:
    """What a feed waits on. ``generation``: the newest that a wake has told."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.generation = 0

    def wake(self, generation: int = 0) -> None:
        self.generation = max(self.generation, generation)
        self.event.set()


class Wakes:
    """The channels of this event loop's feeds. After a lost connection every feed is woken: it may have missed a wake."""

    def __init__(self) -> None:
        self._sleepers: dict[bytes, set[Sleeper]] = {}
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Lock()
        self._ready = asyncio.Event()

    async def add(self, session: str, sleeper: Sleeper) -> None:
        """Returns when wakes are heard (or Redis is away; they will be as soon as it is back)."""
        channel = wake_channel(session).encode()
        async with self._changed:
            known = channel in self._sleepers
            self._sleepers.setdefault(channel, set()).add(sleeper)
            if self._task is None:
                self._ready.clear()
                self._task = asyncio.create_task(self._listen(), name="speech-wakes")
                waiting = asyncio.create_task(self._ready.wait())
                await asyncio.wait({waiting}, timeout=5)
                waiting.cancel()
            elif not known:
                with contextlib.suppress(*LOST):
                    await self._pubsub.subscribe(channel)

    async def remove(self, session: str, sleeper: Sleeper) -> None:
        channel = wake_channel(session).encode()
        async with self._changed:
            left = self._sleepers.get(channel, set())
            left.discard(sleeper)
            if left:
                return
            self._sleepers.pop(channel, None)
            if self._sleepers:
                with contextlib.suppress(*LOST):
                    await self._pubsub.unsubscribe(channel)
            elif self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
                self._task = None

    def tell(self, session: str, generation: int) -> None:
        """Wake this process's own feeds without the way through Redis."""
        for sleeper in self._sleepers.get(wake_channel(session).encode(), ()):
            sleeper.wake(generation)

    async def _listen(self) -> None:
        while True:
            redis = subscriber()
            self._pubsub = redis.pubsub(ignore_subscribe_messages=True)
            try:
                await self._pubsub.subscribe(*self._sleepers)
                self._ready.set()
                for sleepers in self._sleepers.values():
                    for sleeper in sleepers:
                        sleeper.wake()
                while True:
                    message = await self._pubsub.get_message(timeout=None)
                    if message is not None:
                        for sleeper in self._sleepers.get(message["channel"], ()):
                            sleeper.wake(int(message["data"]))
            except LOST:
                await asyncio.sleep(RECONNECT_S)
            finally:
                with contextlib.suppress(*LOST):
                    await self._pubsub.aclose()
                    await redis.aclose()


_wakes: WeakKeyDictionary[asyncio.AbstractEventLoop, Wakes] = WeakKeyDictionary()


def wakes() -> Wakes:
    loop = asyncio.get_running_loop()
    if loop not in _wakes:
        _wakes[loop] = Wakes()
    return _wakes[loop]
