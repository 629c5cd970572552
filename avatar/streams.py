"""Where a session's speech waits in Redis between worker and socket: its keys, its records, and one Stream an utterance.

For a session there are, all expiring, all in one cluster slot (``{session}``):

    state    hash    generation; next: the utterance being delivered; feed: the connection that reads; held: bytes waiting
    plan     stream  of one generation: the records of its utterances, as they are asked for
    slices   stream  of one attempt at one utterance: what its worker made, in order
    claim    string  which worker makes that attempt
    wake     channel "look again", with the generation

A Stream belongs to one generation, index and attempt, so nothing stale can ever be read behind an interrupt: its key
is simply not looked at any more.
"""

import asyncio
import json
import socket
import struct
import time
from dataclasses import asdict, dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from avatar.protocol import Fallback, encode
from avatar.seal import opened, sealed

DEFAULT_AVATAR = "xiaolan"
STATE_TTL_S = 86_400
SPEECH_TTL_S = 300
PATCH_TTL_S = 86_400
PLAN_ENTRIES = 256
VANISHED_AFTER_S = 30
_ASKS = {  # seconds, but for the last: the same where something was just sent. Not every system knows each
    "TCP_KEEPIDLE": VANISHED_AFTER_S // 2,
    "TCP_KEEPINTVL": VANISHED_AFTER_S // 6,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": VANISHED_AFTER_S * 1000,
}
# What one session may leave waiting: beyond half of it pictures are no longer written, beyond all of it nothing is.
SESSION_BYTES = 8 * 1024 * 1024
READ_MS_PER_CHARACTER = 220  # unhurried silent reading, for how long a caption without voice stays
LOST = (RedisConnectionError, RedisTimeoutError, OSError)

_SPAN = struct.Struct("<IIHB")


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is to be said. ``index`` counts from 0 without gaps within a generation; ``rate`` 1.0 is the voice's own."""

    session: str
    generation: int
    utterance_id: str
    index: int
    text: str
    avatar: str = DEFAULT_AVATAR
    voice: str = ""
    rate: float = 1.0
    mood: str = "neutral"
    lexicon: tuple[tuple[str, str], ...] = ()

    def to_record(self) -> bytes:
        return sealed(json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode())

    @classmethod
    def from_record(cls, record: bytes) -> "Utterance":
        """Raises ``avatar.seal.Unreadable``."""
        value: dict[str, Any] = json.loads(opened(record))
        value["lexicon"] = tuple((written, said) for written, said in value["lexicon"])
        return cls(**value)


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of an utterance: encoded packets to be heard (START, AUDIO, CAPTION, END, FALLBACK) and to be seen.

    ``states``: the patches that ``seen`` names. ``said``: code points of the text spoken by ``end_ms``. An empty slice
    is a sign of life from a worker that still waits for its engine.
    """

    start_ms: int
    end_ms: int
    heard: bytes = b""
    seen: bytes = b""
    states: tuple[int, ...] = ()
    said: int = 0
    last: bool = False

    @property
    def size(self) -> int:
        return len(self.heard) + len(self.seen)

    def fields(self) -> dict[bytes, bytes]:
        entry = {b"t": _SPAN.pack(self.start_ms, self.end_ms, self.said, self.last)}
        if self.heard:
            entry[b"h"] = sealed(self.heard)
        if self.seen:
            entry[b"s"] = self.seen
        if self.states:
            entry[b"i"] = struct.pack(f"<{len(self.states)}I", *self.states)
        return entry

    @classmethod
    def from_fields(cls, entry: dict[bytes, bytes]) -> "Slice":
        start_ms, end_ms, said, last = _SPAN.unpack(entry[b"t"])
        states = entry.get(b"i", b"")
        return cls(
            start_ms=start_ms,
            end_ms=end_ms,
            heard=opened(entry[b"h"]) if b"h" in entry else b"",
            seen=entry.get(b"s", b""),
            states=struct.unpack(f"<{len(states) // 4}I", states),
            said=said,
            last=bool(last),
        )


def fallback(u: Utterance, *, at_ms: int, said: int, code: str) -> Slice:
    """The typed end of an utterance without (more) voice: from ``at_ms`` the rest of its text is shown."""
    rest = u.text[said:]
    packet = Fallback(u.generation, u.index, at_ms, u.utterance_id, code, rest, len(rest) * READ_MS_PER_CHARACTER)
    return Slice(at_ms, at_ms, heard=encode(packet), said=len(u.text), last=True)


def _key(session: str, *parts: object) -> str:
    return ":".join(["hc:speech", f"{{{session}}}", *map(str, parts)])


def state_key(session: str) -> str:
    return _key(session, "state")


def plan_key(session: str, generation: int) -> str:
    return _key(session, "plan", generation)


def record_key(session: str, generation: int, index: int) -> str:
    return _key(session, "record", generation, index)


def slices_key(session: str, generation: int, index: int, attempt: int) -> str:
    return _key(session, "slices", generation, index, attempt)


def claim_key(session: str, generation: int, index: int, attempt: int) -> str:
    return _key(session, "claim", generation, index, attempt)


def wake_channel(session: str) -> str:
    return _key(session, "wake")


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = WeakKeyDictionary()


def client() -> Redis:
    """This event loop's Redis, over a bounded pool: no session holds a connection while it waits."""
    loop = asyncio.get_running_loop()
    found = _clients.get(loop)
    if found is None:
        pool = BlockingConnectionPool.from_url(
            settings.REDIS_URL,
            max_connections=32,
            timeout=5,
            socket_timeout=5,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
        )
        found = _clients[loop] = Redis(connection_pool=pool)
    return found


