"""When to come back, in the doctor's words, and an offer to book it."""

from collections.abc import AsyncIterator
from datetime import date

from companion.events import Event, Option, Say, ShowCard
from companion.ports import as_card
from companion.skills import phrases
from companion.skills.scene import Contract, Scene, no_visit

CONTRACT = Contract(
    name="follow_up",
    intents=("follow_up",),
    needs=("visit",),
    does=("current", "upcoming", "follow_up", "next_step"),
    says="the day and department of the follow-up, or that the doctor planned none",
)


async def run(scene: Scene) -> AsyncIterator[Event]:
    visit = await scene.visit()
    if visit is None:
        async for event in no_visit(scene):
            yield event
        return
    plan = await scene.port.follow_up(visit.visit_id)
    if plan is None:
        yield Say("医生还没有安排复诊。不舒服随时可以来,也可以问医生。")
        async for event in scene.next_events(visit.visit_id):
            yield event
        return
    due = date.fromisoformat(plan.due_on)
    yield Say(f"医生请您{phrases.day(due, scene.now.date())}到{plan.department}复诊。{plan.instruction}")
    yield ShowCard("follow_up", as_card(plan))
    yield Say("到时候我会提醒您。要现在约好吗?")
    scene.memory.departments = [plan.department]
    words = f"挂{due.month}月{due.day}号{plan.department}"
    yield scene.ask("offer", (Option("现在约", words), Option("到时候再说", "先不约")))
