"""What is owed to an open page while Redis or the database is away comes when they are back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from redis import ConnectionError as RedisConnectionError

from avatar import sessions
from avatar.streams import client
from companion import confirming, dialogue, fanout, open_page, signin, visits
from companion.background import in_thread
from companion.consumers import CompanionConsumer
from companion.journey import OwnEvent
from companion.models import Visit
from hospitals.connectors.base import EventType, HospitalEvent, QueuePosition
from hospitals.exceptions import KeyServiceUnavailable
from tests.companion.test_consumers import Page, asleep, change

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_worker")]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before trying again."""
    monkeypatch.setattr(open_page, "AGAIN_AFTER_S", 0)


def failing_at_first(error: type[Exception], work: Callable[..., Any], times: int = 2) -> Callable[..., Any]:
    left = [error] * times

    def tried(*args: Any, **kwargs: Any) -> Any:
        if left:
            raise left.pop()
        return work(*args, **kwargs)

    return tried


def missed_event(visit: Visit) -> None:
    """It happens while Redis is away."""
    with pytest.MonkeyPatch.context() as away:
        away.setattr(visits, "_tell", lambda told: None)
        visits.own_event(visit.id, OwnEvent.BOOKED)


def changed_without_frame(visit: Visit) -> None:
    fanout.publish(visit.resident_id, {"visit": str(visit.id), "patient": str(visit.patient_id), "say": False})


async def written(visit: Visit) -> None:
    while not await confirming.written(visit.resident_id):
        await asyncio.sleep(0)


def called_to_the_room(visit: Visit) -> None:
    position = QueuePosition("71", 0, "71", "7-1-B-01", "眼科检查一区", "7号楼1楼B区", as_of=timezone.now())
    called = {"event_id": "e1", "type": EventType.ENCOUNTER_CALLED, "sequence": 1, "data": position}
    about = {"hospital_id": visit.hospital_id, "appointment_id": str(visit.id), "occurred_at": timezone.now()}
    visits.on_hospital_event(HospitalEvent(**called, **about))


async def test_what_was_missed_is_shown_although_the_database_came_back_later_than_redis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asleep() as (page, _who, visit):
        await in_thread(missed_event, visit)
        monkeypatch.setattr(signin, "check", failing_at_first(OperationalError, signin.check))
        fanout.fanout()._look_again()
        assert (await page.until("visit"))["number"] == 1


@pytest.mark.parametrize("error", [OperationalError, KeyServiceUnavailable])
async def test_what_changed_is_shown_when_it_can_be_read_again(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async with asleep() as (page, _who, visit):
        await in_thread(missed_event, visit)
        monkeypatch.setattr(dialogue, "visit_frame", failing_at_first(error, dialogue.visit_frame))
        await in_thread(changed_without_frame, visit)
        assert (await page.until("visit"))["number"] == 1


async def test_what_is_due_is_said_when_the_page_can_be_woken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asleep() as (page, _who, visit):
        monkeypatch.setattr(signin, "check", failing_at_first(OperationalError, signin.check))
        monkeypatch.setattr(sessions, "interrupt", failing_at_first(RedisConnectionError, sessions.interrupt))
        await in_thread(called_to_the_room, visit)
        assert "眼科检查一区" in (await page.until("say"))["text"]


@pytest.mark.parametrize("lost", ["the socket", "the process"])
async def test_what_a_page_took_with_it_when_it_went_is_said_on_the_next(
    monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    speaking, forever, emit = asyncio.Event(), asyncio.Event(), CompanionConsumer.emit

    async def never(*args: Any) -> None:
        speaking.set()
        await forever.wait()

    async with asleep() as (page, who, visit):
        monkeypatch.setattr(CompanionConsumer, "emit", never)
        await in_thread(called_to_the_room, visit)
        await asyncio.wait_for(speaking.wait(), 20)
        await page.close()
        monkeypatch.setattr(CompanionConsumer, "emit", emit)
        if lost == "the process":  # nobody let go of what it held
            await client().set(open_page.saying_key(who.resident_id), "of a process that died", ex=1)
        again = Page(page.token, page.conversation)
        await again.open()
        assert "眼科检查一区" in (await again.until("say"))["text"]
        await again.close()


async def test_what_could_not_be_said_to_its_end_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asleep() as (page, _who, visit):
        monkeypatch.setattr(sessions, "speak", failing_at_first(RedisConnectionError, sessions.speak))
        await in_thread(called_to_the_room, visit)
        assert "眼科检查一区" in (await page.until("say"))["text"]


async def test_of_two_open_pages_one_says_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    speaking, go_on, emit = asyncio.Event(), asyncio.Event(), CompanionConsumer.emit
    tried, looked = asyncio.Event(), 0
    alone = open_page.OpenPage._alone

    async def slowly(self: CompanionConsumer, event: Any) -> None:
        speaking.set()
        await go_on.wait()
        await emit(self, event)

    @contextlib.asynccontextmanager
    async def noted(self: CompanionConsumer) -> AsyncIterator[None]:
        nonlocal looked
        looked += 1
        if looked > 2:  # the other one has been at the door
            tried.set()
        async with alone(self):
            yield

    async with asleep() as (page, _who, visit):
        other = Page(page.token)
        await other.open()
        await other.until("turn.ended")
        monkeypatch.setattr(CompanionConsumer, "emit", slowly)
        monkeypatch.setattr(CompanionConsumer, "_alone", noted)
        await in_thread(called_to_the_room, visit)
        await asyncio.wait_for(speaking.wait(), 20)
        await asyncio.wait_for(tried.wait(), 20)
        go_on.set()
        await asyncio.wait_for(asyncio.shield(written(visit)), 20)
        said = await page.waiting("say") + await other.waiting("say")
        assert len([frame for frame in said if "眼科检查一区" in frame["text"]]) == 1
        await other.close()


async def test_a_fault_of_ours_is_not_met_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asleep() as (page, _who, visit):
        monkeypatch.setattr(dialogue, "visit_frame", failing_at_first(ValueError, dialogue.visit_frame, 1))
        await in_thread(changed_without_frame, visit)
        assert await page.waiting("visit") == []
        await in_thread(change, visit, 1)
        assert (await page.until("visit"))["number"] == 1
        assert await page.waiting("visit") == []
