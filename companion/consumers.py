"""The one websocket: JSON frames in and out, media out. Parses, calls, answers; long work is an owned task.

A consumer handles its messages one at a time, so nothing here waits for a turn to end: a turn and the avatar's
feed are tasks that belong to the socket, and ``interrupt`` overtakes both. docs/protocol.md lists every frame.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from avatar import sessions
from avatar.exceptions import AvatarError, FeedReplaced
from avatar.speech_text import clauses
from companion import dialogue
from companion.background import in_thread
from companion.dialogue import Session
from companion.events import Adjust, Event, Say, SwitchPatient, to_frame
from companion.exceptions import BadFrame, CompanionError, NotSignedIn
from companion.fanout import fanout
from companion.signin import redeem_ticket, verify

log = structlog.get_logger(__name__)

HELLO_WITHIN_S = 10
SEND_WITHIN_S = 10
CLOSE_WITHIN_S = 5
TEXT_MAX_CHARS = 500
CLOSE_NOT_SIGNED_IN = 4401
CLOSE_NO_HELLO = 4408
CLOSE_TOO_SLOW = 4409
CLOSE_ELSEWHERE = 4410
CLOSE_TOO_MANY_PAGES = 4411
CLOSE_TOO_MANY_MESSAGES = 4429
MESSAGES_AT_ONCE = 60
MESSAGES_A_SECOND = 20
RECONNECT_WITHIN_MS = 8000  # over this time pages spread their return after a restart


class CompanionConsumer(AsyncWebsocketConsumer):
    """One open page. ``needs_ticket``: for sockets that send no Origin."""

    needs_ticket = False
    channel_layer_alias = ""  # companion.fanout tells what happens; a layer would read Redis for each socket

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.session: Session | None = None
        self.generation = 0
        self.index = 0  # of the next utterance within this generation
        self.turn: asyncio.Task[None] | None = None
        self.owned: set[asyncio.Task[None]] = set()
        self.feed: sessions.Feed | None = None
        self.voice = asyncio.Lock()  # a turn and a prompt never speak into each other
        self.send_lock = asyncio.Lock()
        self.gone = False
        self.dropped = False
        self.receiving: asyncio.Task[Any] | None = None
        self.no_hello: asyncio.TimerHandle | None = None
        self.to_say = False
        self.changed: dict[str, dict[str, Any]] = {}  # by visit: the newest that is not shown yet
        self.shown: dict[str, int] = {}  # by visit: the number of events of the newest frame
        self.refreshing: asyncio.Task[None] | None = None
        self.prompting: asyncio.Task[None] | None = None
        self.may_send = float(MESSAGES_AT_ONCE)
        self.counted_at = time.monotonic()

    # --- opening and closing ------------------------------------------------------------------------------
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def next_message() -> Any:
            self.receiving = asyncio.current_task()
            try:
                return await receive() if not self.dropped else {"type": "websocket.disconnect", "code": CLOSE_TOO_SLOW}
            except asyncio.CancelledError:
                if not self.dropped:
                    raise
                return {"type": "websocket.disconnect", "code": CLOSE_TOO_SLOW}

        await super().__call__(scope, next_message, send)

    def _drop(self) -> None:
        """Let go of a client that takes nothing. The close frame, too, waits for it to read, but not for long."""
        self.dropped = True
        log.info("client_too_slow")
        self._own(self.close(CLOSE_TOO_SLOW))
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._stop_receiving)

    def _stop_receiving(self) -> None:
        if self.receiving is not None:
            self.receiving.cancel()

    async def connect(self) -> None:
        await self.accept()
        self.no_hello = asyncio.get_running_loop().call_later(HELLO_WITHIN_S, self._expect_hello)

    def _expect_hello(self) -> None:
        if self.session is None:
            self._own(self.close(CLOSE_NO_HELLO))

    async def disconnect(self, code: int) -> None:
        self.gone = True
        if self.no_hello is not None:
            self.no_hello.cancel()
        for task in [*self.owned, *([self.turn] if self.turn else [])]:
            task.cancel()
        if self.session is not None:
            fanout().leave(self.session.resident_id, self)
            with contextlib.suppress(AvatarError, OSError):
                # nobody hears the rest: stop making it, unless another page has taken the conversation over
                await sessions.interrupt(str(self.session.id), expected=self.generation)
        await asyncio.gather(*self.owned, *([self.turn] if self.turn else []), return_exceptions=True)

    def _own(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self.owned.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self.owned.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("socket_task_failed", exc_info=task.exception())

    # --- in -----------------------------------------------------------------------------------------------
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self._within_rate():
            await self.close(CLOSE_TOO_MANY_MESSAGES)
            return
        try:
            message = parse(text_data)
            kind = message["type"]
            if self.session is None and kind != "hello":
                raise NotSignedIn(code="hello_first")
            await HANDLERS[kind](self, message)
        except NotSignedIn as error:
            await self._frame(error.as_frame() | {"status": error.status_code})
            await self.close(CLOSE_NOT_SIGNED_IN)
        except CompanionError as error:
            await self._frame(error.as_frame() | {"status": error.status_code})

    def _within_rate(self) -> bool:
        now = time.monotonic()
        self.may_send = min(MESSAGES_AT_ONCE, self.may_send + MESSAGES_A_SECOND * (now - self.counted_at))
        self.counted_at = now
        self.may_send -= 1
        return self.may_send >= 0

    async def on_hello(self, message: dict[str, Any]) -> None:
        if self.session is not None:
            raise BadFrame(code="hello_twice")
        if self.needs_ticket:
            await in_thread(redeem_ticket, message.get("ticket", ""))
        known = message.get("known_patches", [])
        if not isinstance(known, list) or len(known) > 4000:
            raise BadFrame(code="bad_field")
        signed_in = await in_thread(verify, message.get("token", ""))
        session = await in_thread(dialogue.open_session, signed_in.resident_id, _uuid(message.get("conversation")))
        self.generation = await sessions.interrupt(str(session.id))
        self.session = session
        await fanout().join(session.resident_id, self)
        ready = await in_thread(dialogue.ready_frame, session)
        ready |= {"type": "ready", "generation": self.generation, "reconnect_within_ms": RECONNECT_WITHIN_MS}
        await self._frame(ready)
        self._own(self._pump([int(k) for k in known if isinstance(k, int)]))
        if message.get("quietly") is True and session.resumed:  # only the line was lost: she knows who speaks
            self._prompt()
        else:
            self.turn = asyncio.ensure_future(self._take_turn(str(uuid4()), "", dialogue.opening_action(session)))

    async def on_text(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        if not isinstance(text, str) or not text.strip():
            raise BadFrame(code="bad_field")
        if len(text) > TEXT_MAX_CHARS:
            raise BadFrame(f"一次最多说{TEXT_MAX_CHARS}个字,请分几次说。", code="too_long")
        await self._start_turn(message, text.strip(), None)

    async def on_action(self, message: dict[str, Any]) -> None:
        action = message.get("action")
        if not isinstance(action, dict) or not isinstance(action.get("kind"), str) or len(json.dumps(action)) > 4000:
            raise BadFrame(code="bad_field")
        await self._start_turn(message, "", action)

    async def _start_turn(self, message: dict[str, Any], text: str, action: dict[str, Any] | None) -> None:
        turn_id = message.get("id")
        if not isinstance(turn_id, str) or not 1 <= len(turn_id) <= 64:
            raise BadFrame(code="bad_field")
        assert self.session is not None
        if turn_id in self.session.recent_turns:  # sent again after a lost connection: it was heard
            return
        self.session.remember(turn_id)
        await self._hush()
        self.turn = asyncio.ensure_future(self._take_turn(turn_id, text, action))

    async def on_interrupt(self, message: dict[str, Any]) -> None:
        await self._hush()

    async def on_playhead(self, message: dict[str, Any]) -> None:
        utterance, pts_ms = message.get("utterance"), message.get("pts_ms")
        if not isinstance(utterance, str) or not isinstance(pts_ms, int) or not 0 <= pts_ms < 3_600_000:
            raise BadFrame(code="bad_field")
        if self.feed is not None:
            self.feed.playhead(utterance, pts_ms)

    async def on_setting(self, message: dict[str, Any]) -> None:
        rate = message.get("rate")
        if not isinstance(rate, int | float) or not 0.5 <= rate <= 1.5:
            raise BadFrame(code="bad_field")
        assert self.session is not None
        self.session = await in_thread(dialogue.set_rate, self.session, float(rate))

    async def on_rating(self, message: dict[str, Any]) -> None:
        turn, value = message.get("turn"), message.get("value")
        if not isinstance(turn, int) or value not in (-1, 1):
            raise BadFrame(code="bad_field")
        assert self.session is not None
        await in_thread(dialogue.rate_turn, self.session, turn, value)

    async def on_ping(self, message: dict[str, Any]) -> None:
        await self._frame({"type": "pong"})

    # --- a turn -------------------------------------------------------------------------------------------
    async def _hush(self) -> None:
        """Stop what is being said and made: raise the generation, so that every queue drops the rest."""
        assert self.session is not None
        if self.turn and not self.turn.done():
            self.turn.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.turn
        self.generation = await sessions.interrupt(str(self.session.id))
        self.index = 0
        await self._frame({"type": "flush", "generation": self.generation})

    async def _take_turn(self, turn_id: str, text: str, action: dict[str, Any] | None) -> None:
        assert self.session is not None
        try:
            async with self.voice:
                await self._frame({"type": "turn.started", "id": turn_id})
                async for event in dialogue.turn(self.session, turn_id, text, action):
                    await self._emit(event)
                await self._frame({"type": "turn.ended", "id": turn_id, "number": self.session.turns})
        except asyncio.CancelledError:
            raise
        except CompanionError as error:
            await self._frame(error.as_frame() | {"status": error.status_code})
        except Exception as error:  # noqa: BLE001  whatever broke, she gets words and the socket lives
            log.error("turn_failed", exc_info=error)
            await self._frame(CompanionError().as_frame() | {"status": 500})
            await self._emit(Say(text=CompanionError.detail, mood="concern"))
        await self._speak_prompts()

    async def _emit(self, event: Event) -> None:
        frame = to_frame(event)
        if isinstance(event, Say) and event.text:
            frame["utterances"] = await self._speak(event)
        elif isinstance(event, SwitchPatient) or (isinstance(event, Adjust) and event.setting == "rate"):
            assert self.session is not None
            self.session = await in_thread(dialogue.adjusted, self.session, event)
        await self._frame(frame)

    async def _speak(self, say: Say) -> list[dict[str, str]]:
        """Send each clause to the speech queue at once; returns the utterances' ids and texts, in order."""
        assert self.session is not None
        spoken = []
        for clause in clauses(say.text):
            utterance = sessions.Utterance(
                session=str(self.session.id),
                generation=self.generation,
                utterance_id=f"{self.generation}-{self.index}",
                index=self.index,
                text=clause,
                avatar=self.session.avatar,
                rate=self.session.rate,
                mood=say.mood,
                lexicon=self.session.lexicon,
            )
            self.index += 1
            spoken.append({"id": utterance.utterance_id, "text": clause})
            await sessions.speak(utterance)
        return spoken

    async def _pump(self, known_patches: list[int]) -> None:
        """Write the avatar's packets to the socket for as long as it is open."""
        assert self.session is not None
        try:
            async with sessions.Feed(str(self.session.id), known_patches=known_patches) as feed:
                self.feed = feed
                async for packet in feed:
                    await self._send_within(bytes_data=packet)
        except FeedReplaced:  # the same conversation was opened elsewhere: that page speaks now
            await self.close(CLOSE_ELSEWHERE)

    # --- what happens by itself ---------------------------------------------------------------------------
    def heard(self, message: dict[str, Any] | None) -> None:
        """A visit changed (None: one may have, unheard). For a slow page only the newest of each visit waits."""
        if message is None:
            self._prompt()
            return
        if message.get("say", True):  # whatever becomes of its frame: a newer one may have nothing to say
            self._prompt()
        visit, number = message["visit"], message.get("number", 0)
        if number and number <= max(self.shown.get(visit, 0), self.changed.get(visit, {}).get("number", 0)):
            return  # overtaken by a newer one
        self.changed[visit] = message
        if self.refreshing is None or self.refreshing.done():
            self.refreshing = self._own(self._refresh())

    async def _refresh(self) -> None:
        """Show what changed."""
        assert self.session is not None
        while self.changed:
            visit, message = next(iter(self.changed.items()))
            del self.changed[visit]
            if message.get("frame") is None:
                frame = await in_thread(dialogue.visit_frame, self.session, UUID(visit))
            else:
                self.shown[visit] = message["number"]
                frame = message["frame"] if message["patient"] == str(self.session.patient_id) else None
            if frame is not None:
                await self._frame(frame | {"type": "visit"})

    def make_room(self) -> None:
        self._own(self.close(CLOSE_TOO_MANY_PAGES))

    def _prompt(self) -> None:
        """Say what is due, after whatever is being said."""
        self.to_say = True
        if not self.gone and (self.prompting is None or self.prompting.done()):
            self.prompting = self._own(self._say_due())

    async def _say_due(self) -> None:
        while self.to_say:
            self.to_say = False
            await self._speak_prompts()

    async def _speak_prompts(self) -> None:
        assert self.session is not None
        async with self.voice:
            for event in await in_thread(dialogue.due_prompts, self.session):
                await self._emit(event)

    # --- out ----------------------------------------------------------------------------------------------
    async def _frame(self, frame: dict[str, Any]) -> None:
        await self._send_within(text_data=json.dumps(frame, ensure_ascii=False, separators=(",", ":")))

    async def _send_within(self, **data: Any) -> None:
        """One write at a time, each within a limit: a client that never reads must not hold a process."""
        async with self.send_lock:
            if self.dropped:
                return
            try:
                async with asyncio.timeout(SEND_WITHIN_S):
                    await self.send(**data)
            except TimeoutError:
                self._drop()


HANDLERS: dict[str, Callable[[CompanionConsumer, dict[str, Any]], Awaitable[None]]] = {
    "hello": CompanionConsumer.on_hello,
    "text": CompanionConsumer.on_text,
    "action": CompanionConsumer.on_action,
    "interrupt": CompanionConsumer.on_interrupt,
    "playhead": CompanionConsumer.on_playhead,
    "setting": CompanionConsumer.on_setting,
    "rating": CompanionConsumer.on_rating,
    "ping": CompanionConsumer.on_ping,
}


def parse(text: str | None) -> dict[str, Any]:
    """One frame from the client. Raises ``BadFrame`` (binary_not_allowed, too_long, bad_json, unknown_type)."""
    if text is None:
        raise BadFrame(code="binary_not_allowed")
    if len(text.encode("utf-8", "surrogatepass")) > settings.WEBSOCKET_MAX_TEXT_BYTES:
        raise BadFrame("这条消息太长了,请分几次说。", code="too_long")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFrame(code="bad_json") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BadFrame(code="bad_json")
    if message["type"] not in HANDLERS:
        raise BadFrame(code="unknown_type")
    return message


def _uuid(value: Any) -> UUID | None:
    """The client's conversation id, or None: an unreadable one simply begins a new conversation."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
