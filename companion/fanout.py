"""What happened to a resident, to every open page of hers: one subscription a process, however many sockets it has.

Every web process hears every change in the province and drops, by a look into a dictionary, what none of its sockets is
for. So nobody subscribes when a page opens, and no event can fall between a subscription and the first look. Messages
are sealed with a key made from the service's secret, since Redis may be shared.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

import redis
import structlog
from django.conf import settings

from avatar import seal
from avatar.streams import subscriber

log = structlog.get_logger(__name__)

RECONNECT_S = 0.2
SOCKETS_A_RESIDENT = 8
PREFIX = "hc:changed:"
_PURPOSE = "companion.fanout"


class Listener(Protocol):
    """A socket. Neither method may wait."""

    def heard(self, message: dict[str, Any] | None) -> None:
        """Something happened; None: something may have, unheard, so look again."""

    def make_room(self) -> None:
        """The resident has opened too many others since."""


_publishers: dict[str, redis.Redis] = {}


def _publisher(url: str) -> redis.Redis:
    """This process's connections for publishing from threads, kept open between events.

    A client that is dropped closes its connections under whoever uses them. So of two that are made at once by the first
    two threads none is handed out that is not kept.
    """
    found = _publishers.get(url)
    return found if found is not None else _publishers.setdefault(url, redis.Redis.from_url(url, socket_timeout=5))


def publish(resident_id: UUID, message: dict[str, Any]) -> None:
    """Tell her open pages, whichever process holds them. Raises ``redis.RedisError``."""
    publish_all([(resident_id, message)])


def publish_all(messages: Iterable[tuple[UUID, dict[str, Any]]]) -> None:
    """The same for many in one go to Redis."""
    pipe = _publisher(settings.REDIS_URL).pipeline(transaction=False)
    for resident_id, message in messages:
        plain = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        pipe.publish(PREFIX + resident_id.hex, seal.sealed(plain, purpose=_PURPOSE))
    try:
        pipe.execute()
    except ValueError as error:  # what redis-py raises when two threads lose the server at once
        raise redis.ConnectionError from error


class Overheard:
    """What has come for one resident since it was begun, also before anybody looks at it."""

    def __init__(self) -> None:
        self._come: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard = self._come.put_nowait

    async def until(self, wanted: Callable[[dict[str, Any]], bool], *, within_s: float) -> bool:
        """Whether such a message came in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not wanted(await self._come.get()):
                    pass
                return True
        return False


class Fanout:
    """The sockets of this event loop, by resident."""

    def __init__(self) -> None:
        self._overhearing: dict[bytes, list[Overheard]] = {}
        self._listeners: dict[bytes, list[Listener]] = {}
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._listeners.values()))

    async def join(self, resident_id: UUID, listener: Listener) -> None:
        """From now on ``listener`` hears what happens to her; the oldest makes room where there are too many."""
        mine = self._listeners.setdefault((PREFIX + resident_id.hex).encode(), [])
        mine.append(listener)
        if len(mine) > SOCKETS_A_RESIDENT:
            mine.pop(0).make_room()
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="fanout")
        if not self._ready.is_set():  # Redis may be away: it is looked again when it is back
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self._ready.wait()

    def leave(self, resident_id: UUID, listener: Listener) -> None:
        channel = (PREFIX + resident_id.hex).encode()
        mine = self._listeners.get(channel, [])
        if listener in mine:
            mine.remove(listener)
        if not mine:
            self._listeners.pop(channel, None)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None
            self._ready.clear()

    @contextlib.contextmanager
    def overhear(self, resident_id: UUID) -> Iterator[Overheard | None]:
        """For a turn that waits a moment for what its own deed brings about. None where no page of hers listens here."""
        channel, mine = (PREFIX + resident_id.hex).encode(), Overheard()
        if channel not in self._listeners or not self._ready.is_set():
            yield None
            return
        self._overhearing.setdefault(channel, []).append(mine)
        try:
            yield mine
        finally:
            self._overhearing[channel].remove(mine)
            if not self._overhearing[channel]:
                del self._overhearing[channel]

    async def _listen(self) -> None:
        while True:
            client = subscriber()
            pubsub = client.pubsub()
            try:
                await pubsub.psubscribe(PREFIX + "*")
                while True:
                    heard = await pubsub.get_message(timeout=None)
                    if heard is not None and heard["type"] == "pmessage":
                        self._tell(heard["channel"], heard["data"])
                    elif heard is not None and heard["type"] == "psubscribe":
                        self._ready.set()
                        self._look_again()
            except (redis.RedisError, OSError):
                self._ready.clear()
                await asyncio.sleep(RECONNECT_S)
            finally:
                with contextlib.suppress(redis.RedisError, OSError):
                    await pubsub.aclose()
                    await client.aclose()

    def _tell(self, channel: bytes, sealed: bytes) -> None:
        mine = self._listeners.get(channel)
        if not mine:
            return
        try:
            message = json.loads(seal.opened(sealed, purpose=_PURPOSE))
        except (seal.Unreadable, ValueError):
            log.warning("fanout_unreadable")
            return
        for overheard in self._overhearing.get(channel, ()):
            overheard.heard(message)
        for listener in list(mine):
            listener.heard(message)

    def _look_again(self) -> None:
        for mine in list(self._listeners.values()):
            for listener in list(mine):
                listener.heard(None)


_fanouts: WeakKeyDictionary[asyncio.AbstractEventLoop, Fanout] = WeakKeyDictionary()


def fanout() -> Fanout:
    loop = asyncio.get_running_loop()
    if loop not in _fanouts:
        _fanouts[loop] = Fanout()
    return _fanouts[loop]
