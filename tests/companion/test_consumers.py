"""The socket: who hears what, how many pages and messages one resident may have, and what a page leaves behind."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.utils import timezone

from avatar import dispatch, streams
from companion import consumers, dialogue, fanout, signin
from companion.background import in_thread
from companion.consumers import CompanionConsumer
from companion.identity.base import Identity
from companion.models import Visit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def no_worker(monkeypatch: pytest.MonkeyPatch):
    """Nobody speaks; what a process keeps open is closed afterwards."""
    monkeypatch.setattr(dispatch, "_send", lambda u, attempt: None)
    yield
    await streams.close()


class Page:
    """A resident's open page, over the consumer itself."""

    def __init__(self, token: str, conversation: str | None = None) -> None:
        self.token, self.conversation = token, conversation
        scope = {"type": "websocket", "path": "/ws/companion/"}
        self.socket = ApplicationCommunicator(CompanionConsumer.as_asgi(), scope)
        self.closed: int | None = None

    async def open(self) -> dict[str, Any]:
        await self.socket.send_input({"type": "websocket.connect"})
        hello: dict[str, Any] = {"type": "hello", "token": self.token, "quietly": True}
        await self.say(hello | ({"conversation": self.conversation} if self.conversation else {}))
        ready = await self.until("ready")
        self.conversation = ready["conversation"]
        return ready

    async def say(self, frame: dict[str, Any]) -> None:
        await self.socket.send_input({"type": "websocket.receive", "text": json.dumps(frame)})

    async def until(self, kind: str) -> dict[str, Any]:
        """The next frame of this type, or what the server closed with."""
        while True:
            message = await self.socket.receive_output(timeout=20)
            if message["type"] == "websocket.close":
                self.closed = message["code"]
                return {"type": "closed", "code": message["code"]}
            if message.get("text"):
                frame: dict[str, Any] = json.loads(message["text"])
                if frame["type"] == kind:
                    return frame

    async def waiting(self, kind: str) -> list[dict[str, Any]]:
        """The frames of this type that came before the answer to a ping."""
        await self.say({"type": "ping"})
        found: list[dict[str, Any]] = []
        while True:
            message = await self.socket.receive_output(timeout=20)
            frame = json.loads(message["text"]) if message.get("text") else {}
            if frame.get("type") == "pong":
                return found
            if frame.get("type") == kind:
                found.append(frame)

    async def close(self) -> None:
        await self.socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.socket.wait(timeout=10)


def resident(name: str) -> tuple[str, signin.SignedIn]:
    return signin.open_session(Identity("development", "app", name))


def visit_of(who: signin.SignedIn, page: Page) -> Visit:
    patient = dialogue.open_session(who.resident_id, consumers._uuid(page.conversation)).patient_id
    at = {"hospital_id": who.resident_id, "hospital_name": "岚州市第一人民医院", "department": "眼科"}
    start = timezone.now() + timedelta(days=1)
    return Visit.objects.create(resident_id=who.resident_id, patient_id=patient, start=start, **at)


def change(visit: Visit, number: int) -> None:
    """What the commit of an event tells the pages."""
    frame: dict[str, Any] = {"visit": str(visit.id), "state": "queued", "card": None, "next": [], "number": number}
    changed = {"patient": str(visit.patient_id), "number": number, "say": False, "frame": frame}
    fanout.publish(visit.resident_id, {"visit": str(visit.id), **changed})


async def test_an_event_reaches_all_pages_of_its_resident_and_no_others() -> None:
    token, who = await in_thread(resident, "her")
    other, _ = await in_thread(resident, "another")
    first, second, stranger = Page(token), Page(token), Page(other)
    for page in (first, second, stranger):
        await page.open()
    visit = await in_thread(visit_of, who, first)
    await in_thread(change, visit, 1)
    assert (await first.until("visit"))["visit"] == str(visit.id)
    assert (await second.until("visit"))["visit"] == str(visit.id)
    assert await stranger.waiting("visit") == []
    for page in (first, second, stranger):
        await page.close()


async def test_an_event_that_a_newer_one_has_overtaken_is_not_shown() -> None:
    token, who = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    visit = await in_thread(visit_of, who, page)
    await in_thread(change, visit, 5)
    assert (await page.until("visit"))["number"] == 5
    await in_thread(change, visit, 4)
    await in_thread(change, visit, 6)
    assert (await page.until("visit"))["number"] == 6
    await page.close()


async def test_what_waits_to_be_said_is_said_although_a_newer_event_overtook_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page, prompted = CompanionConsumer(), []
    monkeypatch.setattr(page, "_prompt", lambda: prompted.append(True))
    monkeypatch.setattr(page, "_own", lambda refreshing: refreshing.close())
    for number, say in ((2, False), (1, True), (3, True), (4, False)):
        page.heard({"visit": "v", "patient": "p", "number": number, "say": say, "frame": {}})
    assert len(prompted) == 2
    assert page.changed["v"]["number"] == 4


async def test_a_page_that_takes_nothing_is_let_go_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "SEND_WITHIN_S", 0)
    monkeypatch.setattr(consumers, "CLOSE_WITHIN_S", 0)
    token, who = await in_thread(resident, "her")
    reads = Page(token)
    await reads.open()
    visit = await in_thread(visit_of, who, reads)

    deaf = CompanionConsumer()
    taken: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    await taken.put({"type": "websocket.connect"})
    blocked = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] != "websocket.accept":
            await blocked.wait()

    app = asyncio.ensure_future(deaf({"type": "websocket", "path": "/"}, taken.get, send))
    await taken.put({"type": "websocket.receive", "text": json.dumps({"type": "hello", "token": token})})
    await asyncio.wait_for(app, 20)  # it ends by itself, although nothing was ever read
    assert deaf.dropped and not deaf.owned
    await in_thread(change, visit, 1)
    assert (await reads.until("visit"))["number"] == 1
    await reads.close()


async def test_a_page_that_only_lost_its_line_goes_on_without_a_greeting() -> None:
    token, _ = await in_thread(resident, "her")
    page = Page(token)
    ready = await page.open()  # a new conversation begins with a greeting all the same
    assert ready["reconnect_within_ms"] == consumers.RECONNECT_WITHIN_MS
    await page.until("turn.ended")
    await page.close()
    again = Page(token, page.conversation)
    assert (await again.open())["conversation"] == page.conversation
    assert await again.waiting("turn.started") == []
    await again.close()


async def test_one_resident_has_so_many_pages_and_the_oldest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "SOCKETS_A_RESIDENT", 2)
    token, _ = await in_thread(resident, "her")
    pages = [Page(token) for _ in range(3)]
    for page in pages:
        await page.open()
    assert await pages[0].until("nothing") == {"type": "closed", "code": consumers.CLOSE_TOO_MANY_PAGES}
    assert len(fanout.fanout()) == 2
    for page in pages:
        await page.close()


async def test_a_page_that_sends_too_much_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MESSAGES_A_SECOND", 0)
    token, _ = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    for _ in range(consumers.MESSAGES_AT_ONCE):
        await page.say({"type": "ping"})
    assert await page.until("nothing") == {"type": "closed", "code": consumers.CLOSE_TOO_MANY_MESSAGES}
    await page.close()


async def test_a_page_that_goes_leaves_no_task_behind() -> None:
    token, _ = await in_thread(resident, "her")
    await in_thread(signin.verify, token)
    before = asyncio.all_tasks()
    page = Page(token)
    await page.open()
    await page.until("turn.ended")
    await page.close()
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert left == set() or {task.get_name() for task in left} <= {"speech-wakes"}
    assert len(fanout.fanout()) == 0
