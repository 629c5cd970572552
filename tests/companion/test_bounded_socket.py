"""However a socket ends, by us, by her or by a fault, it is gone afterwards: a page that nobody sees must hear nothing."""

import asyncio
import json
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from redis import ConnectionError as RedisConnectionError

from avatar import sessions
from companion import bounded_socket, consumers, dialogue, fanout, open_page, signin
from companion.background import in_thread
from companion.consumers import CompanionConsumer
from companion.exceptions import BadFrame, Unavailable
from hospitals.exceptions import KeyServiceUnavailable
from hospitals.services import directory
from tests.companion.test_consumers import Page, resident

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_worker")]


class Server:
    """As uvicorn: it has read all frames when the first is handled, and takes nothing after a close frame."""

    def __init__(self, *frames: dict[str, Any], left: bool = False) -> None:
        self.left = left
        self.closed: list[int] = []
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        for frame in frames:
            self.inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    async def send(self, message: dict[str, Any]) -> None:
        if self.closed:
            raise RuntimeError(f"Unexpected ASGI message '{message['type']}', after sending 'websocket.close'.")
        if message["type"] == "websocket.send" and self.left:
            raise OSError
        if message["type"] == "websocket.close":
            self.closed.append(message["code"])
            self.inbox.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    async def run(self) -> None:
        scope = {"type": "websocket", "path": "/ws/companion/"}
        await asyncio.wait_for(CompanionConsumer()(scope, self.inbox.get, self.send), 20)


async def broken(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError


async def test_frames_that_were_read_with_the_one_too_many_find_it_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_socket, "MESSAGES_A_SECOND", 0)
    token, _ = await in_thread(resident, "her")
    pings = [{"type": "ping"}] * (bounded_socket.MESSAGES_AT_ONCE + 5)
    server = Server({"type": "hello", "token": token}, *pings)
    await server.run()
    assert server.closed == [consumers.CLOSE_TOO_MANY_MESSAGES]
    assert len(fanout.fanout()) == 0


async def test_frames_before_the_hello_are_refused_once() -> None:
    server = Server({"type": "ping"}, {"type": "ping"})
    await server.run()
    assert server.closed == [open_page.CLOSE_NOT_SIGNED_IN]


async def test_a_page_that_left_before_its_hello_was_answered_is_gone() -> None:
    token, _ = await in_thread(resident, "her")
    with pytest.raises(OSError):
        await Server({"type": "hello", "token": token}, left=True).run()
    assert len(fanout.fanout()) == 0


async def test_a_page_whose_handler_broke_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    token, _ = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    await page.until("turn.ended")
    assert len(fanout.fanout()) == 1
    monkeypatch.setattr(sessions, "interrupt", broken)
    await page.say({"type": "interrupt"})
    with pytest.raises(RuntimeError):
        await page.socket.wait(timeout=10)
    assert len(fanout.fanout()) == 0


async def test_while_the_database_is_away_she_is_told_so_and_the_page_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def database_away(*args: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(dialogue, "set_rate", database_away)
    token, _ = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    await page.say({"type": "setting", "rate": 0.8})
    error = await page.until("error")
    assert (error["code"], error["status"], error["retryable"]) == ("storage_unavailable", 503, True)
    assert await page.waiting("error") == []
    monkeypatch.setattr(signin, "check", database_away)
    again = Page(token, page.conversation)
    await again.socket.send_input({"type": "websocket.connect"})
    await again.say({"type": "hello", "token": token})
    assert (await again.until("error"))["code"] == "storage_unavailable"
    assert await again.until("nothing") == {"type": "closed", "code": consumers.CLOSE_NO_HELLO}
    await page.close()
    await again.close()


def failing(error: type[Exception], *, times: int, then: Any) -> Any:
    left = [error] * times

    def work(*args: Any, **kwargs: Any) -> Any:
        if left:
            raise left.pop()
        return then(*args, **kwargs)

    return work


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, KeyServiceUnavailable])
@pytest.mark.parametrize("where", ["before", "within", "after"])
async def test_a_turn_that_an_outage_cut_is_told_in_words_and_answered_when_it_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], where: str
) -> None:
    token, _ = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    await page.until("turn.ended")
    module: Any = {"before": dialogue, "within": directory, "after": dialogue}[where]
    name = {"before": "_load", "within": "find_hospitals", "after": "_store"}[where]
    monkeypatch.setattr(module, name, failing(error, times=1, then=getattr(module, name)))
    asked = {"type": "text", "id": "t1", "text": "我要挂省人民医院眼科的号"}
    await page.say(asked)
    told = await page.until("error")
    assert (told["status"], told["retryable"], told["turn"]) == (503, True, "t1")
    assert told["code"] == "storage_unavailable"
    assert (await page.until("say"))["text"] == Unavailable.detail
    await page.say(asked)
    assert (await page.until("turn.started"))["id"] == "t1"
    assert (await page.until("turn.ended"))["id"] == "t1"
    await page.close()


async def test_while_redis_is_away_she_is_told_so_and_may_say_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    token, _ = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    await page.until("turn.ended")
    monkeypatch.setattr(sessions, "interrupt", failing(RedisConnectionError, times=1, then=sessions.interrupt))
    asked = {"type": "text", "id": "t1", "text": "头痛"}
    await page.say(asked)
    told = await page.until("error")
    assert (told["code"], told["status"], told["turn"]) == ("storage_unavailable", 503, "t1")
    await page.say(asked)
    assert (await page.until("turn.ended"))["id"] == "t1"
    await page.close()


@pytest.mark.parametrize("text", ["\\ud83d", "\\u0000", "\\\\\\u0000", "头疼\\udc00了"])
def test_text_that_cannot_be_kept_is_no_text(text: str) -> None:
    with pytest.raises(BadFrame):
        bounded_socket.parse(f'{{"type": "text", "text": "{text}"}}', {"text"})


@pytest.mark.parametrize(("text", "read"), [("\\ud83d\\ude00", "😀"), ("\\\\u0000", "\\u0000"), ("头疼", "头疼")])
def test_whole_characters_are_read_however_they_are_written(text: str, read: str) -> None:
    assert bounded_socket.parse(f'{{"type": "text", "text": "{text}"}}', {"text"})["text"] == read
