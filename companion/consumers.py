"""The one websocket: JSON frames in and out, media out. Parses, calls, answers; long work is an owned task.

A consumer handles its messages one at a time, so nothing here waits for a turn to end: a turn and the avatar's
feed are tasks that belong to the socket, and ``interrupt`` overtakes both. docs/protocol.md lists every frame.
"""

import asyncio
import contextlib
import json
import time
from array import array
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import structlog
from redis import RedisError

from avatar import sessions
from avatar.exceptions import AvatarError
from companion import confirming, dialogue, reopening, signin
from companion.asking import AWAY
from companion.background import in_thread
from companion.bounded_socket import parse
from companion.events import Say
from companion.exceptions import BadFrame, CompanionError, NotSignedIn, Unavailable
from companion.fanout import fanout
from companion.open_page import OpenPage
from companion.reopening import Shown

log = structlog.get_logger(__name__)

HELLO_WITHIN_S = 10
TEXT_MAX_CHARS = 500
PATCHES_MAX = 4000
CLOSE_NO_HELLO = 4408
CLOSE_TOO_MANY_MESSAGES = 4429
RECONNECT_WITHIN_MS = 8000  # over this time pages spread their return after a restart


class CompanionConsumer(OpenPage):
    """One open page. ``needs_ticket``: for sockets that send no Origin."""

    def __init__(self, *, needs_ticket: bool = False) -> None:
        super().__init__()
        self.needs_ticket = needs_ticket
        self.no_hello: asyncio.TimerHandle | None = None

    # --- opening and closing ------------------------------------------------------------------------------
    async def connect(self) -> None:
        await self.accept()
        self.scope.get("headers", []).clear()  # Origin has been checked; kept for each open page they would add up
        self.no_hello = asyncio.get_running_loop().call_later(HELLO_WITHIN_S, self._expect_hello)

    def _expect_hello(self) -> None:
        if self.claims is None:
            self.own(self.close(CLOSE_NO_HELLO))

    async def disconnect(self, code: int) -> None:
        self.gone = True
        for timer in (self.no_hello, self.dozing):
            if timer is not None:
                timer.cancel()
        if self.turn is not None:
            self.turn.cancel()
        if self.claims is not None:
            fanout().leave(self.claims.resident_id, self)
        try:
            if self.session is not None:
                with contextlib.suppress(AvatarError, RedisError, OSError):
                    # nobody hears the rest: stop making it, unless another page has taken the conversation over
                    await sessions.interrupt(str(self.session.id), expected=self.generation)
        finally:
            await self.end_tasks()
            if self.turn is not None:
                await asyncio.gather(self.turn, return_exceptions=True)

    # --- in -----------------------------------------------------------------------------------------------
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.within_rate():
            await self.close(CLOSE_TOO_MANY_MESSAGES)
            return
        try:
            message = parse(text_data, HANDLERS)
            kind = message["type"]
            if kind != "ping":
                self.active_at = time.monotonic()
            if self.page is None and kind != "hello":
                raise NotSignedIn(code="hello_first")
            try:
                await HANDLERS[kind](self, message)
            except AWAY as error:
                raise Unavailable from error
        except NotSignedIn as error:
            log.info("refused", code=error.code, status=error.status_code)
            await self.refuse(error)
        except CompanionError as error:
            log.info("refused", code=error.code, status=error.status_code)
            await self.frame(error.as_frame() | {"status": error.status_code})
            if self.claims is not None and self.page is None:
                await self.close(CLOSE_NO_HELLO)  # its hello came to nothing: it may come again

    async def on_hello(self, message: dict[str, Any]) -> None:
        if self.claims is not None:
            raise BadFrame(code="hello_twice")
        known = message.get("known_patches", [])
        if not isinstance(known, list) or len(known) > PATCHES_MAX:
            raise BadFrame(code="bad_field")
        claims = signin.claims(message.get("token", ""))
        if self.needs_ticket:
            await in_thread(signin.redeem_ticket, message.get("ticket", ""))
        self.claims = claims
        if self.no_hello is not None:
            self.no_hello.cancel()
            self.no_hello = None
        self.worn = str(message.get("avatar") or self.worn)
        self.known_patches = array("I", (k for k in known if isinstance(k, int) and 0 <= k <= 0xFFFFFFFF))
        showing = reopening.shown(claims, message) if message.get("quietly") is True else None
        if showing is not None:
            await self.listen(claims)
            if await reopening.looks().unchanged(showing):
                same = {"as_before": True, "conversation": str(showing.conversation_id)}
                await self.frame({"type": "ready", **same, "reconnect_within_ms": RECONNECT_WITHIN_MS})
                self.begin_to_show(showing)
                return
        await in_thread(signin.check, claims)
        if showing is None:
            await self.listen(claims)
        session = await self.open_session(_uuid(message.get("conversation")))
        ready = await in_thread(dialogue.ready_frame, session)
        ready |= {"type": "ready", "generation": self.generation, "reconnect_within_ms": RECONNECT_WITHIN_MS}
        await self.frame(ready)
        if ready["avatar"] != self.worn:
            self.worn, self.known_patches = ready["avatar"], array("I")
        self.begin_to_speak(session)
        visit = ready["visit"]
        about = (UUID(visit["visit"]), visit["number"]) if visit else (None, 0)
        page = Shown(claims, session.id, session.patient_id, *about)
        self.begin_to_show(page)
        await in_thread(reopening.take_over, [page])
        if message.get("quietly") is True and session.resumed:  # only the line was lost: she knows who speaks
            self.to_say = True
            self.catch_up()
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
        session = await self.awake()
        if turn_id in session.recent_turns:  # sent again after a lost connection: it was heard
            return
        try:
            await self._hush()
        except AWAY:
            await self._came_to_nothing(turn_id, Unavailable())
            return
        session.remember(turn_id)
        self.turn = asyncio.ensure_future(self._take_turn(turn_id, text, action))

    async def on_interrupt(self, message: dict[str, Any]) -> None:
        if self.session is not None:  # a page that sleeps says nothing
            await self._hush()

    async def on_playhead(self, message: dict[str, Any]) -> None:
        utterance, pts_ms = message.get("utterance"), message.get("pts_ms")
        if not isinstance(utterance, str) or not isinstance(pts_ms, int) or not 0 <= pts_ms < 3_600_000:
            raise BadFrame(code="bad_field")
        if self.feed is not None:
            self.feed.playhead(utterance, pts_ms)

    async def on_heard(self, message: dict[str, Any]) -> None:
        number = message.get("number")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < confirming.NUMBERS:
            raise BadFrame(code="bad_field")
        await self.confirmed(number)

    async def on_setting(self, message: dict[str, Any]) -> None:
        rate = message.get("rate")
        if not isinstance(rate, int | float) or not 0.5 <= rate <= 1.5:
            raise BadFrame(code="bad_field")
        self.session = await in_thread(dialogue.set_rate, await self.awake(), float(rate))

    async def on_rating(self, message: dict[str, Any]) -> None:
        turn, value = message.get("turn"), message.get("value")
        if not isinstance(turn, int) or value not in (-1, 1):
            raise BadFrame(code="bad_field")
        await in_thread(dialogue.rate_turn, await self.awake(), turn, value)

    async def on_ping(self, message: dict[str, Any]) -> None:
        await self.frame({"type": "pong"})

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
        await self.frame({"type": "flush", "generation": self.generation})

    async def _take_turn(self, turn_id: str, text: str, action: dict[str, Any] | None) -> None:
        assert self.session is not None
        try:
            async with self.voice:
                await self.frame({"type": "turn.started", "id": turn_id})
                # closed here, not by the collector: whoever interrupts waits until the turn is on record
                async with contextlib.aclosing(dialogue.turn(self.session, turn_id, text, action)) as events:
                    async for event in events:
                        await self.emit(event)
                await self.frame({"type": "turn.ended", "id": turn_id, "number": self.session.turns})
        except asyncio.CancelledError:
            raise
        except AWAY as error:
            log.warning("turn_failed", error=type(error).__name__)
            await self._came_to_nothing(turn_id, Unavailable())
        except CompanionError as error:
            await self._came_to_nothing(turn_id, error)
        except Exception as error:  # noqa: BLE001  whatever broke, she gets words and the socket lives
            log.error("turn_failed", exc_info=error)
            await self._came_to_nothing(turn_id, CompanionError())
        self.to_say = True
        self.catch_up()

    async def _came_to_nothing(self, turn_id: str, error: CompanionError) -> None:
        """She is told, also aloud where that is possible, and may send the same turn again."""
        assert self.session is not None
        self.session.forget(turn_id)
        log.info("refused", code=error.code, status=error.status_code)
        await self.frame(error.as_frame() | {"status": error.status_code, "turn": turn_id})
        with contextlib.suppress(*AWAY):
            await self.emit(Say(text=error.detail, mood="concern"))


HANDLERS: dict[str, Callable[[CompanionConsumer, dict[str, Any]], Awaitable[None]]] = {
    "hello": CompanionConsumer.on_hello,
    "text": CompanionConsumer.on_text,
    "action": CompanionConsumer.on_action,
    "interrupt": CompanionConsumer.on_interrupt,
    "playhead": CompanionConsumer.on_playhead,
    "heard": CompanionConsumer.on_heard,
    "setting": CompanionConsumer.on_setting,
    "rating": CompanionConsumer.on_rating,
    "ping": CompanionConsumer.on_ping,
}


def _uuid(value: Any) -> UUID | None:
    """The client's conversation id, or None: an unreadable one simply begins a new conversation."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
