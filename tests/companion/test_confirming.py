"""What is said unasked counts as told once the page confirms it: a phone in a lift hears it when it is out again."""

import asyncio
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from companion import confirming, fanout, initiative, visits
from companion.background import in_thread
from companion.consumers import CompanionConsumer
from companion.models import Visit, VisitPrompt
from hospitals.connectors.base import EventType, HospitalEvent, Invoice, InvoiceLine
from tests.companion.test_consumers import Page, asleep
from tests.companion.test_open_page import called_to_the_room, failing_at_first

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_worker")]
BILL = Invoice("i1", "检查费", (InvoiceLine("眼压检查", 5000),), 5000, 3000, 2000)


def billed(visit: Visit) -> None:
    """Something more happens meanwhile."""
    issued = {"event_id": "e2", "type": EventType.INVOICE_ISSUED, "sequence": 2, "data": BILL}
    about = {"hospital_id": visit.hospital_id, "appointment_id": str(visit.id), "occurred_at": timezone.now()}
    visits.on_hospital_event(HospitalEvent(**issued, **about))


async def unsaid(visit: Visit) -> set[str]:
    left = VisitPrompt.objects.filter(visit=visit, said_at=None, by_itself=True)
    return {name async for name in left.values_list("name", flat=True)}


async def said_on(page: Page) -> list[str]:
    """What it is told unasked, up to where it is asked to confirm it."""
    said = []
    while True:
        frame = await page.until("say", "told")
        if frame["type"] == "told":
            return said
        said.append(frame["text"])


async def back(page: Page) -> Page:
    """Out of the lift: the line is replaced, and nobody has told the server."""
    again = Page(page.token, page.conversation)
    await again.open()
    return again


def socket_of(visit: Visit) -> CompanionConsumer:
    (socket,) = fanout.fanout()._listeners[(fanout.PREFIX + visit.resident_id.hex).encode()]
    assert isinstance(socket, CompanionConsumer)
    return socket


async def test_it_is_told_when_the_page_confirms_it_and_nothing_of_it_is_kept() -> None:
    async with asleep() as (page, who, visit):
        await in_thread(called_to_the_room, visit)
        number = (await page.until("told"))["number"]
        assert await unsaid(visit) == {"called"}
        await page.say({"type": "heard", "number": number})
        assert await page.waiting("error") == []
        assert await unsaid(visit) == set()
        assert await confirming.written(who.resident_id) == {}
        assert socket_of(visit).unconfirmed is None
        again = await back(page)
        assert await again.waiting("say") == []
        await again.close()


async def test_what_was_lost_on_its_way_is_said_on_the_next_connection_once() -> None:
    async with asleep() as (page, who, visit):
        await in_thread(called_to_the_room, visit)
        await page.until("told")
        second = await back(page)
        assert "眼科检查一区" in (await second.until("say"))["text"]
        await asyncio.wait_for(all_told(visit), 20)
        third = await back(second)
        assert await third.waiting("say") == []
        assert await confirming.written(who.resident_id) == {}
        await second.close()
        await third.close()


async def all_told(visit: Visit) -> None:
    while await unsaid(visit):
        await asyncio.sleep(0)


async def test_a_page_that_confirms_nothing_is_not_told_again_while_it_is_open() -> None:
    async with asleep() as (page, _who, visit):
        await in_thread(called_to_the_room, visit)
        first = await said_on(page)
        await in_thread(billed, visit)
        then = await said_on(page)
        assert "眼科检查一区" in first[0]
        assert any("检查费" in text for text in then) and not any(text in then for text in first[:1])


async def test_another_page_that_was_open_then_is_not_told_it_too() -> None:
    async with asleep() as (page, _who, visit):
        other = Page(page.token)
        await other.open()
        await other.until("turn.ended")
        await in_thread(called_to_the_room, visit)
        await asyncio.wait_for(noted(visit), 20)
        await in_thread(billed, visit)
        await asyncio.wait_for(noted(visit, 2), 20)
        said = [frame["text"] for frame in await page.waiting("say") + await other.waiting("say")]
        assert len([text for text in said if "眼科检查一区" in text and "轮到您了" in text]) == 1
        await other.close()


async def noted(visit: Visit, things: int = 1) -> None:
    while len(await confirming.written(visit.resident_id)) < things:
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", [None, "7", -1, 1.5, True, [7], {"n": 7}, 2**31, 10**30])
async def test_a_number_that_is_none_is_refused(number: Any) -> None:
    async with asleep() as (page, _who, visit):
        await in_thread(called_to_the_room, visit)
        await page.until("told")
        await page.say({"type": "heard", "number": number})
        assert (await page.until("error"))["code"] == "bad_field"
        assert await unsaid(visit) == {"called"}


async def test_nobody_confirms_what_another_was_told() -> None:
    async with asleep("another") as (stranger, _, _), asleep() as (page, _who, visit):
        await in_thread(called_to_the_room, visit)
        number = (await page.until("told"))["number"]
        await stranger.say({"type": "heard", "number": number})
        assert await stranger.waiting("error") == [], "a number of an earlier connection is no fault"
        assert await unsaid(visit) == {"called"}


async def test_a_confirmation_that_the_database_could_not_take_is_no_fault_of_hers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asleep() as (page, _who, visit):
        await in_thread(called_to_the_room, visit)
        number = (await page.until("told"))["number"]
        monkeypatch.setattr(initiative, "told", failing_at_first(OperationalError, initiative.told, 1))
        await page.say({"type": "heard", "number": number})
        assert await page.waiting("error") == []
        again = await back(page)
        assert "眼科检查一区" in (await again.until("say"))["text"]
        await again.close()


async def test_a_page_keeps_only_so_much_of_what_it_does_not_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "AT_ONCE", 1)
    async with asleep() as (page, _who, visit):
        await in_thread(called_to_the_room, visit)
        await page.until("told")
        await in_thread(billed, visit)
        latest = (await page.until("told"))["number"]
        assert list(socket_of(visit).unconfirmed or {}) == [latest]
