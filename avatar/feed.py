"""The messages for one socket: a session's utterances in their order, paced by what the client has heard.

Bounded: nothing but one batch of slices is held here, the rest waits in Redis, which is bounded by avatar.streams.
Pictures are dropped for a client that cannot keep up, oldest first; sound never is. Every utterance ends in END or in a
typed FALLBACK, whatever happens to its worker: without a sign of life for 1.2 s it is asked for once more, and after
3 s without sound the text takes over.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from uuid import uuid4

import structlog

from avatar import streams
from avatar.cache import patches
from avatar.dispatch import ask
from avatar.exceptions import FeedReplaced
from avatar.protocol import MOUTH, Flush, Patch, Start, decode, encode, join, packets_of
from avatar.seal import Unreadable
from avatar.streams import LOST, Slice, Utterance, client
from avatar.wakes import Sleeper, wakes

LEAD_MS = 4000  # sound under way to the client, in all
HURRY_MS = 300  # with less than this the client is about to fall silent: sound first
SLOW_SEND_S = 0.05
REQUEUE_S = 1.2
FALLBACK_S = 2.8  # leaves the way to the client within the 3 s
GAP_S = 3.0  # an index that was never asked for is passed over
BATCH = 4
IDLE_S = 300.0  # a wake cannot be lost without a lost connection, after which all are woken; look nevertheless
RETRY_S = 0.25

log = structlog.get_logger(__name__)
Entries = list[tuple[bytes, dict[bytes, bytes]]]


@dataclass(slots=True)
class Pending:
    """One utterance on its way. ``following``: the attempt whose Stream is delivered, 0 until one of them speaks."""

    utterance: Utterance
    alive_at: float
    sound_at: float
    attempts: int = 1
    following: int = 0
    cursors: dict[int, bytes] = field(default_factory=lambda: {1: b"0"})
    looked_at: bool = False  # its Stream has been read at least once while it was the current one
    searched: bool = False  # the early search for its worker has been made
    started: bool = False
    rig: str = ""
    sent_ms: int = 0
    said: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message, the patches that the client knows once it has it, and the utterance that ends with it."""

    message: bytes
    states: tuple[tuple[str, int], ...] = ()
    ends: Pending | None = None


