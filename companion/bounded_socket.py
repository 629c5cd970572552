"""A websocket that no client can make costly: so many messages a second, each write within a limit, its tasks its own."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Container
from typing import Any

import structlog
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from companion.exceptions import BadFrame

log = structlog.get_logger(__name__)

SEND_WITHIN_S = 10
CLOSE_WITHIN_S = 5
CLOSE_BROKEN = 1011
CLOSE_TOO_SLOW = 4409
LET_GO = {"type": "websocket.disconnect", "code": CLOSE_TOO_SLOW}
MESSAGES_AT_ONCE = 60
MESSAGES_A_SECOND = 20


class BoundedSocket(AsyncWebsocketConsumer):
    """One open socket. What it begins by ``own`` ends with it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owned: set[asyncio.Task[None]] = set()
        self.send_lock = asyncio.Lock()
        self.closed = False  # from this side
        self.dropped = False
        self.gone = False  # ``disconnect`` has begun
        self.task: asyncio.Task[Any] | None = None
        self.receiving = False
        self.may_send = float(MESSAGES_AT_ONCE)
        self.counted_at = time.monotonic()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As Channels' without a layer, but in one task: a second one, kept for each open page, would add up."""
        self.scope, self.base_send = scope, send
        self.task = asyncio.current_task()
        try:
            with contextlib.suppress(StopConsumer):
                while True:
                    await self.dispatch(await self._next(receive))
        finally:
            if not self.gone:  # a handler broke, or she left while it wrote: nobody will say so any more
                await self.disconnect(CLOSE_BROKEN)

    async def _next(self, receive: Any) -> Any:
        """The client's next message; its leaving, once it has been let go of."""
        self.receiving = not self.dropped
        try:
            return await receive() if self.receiving else LET_GO
        except asyncio.CancelledError:
            if not self.dropped or self.task is None:
                raise
            self.task.uncancel()
            return LET_GO
        finally:
            self.receiving = False

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As Channels', less its tidying of database connections in a thread: companion.background does that where it asks.

        For a ping, it would cost more than all the rest.
        """
        await getattr(self, get_handler_name(message))(message)

    def within_rate(self) -> bool:
        """Whether the client may send one more message now."""
        now = time.monotonic()
        self.may_send = min(MESSAGES_AT_ONCE, self.may_send + MESSAGES_A_SECOND * (now - self.counted_at))
        self.counted_at = now
        self.may_send -= 1
        return self.may_send >= 0

    # --- tasks --------------------------------------------------------------------------------------------
    def own(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self.owned.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self.owned.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("socket_task_failed", exc_info=task.exception())

    async def end_tasks(self) -> None:
        tasks = list(self.owned)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- out ----------------------------------------------------------------------------------------------
    async def frame(self, frame: dict[str, Any]) -> None:
        await self.send_within(text_data=json.dumps(frame, ensure_ascii=False, separators=(",", ":")))

    async def send_within(self, **data: Any) -> None:
        """One write at a time, each within a limit: a client that never reads must not hold a process."""
        async with self.send_lock:
            if self.closed or self.dropped:
                return
            try:
                async with asyncio.timeout(SEND_WITHIN_S):
                    await self.send(**data)
            except TimeoutError:
                self._drop()

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """The first one counts: after it a server takes nothing more."""
        if not self.closed:
            self.closed = True
            await super().close(code, reason)

    def _drop(self) -> None:
        """Let go of a client that takes nothing. The close frame, too, waits for it to read, but not for long."""
        self.dropped = True
        log.info("client_too_slow")
        self.own(self.close(CLOSE_TOO_SLOW))
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._stop_receiving)

    def _stop_receiving(self) -> None:
        if self.receiving and self.task is not None:
            self.task.cancel()


def parse(text: str | None, kinds: Container[str]) -> dict[str, Any]:
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
    if message["type"] not in kinds:
        raise BadFrame(code="unknown_type")
    return message
