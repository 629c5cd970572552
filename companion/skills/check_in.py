"""Checking in on the day: gets the ticket, or says that it is on its way."""

from collections.abc import AsyncIterator

from companion.events import Event, Option, Say, ShowCard
from companion.ports import as_card
from companion.skills import phrases
from companion.skills.scene import Contract, Scene

CONTRACT = Contract(
    name="check_in",
    intents=("check_in",),
    actions=("check_in",),
    needs=("visit",),
    does=("current", "upcoming", "check_in", "queue", "next_step"),
    says="the ticket number and where to wait; when the hospital has not answered yet, that it will be told",
)
_CHECKED_IN = frozenset({"checked_in", "waiting", "called", "missed"})
_BEFORE = frozenset({"triaged", "booked", "reminded", "arrived"})


async def run(scene: Scene) -> AsyncIterator[Event]:
    visit = await scene.visit()
    if visit is None or visit.status not in _CHECKED_IN | _BEFORE:
        yield Say("您现在没有要取的号。")
        yield Say("要我帮您挂号吗?")
        yield scene.ask("department", (Option("帮我挂号", "帮我挂号"),))
        return
    if visit.status in _CHECKED_IN:
        seen = await scene.port.queue(visit.visit_id)
        ticket = f",是{seen.ticket}号" if seen else ""
        yield Say(f"您已经取过号了{ticket}。")
    else:
        seen = await scene.port.check_in(visit_id=visit.visit_id, key=scene.key("check_in", visit.visit_id))
        if seen is None:
            yield Say(f"正在为您取{visit.hospital}{visit.department}的号。号一出来,我马上告诉您。")
            return
        yield Say(f"取号成功,您是{seen.ticket}号。", mood="smile")
    if seen is not None:
        yield Say(phrases.queue(seen))
        yield ShowCard("queue", as_card(seen))
    async for event in scene.next_events(visit.visit_id):
        yield event