async def close() -> None:
    """Close this event loop's connections; tests and a process that ends call it."""
    found = _clients.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.aclose()
        await found.connection_pool.disconnect()


def subscriber() -> Redis:
    """A connection of its own for a subscription, which may be silent for hours.

    Where Redis's machine vanished, or a firewall forgot the line, nothing would ever be read and no error either: the
    kernel asks, and the line is lost after ``VANISHED_AFTER_S``.
    """
    url = settings.REDIS_URL
    options: dict[str, Any] = {}
    if not url.startswith("unix:"):
        asks = {getattr(socket, name): value for name, value in _ASKS.items() if hasattr(socket, name)}
        options = {"socket_keepalive": True, "socket_keepalive_options": asks}
    return Redis.from_url(url, socket_timeout=None, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0), **options)


def first_generation() -> int:
    """Where a session's count begins: the clock, so that a Redis that forgot never counts backwards."""
    return int(time.time())


class Publisher:
    """A worker's way to one attempt's Stream. Each write tells whether anybody still wants the utterance."""

    def __init__(self, utterance: Utterance, attempt: int) -> None:
        self.utterance = utterance
        self.key = slices_key(utterance.session, utterance.generation, utterance.index, attempt)
        self._state = state_key(utterance.session)
        self._channel = wake_channel(utterance.session)
        self.end_ms = 0
        self.said = 0
        self.held_bytes = 0
        self.pictures_dropped = 0

    @property
    def full(self) -> bool:
        return self.held_bytes > SESSION_BYTES

    async def write(self, *pieces: Slice, patches: dict[str, bytes] | None = None) -> bool:
        """Append ``pieces`` (and first keep ``patches`` by their keys). False: interrupted, or the feed has gone past it."""
        if self.held_bytes > SESSION_BYTES // 2:
            self.pictures_dropped += sum(bool(piece.seen) for piece in pieces)
            pieces = tuple(replace(piece, seen=b"", states=()) for piece in pieces)
        pipe = client().pipeline(transaction=False)
        for key, jpeg in (patches or {}).items():
            pipe.set(key, jpeg, ex=PATCH_TTL_S)
        for piece in pieces:
            pipe.xadd(self.key, piece.fields())  # type: ignore[arg-type]
        pipe.hmget(self._state, ["generation", "next"])
        pipe.hincrby(self._state, "held", sum(piece.size for piece in pieces))
        pipe.expire(self.key, SPEECH_TTL_S)
        pipe.publish(self._channel, str(self.utterance.generation))
        answers = await pipe.execute()
        self.end_ms = max(self.end_ms, *(piece.end_ms for piece in pieces))
        self.said = max(self.said, *(piece.said for piece in pieces))
        (generation, following), self.held_bytes = answers[-4], int(answers[-3])
        wanted = generation is None or int(generation) == self.utterance.generation
        if wanted and self.utterance.index >= int(following or 0):
            return True
        await client().unlink(self.key)
        return False
