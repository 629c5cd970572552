"""The waiting list (候补): to wait for a place where all are gone, to hear how many are before her, to wait no longer."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import date, timedelta
from typing import Any

from companion.events import Event, Option, Say, ShowCard
from companion.ports import as_card
from companion.ports.people import InLineView
from companion.skills.scene import Contract, Scene
from companion.understanding import When

CONTRACT = Contract(
    name="waiting_list",
    intents=("waiting_list",),
    actions=("wait", "leave_line"),
    expects=("wait",),
    does=("lines", "wait", "waiting", "leave_line", "next_step"),
    says="where she waits and her place in the line; a place that comes free is held for her and she is told",
)
DAYS = 14
_LEAVE = re.compile(r"退出|取消|不(?:想|要|用)?(?:再)?(?:候补|等|排)|别(?:再)?(?:候补|等|排)")


async def run(scene: Scene) -> AsyncIterator[Event]:
    if scene.kind == "wait":
        events = wait(scene, scene.action)
    elif scene.answers("wait"):
        events = wait(scene, scene.expecting.get("line", {})) if scene.understood.answer == "yes" else refused(scene)
    elif scene.kind == "leave_line" or _LEAVE.search(scene.understood.text):
        events = leave(scene)
    else:
        events = where(scene)
    async for event in events:
        yield event


async def offers(scene: Scene, when: When | None) -> tuple[Option, ...]:
    """Buttons to wait where everything she asked for is gone; none where there is no line to stand in."""
    memory = scene.memory
    start, end = when.window(scene.now) if when else (scene.now, scene.now + timedelta(days=DAYS))
    lines = await scene.port.lines(
        departments=tuple(memory.departments),
        start=start,
        end=end - timedelta(seconds=1),  # the end is excluded: it must not name the day after
        hospital_id=memory.hospital_id,
        practitioner=memory.practitioner,
    )
    return tuple(
        Option(f"候补{line.hospital}{line.practitioner or line.department}", "", {"kind": "wait", **as_card(line)})
        for line in lines[:2]
    )


async def refused(scene: Scene) -> AsyncIterator[Event]:
    yield Say("好的,先不候补。您想换个科室吗?哪里不舒服也可以告诉我。")
    yield scene.ask("department")


async def wait(scene: Scene, line: Mapping[str, Any]) -> AsyncIterator[Event]:
    made = await scene.port.wait(line)
    yield Say(f"好了,给{scene.patient.name}候补上了{_which(made)},{_days(made)}都行。")
    yield Say(
        f"前面还有{made.place - 1}位。有人退号就给您留着,我马上告诉您。"
        if made.place > 1
        else "您排在第一位。有人退号就给您留着,我马上告诉您。"
    )
    yield await _card(scene)


async def where(scene: Scene) -> AsyncIterator[Event]:
    mine = await scene.port.waiting()
    if not mine:
        yield Say("现在没有在候补。号约满的时候,我会问您要不要候补。")
        async for event in scene.next_events(None):
            yield event
        return
    yield await _card(scene)
    for one in mine[:3]:
        if one.offered:
            yield Say(f"{_which(one)}有号了,正给您留着。")
        else:
            yield Say(f"{_which(one)},您排在第{one.place}位。")


async def leave(scene: Scene) -> AsyncIterator[Event]:
    mine = await scene.port.waiting()
    wanted = scene.action.get("entry_id")
    chosen = [one for one in mine if one.entry_id == wanted] if wanted else list(mine)
    if not chosen:
        yield Say("没有找到这个候补,可能已经结束了。" if wanted else "现在没有在候补。")
        return
    if len(chosen) > 1:
        yield await _card(scene)
        yield Say("要退出哪一个?请点卡片上的「不候补了」。")
        return
    await scene.port.leave_line(chosen[0].entry_id)
    yield Say(f"好了,不再候补{_which(chosen[0])}了。")
    if len(mine) > 1:
        yield await _card(scene)


async def _card(scene: Scene) -> ShowCard:
    return ShowCard("waiting", {"waiting": as_card(await scene.port.waiting())})


def _which(one: InLineView) -> str:
    return f"{one.hospital}{one.department}{one.practitioner}{'医生' if one.practitioner else ''}的号"


def _days(one: InLineView) -> str:
    def say(day: date) -> str:
        return f"{day.month}月{day.day}日"

    return say(one.first_day) if one.first_day == one.last_day else f"{say(one.first_day)}到{say(one.last_day)}"
