"""The socket: who hears what, how many pages and messages one resident may have, and what a page leaves behind."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.testing import ApplicationCommunicator
from django.utils import timezone
from redis import ConnectionError as RedisConnectionError

from avatar import sessions
from companion import bounded_socket, consumers, dialogue, fanout, open_page, signin, visits
from companion.background import in_thread
from companion.consumers import CompanionConsumer
from companion.identity.base import Identity
from companion.journey import OwnEvent
from companion.models import Visit
from hospitals.connectors.base import EventType, HospitalEvent, QueuePosition

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_worker")]


class Page:
    """A resident's open page, over the consumer itself."""

    def __init__(self, token: str, conversation: str | None = None) -> None:
        self.token, self.conversation = token, conversation
        scope = {"type": "websocket", "path": "/ws/companion/"}
        self.socket = ApplicationCommunicator(CompanionConsumer.as_asgi(), scope)
        self.closed: int | None = None

    async def open(self, **showing: Any) -> dict[str, Any]:
        await self.socket.send_input({"type": "websocket.connect"})
        hello: dict[str, Any] = {"type": "hello", "token": self.token, "quietly": True} | showing
        await self.say(hello | ({"conversation": self.conversation} if self.conversation else {}))
        ready = await self.until("ready")
        self.conversation = ready["conversation"]
        return ready

    async def say(self, frame: dict[str, Any]) -> None:
        await self.socket.send_input({"type": "websocket.receive", "text": json.dumps(frame)})

    async def until(self, *kinds: str) -> dict[str, Any]:
        """The next frame of one of these types, or what the server closed with."""
        while True:
            message = await self.socket.receive_output(timeout=20)
            if message["type"] == "websocket.close":
                self.closed = message["code"]
                return {"type": "closed", "code": message["code"]}
            if message.get("text"):
                frame: dict[str, Any] = json.loads(message["text"])
                if frame["type"] in kinds:
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
    page.claims = signin.Claims(uuid4(), uuid4())
    monkeypatch.setattr(page, "catch_up", lambda: prompted.append(page.to_say))
    for number, say in ((2, False), (1, True), (3, True), (4, False)):
        page.to_say = False
        page.heard({"visit": "v", "patient": "p", "number": number, "say": say, "frame": {}})
    assert prompted == [False, True, True, False]
    assert page.changed["v"]["number"] == 4


async def test_a_page_that_takes_nothing_is_let_go_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_socket, "SEND_WITHIN_S", 0)
    monkeypatch.setattr(bounded_socket, "CLOSE_WITHIN_S", 0)
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
    assert await pages[0].until("nothing") == {"type": "closed", "code": open_page.CLOSE_TOO_MANY_PAGES}
    assert len(fanout.fanout()) == 2
    for page in pages:
        await page.close()


async def test_a_page_that_sends_too_much_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_socket, "MESSAGES_A_SECOND", 0)
    token, _ = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    for _ in range(bounded_socket.MESSAGES_AT_ONCE):
        await page.say({"type": "ping"})
    assert await page.until("nothing") == {"type": "closed", "code": consumers.CLOSE_TOO_MANY_MESSAGES}
    await page.close()


@pytest.mark.parametrize("redis_is", ["there", "away"])
async def test_a_page_that_goes_leaves_no_task_behind(monkeypatch: pytest.MonkeyPatch, redis_is: str) -> None:
    async def away(*args: Any, **kwargs: Any) -> int:
        raise RedisConnectionError

    token, _ = await in_thread(resident, "her")
    await in_thread(signin.verify, token)
    before = asyncio.all_tasks()
    page = Page(token)
    await page.open()
    await page.until("turn.ended")
    if redis_is == "away":
        monkeypatch.setattr(sessions, "interrupt", away)
    await page.close()
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert left == set() or {task.get_name() for task in left} <= {"speech-wakes"}
    assert len(fanout.fanout()) == 0


async def test_a_turn_that_she_interrupts_while_it_speaks_is_on_record_before_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token, _ = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    await page.until("turn.ended")
    speaking, happened, stored, interrupted = asyncio.Event(), [], dialogue._store, sessions.interrupt

    def store(*args: Any) -> None:
        stored(*args)
        happened.append("on record")

    async def interrupt(*args: Any, **kwargs: Any) -> int:
        happened.append("next")
        return await interrupted(*args, **kwargs)

    async def emit(*args: Any) -> None:
        speaking.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(CompanionConsumer, "emit", emit)
    await page.say({"type": "text", "id": "1", "text": "头痛"})
    await asyncio.wait_for(speaking.wait(), 20)
    await page.until("turn.started")
    monkeypatch.setattr(dialogue, "_store", store)
    monkeypatch.setattr(sessions, "interrupt", interrupt)
    await page.say({"type": "interrupt"})
    await page.until("flush")
    assert happened == ["on record", "next"]
    await page.close()


# --- asleep -----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def asleep(name: str = "her") -> AsyncIterator[tuple[Page, signin.SignedIn, Visit]]:
    """A page that has come back and shows what is so."""
    token, who = await in_thread(resident, name)
    first = Page(token)
    await first.open()
    await first.until("turn.ended")
    visit = await in_thread(visit_of, who, first)
    await first.close()
    again = Page(token, first.conversation)
    ready = await again.open(patient=str(visit.patient_id), visit={"id": str(visit.id), "number": 0})
    assert ready == {
        "type": "ready",
        "as_before": True,
        "conversation": first.conversation,
        "reconnect_within_ms": consumers.RECONNECT_WITHIN_MS,
    }
    yield again, who, visit
    await again.close()