def _cancelled() -> bool:
    """Whether this task is to end. Asked here: a frame that held its own task would be in a cycle with its cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Feed:
    """``async with Feed(session) as feed: async for message in feed: await send(message)``.

    The newest feed of a session wins: an older one raises ``FeedReplaced``. ``known_patches``: state ids that the client
    kept from an earlier connection, of the rig its manifest names.
    """

    def __init__(
        self, session: str, *, known_patches: Iterable[int] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.session = session
        self.generation = 0
        self.dropped_pictures = 0
        self._known: set[tuple[str, int]] = {("", state) for state in known_patches}
        self._token = uuid4().hex
        self._clock = clock
        self._sleeper = Sleeper()
        self._state = streams.state_key(session)
        self._plan_cursor = b"0"
        self._pending: dict[int, Pending] = {}
        self._next = 0
        self._gap_since: float | None = None
        self._out: deque[Outgoing] = deque()
        self._litter: list[str] = []
        self._delivered: list[Pending] = []
        self._handed_at: float | None = None
        self._slow = False
        # Flow control: positions in ms of sound over the whole generation.
        self._base_ms = 0
        self._bases: dict[str, int] = {}
        self._heard_ms = 0
        self._heard_at = 0.0
        self._reports = False

    # --- life ---------------------------------------------------------------------------------------------
    async def __aenter__(self) -> "Feed":
        await wakes().add(self.session, self._sleeper)
        pipe = client().pipeline(transaction=False)
        pipe.hsetnx(self._state, "generation", str(streams.first_generation()))
        pipe.hset(self._state, "feed", self._token)
        pipe.hmget(self._state, ["generation", "next"])
        pipe.expire(self._state, streams.STATE_TTL_S)
        generation, following = (await pipe.execute())[2]
        self._flush(int(generation), int(following or 0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await wakes().remove(self.session, self._sleeper)

    def _flush(self, generation: int, following: int = 0) -> None:
        ended = [outgoing.ends for outgoing in self._out if outgoing.ends is not None]
        for pending in [*self._pending.values(), *ended, *self._delivered]:
            self._litter += self._slices_keys(pending)
        self._delivered.clear()
        self.generation = generation
        self._plan_cursor = b"0"
        self._pending.clear()
        self._next = following
        self._gap_since = None
        self._base_ms = self._heard_ms = 0
        self._bases.clear()
        self._out.clear()
        self._out.append(Outgoing(encode(Flush(generation))))

    # --- what the socket calls ----------------------------------------------------------------------------
    def playhead(self, utterance_id: str, pts_ms: int) -> None:
        """The client has played up to ``pts_ms`` of that utterance; reports of a flushed generation are ignored."""
        base = self._bases.get(utterance_id)
        if base is None:
            return
        self._reports = True
        self._heard_ms = max(self._heard_ms, min(base + pts_ms, self._sent_ms()))
        self._heard_at = self._clock()
        self._sleeper.event.set()

    @property
    def silent(self) -> bool:
        """Whether nothing is on its way to the client, and what was has been played."""
        return not (self._pending or self._out or self._delivered) and self._ahead_ms() <= 0

    def known_patches(self) -> set[int]:
        """What the client has by now: for the feed that follows this one."""
        return {state for _rig, state in self._known}

    def __aiter__(self) -> "Feed":
        return self

    async def __anext__(self) -> bytes:
        if self._handed_at is not None:
            self._slow = self._clock() - self._handed_at > SLOW_SEND_S
            self._handed_at = None
        while True:
            if self._sleeper.generation > self.generation:
                self._flush(self._sleeper.generation)
            if self._out:
                outgoing = self._out.popleft()
                self._known.update(outgoing.states)
                if outgoing.ends is not None:
                    self._delivered.append(outgoing.ends)
                self._handed_at = self._clock()
                return outgoing.message
            self._sleeper.event.clear()
            patience = 0.0
            try:
                if not await self._step():
                    patience = self._patience()
            except LOST as error:
                log.warning("feed_lost_redis", error=type(error).__name__)
                patience = RETRY_S
                if self._next in self._pending:
                    self._pending[self._next].looked_at = True  # there is nothing to be had where it would be read
            self._watch()
            if _cancelled():
                # Before Python 3.12 wait_for, by which redis-py writes, may lose a cancellation that meets its result:
                # the feed of a closed socket would then wait for ever.
                raise asyncio.CancelledError
            if patience and not self._out:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await self._sleeper.event.wait()

    # --- one look at Redis ----------------------------------------------------------------------------------
    async def _step(self) -> bool:
        """Read what there is; True when there may be more at once."""
        current = self._pending.get(self._next)
        hungry = self._ahead_ms() < LEAD_MS
        plan = streams.plan_key(self.session, self.generation)
        reads: dict[str, bytes] = {plan: self._plan_cursor}
        if current is not None and hungry:
            for attempt, cursor in current.cursors.items():
                if current.following in (0, attempt):
                    reads[self._slices_key(current, attempt)] = cursor
        pipe = client().pipeline(transaction=False)
        pipe.hmget(self._state, ["generation", "feed"])
        pipe.xread(reads, count=BATCH)  # type: ignore[arg-type]
        overdue = self._overdue()
        for pending in overdue:
            pipe.exists(self._slices_key(pending, 1))
        delivered = list(self._delivered)
        if delivered:
            pipe.hset(self._state, "next", str(delivered[-1].utterance.index + 1))
            pipe.hincrby(self._state, "held", -sum(pending.size for pending in delivered))
        litter = [*self._litter, *(key for pending in delivered for key in self._slices_keys(pending))]
        if litter:
            pipe.unlink(*litter)
        (generation, token), found, *exist = await pipe.execute()
        exist = exist[: len(overdue)]
        del self._delivered[: len(delivered)]
        self._litter.clear()
        if generation is None:
            await self._restore()
            return True
        if int(generation) != self.generation:
            self._flush(int(generation))
            return True
        if (token or b"").decode() != self._token:
            raise FeedReplaced
        for key, entries in found or ():
            if key.decode() == plan:
                self._plan(entries)
            elif current is not None:
                await self._follow(current, int(key.rsplit(b":", 1)[1]), entries)
        if current is not None and self._pending.get(self._next) is current:
            current.looked_at = True
            if not hungry:
                current.alive_at = current.sound_at = self._clock()
            elif current.attempts == 1 and self._clock() - current.alive_at >= REQUEUE_S:
                await self._ask_again(current)
        for pending, alive in zip(overdue, exist, strict=True):
            pending.searched = True
            if not alive:
                await self._ask_again(pending)
        return bool(found)

    def _slices_key(self, pending: Pending, attempt: int) -> str:
        return streams.slices_key(self.session, self.generation, pending.utterance.index, attempt)

    def _slices_keys(self, pending: Pending) -> list[str]:
        u = pending.utterance
        return [streams.slices_key(u.session, u.generation, u.index, n + 1) for n in range(pending.attempts)]

    def _plan(self, entries: Entries) -> None:
        now = self._clock()
        for entry, fields in entries:
            self._plan_cursor = entry
            try:
                utterance = Utterance.from_record(fields[b"record"])
            except Unreadable:  # from before SECRET_KEY was changed: the gap it leaves is passed over
                continue
            if utterance.index >= self._next and utterance.index not in self._pending:
                self._pending[utterance.index] = Pending(utterance, now, now)

    async def _follow(self, current: Pending, attempt: int, entries: Entries) -> None:
        for entry, fields in entries:
            if current.following not in (0, attempt):
                return
            piece = Slice.from_fields(fields)
            current.alive_at = self._clock()
            if piece.end_ms or piece.last:
                current.following = attempt
                current.sound_at = current.alive_at
                if piece.last or piece.start_ms >= current.sent_ms:
                    await self._emit(current, piece)
            elif piece.heard and not current.started:
                (start,) = decode(piece.heard)
                self._start(current, piece.heard, start.rig if isinstance(start, Start) else "")
            current.cursors[attempt] = entry
            if piece.last:
                self._finish(current)
                return

    def _start(self, current: Pending, message: bytes, rig: str) -> None:
        current.started = True
        current.rig = rig
        if not self._reports and self._ahead_ms() <= 0:  # it has been silent: its time begins anew
            self._heard_ms = self._base_ms
            self._heard_at = self._clock()
        self._bases[current.utterance.utterance_id] = self._base_ms
        self._out.append(Outgoing(message))

    async def _emit(self, current: Pending, piece: Slice) -> None:
        packets = [piece.heard] if piece.heard else []
        states: tuple[tuple[str, int], ...] = ()
        if piece.seen and self._slow and current.sent_ms and self._about_to_fall_silent():
            self.dropped_pictures += 1
        elif piece.seen:
            jpegs = await self._unknown_patches(current, piece)
            packets += [
                encode(Patch(self.generation, current.utterance.index, piece.start_ms, state, MOUTH, jpeg))
                for state, jpeg in jpegs.items()
            ]
            packets += packets_of(piece.seen)
            states = tuple((current.rig, state) for state in jpegs)
        *messages, last = join(packets)
        self._out.extend(Outgoing(message) for message in messages)
        self._out.append(Outgoing(last, states, current if piece.last else None))
        current.sent_ms = max(current.sent_ms, piece.end_ms)
        current.said = max(current.said, piece.said)
        current.size += piece.size

    async def _unknown_patches(self, current: Pending, piece: Slice) -> dict[int, bytes]:
        under_way = {pair for outgoing in self._out for pair in outgoing.states}
        unknown = [
            state
            for state in piece.states
            if ("", state) not in self._known
            and (current.rig, state) not in self._known
            and (current.rig, state) not in under_way
        ]
        if not unknown:
            return {}
        try:
            return await patches.fetch(current.utterance.avatar, current.rig, unknown)
        except LOST:
            return {}  # the mouth keeps its shape for a moment; the sound goes on

    def _finish(self, current: Pending) -> None:
        self._base_ms += current.sent_ms
        self._pending.pop(self._next)
        self._next += 1
        self._gap_since = None

    # --- the watchdog -----------------------------------------------------------------------------------------
    def _overdue(self) -> list[Pending]:
        """Those behind the current one that should have a worker by now, each looked after once."""
        before = self._clock() - REQUEUE_S
        waiting = [p for i, p in self._pending.items() if i != self._next and not p.searched and p.alive_at < before]
        return waiting[:8]

    async def _ask_again(self, pending: Pending) -> None:
        if pending.attempts > 1:
            return
        pending.attempts = 2
        pending.cursors[2] = b"0"
        pending.following = 0
        log.warning("speech_asked_again", index=pending.utterance.index)
        await ask(pending.utterance, attempt=2)

    def _watch(self) -> None:
        """End what gives no sound in time, and pass over an index that never comes."""
        now = self._clock()
        current = self._pending.get(self._next)
        if current is None:
            if self._pending and self._gap_since is None:
                self._gap_since = now
            elif self._pending and self._gap_since is not None and now - self._gap_since >= GAP_S:
                self._next = min(self._pending)
                self._gap_since = None
            return
        if now - current.sound_at < FALLBACK_S or self._ahead_ms() >= LEAD_MS or not current.looked_at:
            return
        u = current.utterance
        if not current.started:
            start = Start(self.generation, u.index, 0, u.utterance_id, u.text, u.avatar, u.mood, "")
            self._start(current, encode(start), "")
        end = streams.fallback(u, at_ms=current.sent_ms, said=current.said, code="worker_silent")
        self._out.append(Outgoing(end.heard, ends=current))
        log.warning("speech_fell_back", index=u.index)
        self._finish(current)

    async def _restore(self) -> None:
        """Redis has forgotten: give it back this generation and place, and ask anew for all that is still to be said."""
        pipe = client().pipeline(transaction=False)
        pipe.hsetnx(self._state, "generation", str(self.generation))
        pipe.hset(self._state, mapping={"next": self._next, "feed": self._token})
        pipe.expire(self._state, streams.STATE_TTL_S)
        await pipe.execute()
        self._plan_cursor = b"0"
        for pending in list(self._pending.values()):
            pending.cursors = {1: b"0"}
            pending.attempts, pending.following = 1, 0
            await ask(pending.utterance, attempt=1)

    # --- pace -------------------------------------------------------------------------------------------------
    def _sent_ms(self) -> int:
        current = self._pending.get(self._next)
        return self._base_ms + (current.sent_ms if current is not None else 0)

    def _ahead_ms(self) -> float:
        """Sound that the client still has to play. Until it reports for the first time it is taken to play at once."""
        sent = self._sent_ms()
        if self._reports:
            return sent - self._heard_ms
        return max(0.0, sent - self._heard_ms - 1000 * (self._clock() - self._heard_at))

    def _about_to_fall_silent(self) -> bool:
        return self._sent_ms() - self._heard_ms - 1000 * (self._clock() - self._heard_at) < HURRY_MS

    def _patience(self) -> float:
        """How long to sleep, unless woken: until the next thing that this feed itself has to do."""
        if not self._pending:
            return IDLE_S
        ahead = self._ahead_ms()
        if ahead >= LEAD_MS:
            return IDLE_S if self._reports else (ahead - LEAD_MS) / 1000 + 0.02
        now = self._clock()
        current = self._pending.get(self._next)
        if current is None:
            return max(0.01, (self._gap_since or now) + GAP_S - now)
        until = current.sound_at + FALLBACK_S
        if current.attempts == 1:
            until = min(until, current.alive_at + REQUEUE_S)
        return max(0.01, until - now)