def sessions_opened(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    opened: list[UUID] = []
    real = dialogue.open_session

    def noted(resident_id: UUID, *args: Any, **kwargs: Any) -> dialogue.Session:
        opened.append(resident_id)
        return real(resident_id, *args, **kwargs)

    monkeypatch.setattr(dialogue, "open_session", noted)
    return opened


async def test_a_page_that_shows_what_is_so_sleeps_and_still_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asleep() as (page, _who, visit):
        opened = sessions_opened(monkeypatch)
        await page.say({"type": "interrupt"})
        await in_thread(change, visit, 1)
        assert (await page.until("visit"))["number"] == 1
        assert opened == []


async def test_a_page_that_sleeps_wakes_when_it_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asleep() as (page, who, _visit):
        opened = sessions_opened(monkeypatch)
        await page.say({"type": "text", "id": "1", "text": "头痛"})
        assert (await page.until("turn.started"))["id"] == "1"
        await page.until("turn.ended")
        assert opened == [who.resident_id]


async def test_a_page_that_sleeps_wakes_when_something_is_to_be_said() -> None:
    async with asleep() as (page, _who, visit):
        position = QueuePosition("71", 0, "71", "7-1-B-01", "眼科检查一区", "7号楼1楼B区", as_of=timezone.now())
        called = {"event_id": "e1", "type": EventType.ENCOUNTER_CALLED, "sequence": 1, "data": position}
        about = {"hospital_id": visit.hospital_id, "appointment_id": str(visit.id), "occurred_at": timezone.now()}
        await in_thread(visits.on_hospital_event, HospitalEvent(**called, **about))
        assert "眼科检查一区" in (await page.until("say"))["text"]


async def test_a_page_on_which_nothing_is_said_any_more_falls_asleep_and_can_be_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_page, "SLEEP_AFTER_S", 0.02)
    monkeypatch.setattr("avatar.feed.FALLBACK_S", 0)  # nobody speaks: the text takes over at once
    token, who = await in_thread(resident, "her")
    page = Page(token)
    await page.open()
    await page.until("turn.ended")
    (socket,) = fanout.fanout()._listeners[(fanout.PREFIX + who.resident_id.hex).encode()]
    assert isinstance(socket, CompanionConsumer)
    async with asyncio.timeout(20):
        while socket.session is not None:
            await asyncio.sleep(0.01)
    opened = sessions_opened(monkeypatch)
    await page.say({"type": "text", "id": "1", "text": "头痛"})
    await page.until("turn.ended")
    assert opened == [who.resident_id]
    await page.close()


@pytest.mark.parametrize("asleep_then", [True, False])
async def test_a_page_is_closed_when_its_sign_in_ends(asleep_then: bool) -> None:
    async with asleep() as (page, who, _visit):
        if not asleep_then:
            await page.say({"type": "text", "id": "1", "text": "头痛"})
            await page.until("turn.ended")
        await in_thread(signin.revoke, who.session_id)
        error = await page.until("error")
        assert (error["code"], error["status"]) == ("token_revoked", 401)
        assert await page.until("nothing") == {"type": "closed", "code": open_page.CLOSE_NOT_SIGNED_IN}


async def test_all_pages_of_a_resident_who_is_erased_are_closed_and_no_others() -> None:
    async with asleep("another") as (stranger, _, _), asleep() as (page, who, _visit):
        await in_thread(signin.forget, who.resident_id)
        assert await page.until("nothing") == {"type": "closed", "code": open_page.CLOSE_NOT_SIGNED_IN}
        assert await stranger.waiting("error") == []


async def test_a_page_that_comes_back_after_the_hospital_moved_on_is_shown_the_visit_as_it_is() -> None:
    async with asleep() as (page, _who, visit):
        await in_thread(visits.own_event, visit.id, OwnEvent.BOOKED)
        await page.close()
        again = Page(page.token, page.conversation)
        ready = await again.open(patient=str(visit.patient_id), visit={"id": str(visit.id), "number": 0})
        assert "as_before" not in ready
        assert (ready["visit"]["visit"], ready["visit"]["number"]) == (str(visit.id), 1)
        assert await again.waiting("turn.started") == []
        await again.close()


async def test_the_older_socket_of_a_page_that_came_back_is_closed() -> None:
    async with asleep() as (page, _who, visit):
        again = Page(page.token, page.conversation)
        ready = await again.open(patient=str(visit.patient_id), visit={"id": str(visit.id), "number": 0})
        assert ready["as_before"]
        assert await page.until("nothing") == {"type": "closed", "code": open_page.CLOSE_ELSEWHERE}
        assert await again.waiting("nothing") == []
        await again.close()


async def test_what_was_missed_while_redis_was_away_is_shown_when_it_is_back() -> None:
    async with asleep() as (page, who, visit):
        monkey = pytest.MonkeyPatch()
        with monkey.context() as away:
            away.setattr(visits, "_tell", lambda told: None)
            await in_thread(visits.own_event, visit.id, OwnEvent.BOOKED)
        fanout.fanout()._look_again()
        assert (await page.until("visit"))["number"] == 1
        with monkey.context() as away:
            away.setattr(signin, "_close_pages", lambda *args: None)
            await in_thread(signin.revoke, who.session_id)
        fanout.fanout()._look_again()
        assert (await page.until("error"))["code"] == "token_revoked"
