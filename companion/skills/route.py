"""The way through the building: from where she says she is to where she has to go."""

import re
from collections.abc import AsyncIterator

from companion.events import Event, Option, Say, ShowCard
from companion.exceptions import CompanionError
from companion.ports import as_card
from companion.ports.booking import VisitView
from companion.ports.wayfinding import RouteView
from companion.skills.scene import Contract, Scene, no_visit

CONTRACT = Contract(
    name="route",
    intents=("route",),
    actions=("route", "scan"),
    expects=("start",),
    needs=("visit", "start"),
    asks={"start": "您现在在哪儿?可以点一个入口,或者扫门口的码。"},
    does=("current", "upcoming", "next_step", "starts", "find_place", "scanned", "route"),
    says="each turn in order, how far and how long, drawn on the floor plan; by lift only or out of the rain when she asks",
)
_SPOKEN_STEPS = 4
_WORTH_A_ROOF_M = 5.0  # less than this is only a step out of a door
_GOAL_NOISE = re.compile(
    r"(?:请问|怎么走|怎么去|怎么到|怎么过去|咋走|咋去|点去|点走|如何去|在哪(?:里|儿|边|块)?|哪里|哪儿|几楼|在几层|带我去|领我去|我要去|我想去|想去|去|到|往|"
    r"(?:只|要|想|能|可以)?(?:走|坐|乘)(?:电梯|轮椅)|路线|导航|告诉我|一下|有没有|有|啊|呀|呢|吗|了|的|最近|这个|那个|[,。?!])"
)


async def run(scene: Scene) -> AsyncIterator[Event]:
    memory = scene.memory
    visit = await scene.visit()
    if visit is None:
        yield Say("要先知道您去哪家医院,我才能带路。")
        async for event in no_visit(scene):
            yield event
        return
    if memory.place and memory.place.get("visit_id") != visit.visit_id:
        memory.place = {}
    if memory.goal and memory.goal.get("visit_id") != visit.visit_id:
        memory.goal = {}
    if scene.kind == "scan":
        found = await scene.port.scanned(visit.visit_id, str(scene.action.get("code", "")))
        memory.place = {"visit_id": visit.visit_id, "code": found.code, "name": found.name}
        yield Say(f"您在{found.name}{'门口' if found.kind == 'door' else ''}。")
    answered = scene.answers("start") and await _start_from_words(scene, visit)
    if not answered and not await _goal(scene, visit):
        yield Say("这个地方我在医院地图上没有找到。您可以问一下服务台,或者换个说法。")
        return
    memory.lift_only = bool(scene.action.get("lift_only", memory.lift_only or scene.understood.slots.lift_only))
    memory.covered = bool(scene.action.get("covered", memory.covered or scene.understood.slots.covered))
    if not memory.place.get("code"):
        if scene.answers("start") and scene.understood.text:
            yield Say("这个入口我没有找到。")
        yield Say(CONTRACT.asks["start"])
        starts = await scene.port.starts(visit.visit_id)
        goal = memory.goal["code"]
        options = tuple(Option(p.name, "", {"kind": "route", "start": p.code, "goal": goal}) for p in starts[:5])
        yield scene.ask("start", options)
        return
    async for event in _walk(scene, visit):
        yield event


async def _start_from_words(scene: Scene, visit: VisitView) -> bool:
    """Her answer to where she is, as a place on the map."""
    found = await scene.port.find_place(visit.visit_id, scene.understood.text)
    if found is None or not scene.memory.goal:
        return False
    scene.memory.place = {"visit_id": visit.visit_id, "code": found.code, "name": found.name}
    return True


async def _goal(scene: Scene, visit: VisitView) -> bool:
    """Settle where to go: the action's room, a place she names, the next step's room. False: a name nobody knows."""
    memory, action = scene.memory, scene.action
    start = str(action.get("start") or "")
    if start:
        memory.place = {"visit_id": visit.visit_id, "code": start, "name": ""}
    goal = str(action.get("goal") or "")
    if goal:
        memory.goal = {"visit_id": visit.visit_id, "code": goal, "name": ""}
        return True
    if action and memory.goal:
        return True
    slots = scene.understood.slots
    if (slots.lift_only or slots.covered) and memory.goal and "怎么" not in scene.wish.text:
        return True
    named = _GOAL_NOISE.sub("", scene.wish.text) if not action else ""
    named = re.sub(
        r"走不动|腿脚不好|腿疼|外面|(?:正在|又)?下大?[雨雪]|[不别怕]?(?:想|用|会)?淋(?:着|到)?雨|没带伞|我|取号|然后|另外|顺便",
        "",
        named,
    )
    if len(named) >= 2:
        found = await scene.port.find_place(visit.visit_id, named)
        if found is not None:
            memory.goal = {"visit_id": visit.visit_id, "code": found.code, "name": found.name}
            return True
        if re.search(r"室|科|房|处|厅|楼|口|厕|间|窗|梯|堂|台|院|机", named):
            return False
    step = await scene.port.next_step(visit.visit_id)
    code = step.room_code or visit.room_code
    memory.goal = {"visit_id": visit.visit_id, "code": code, "name": ""}
    return bool(code)


async def _walk(scene: Scene, visit: VisitView) -> AsyncIterator[Event]:
    memory = scene.memory
    try:
        way = await scene.port.route(
            visit_id=visit.visit_id,
            start=memory.place["code"],
            goal=memory.goal["code"],
            lift_only=memory.lift_only,
            covered=memory.covered,
        )
    except CompanionError:
        memory.place = {}  # where she starts is asked again: from another door there may be a way
        raise
    yield Say(f"去{way.goal_name}大约{way.minutes}分钟{_manner(way)}。")
    if way.notice:
        yield Say(way.notice)
    for n, step in enumerate(way.steps[:_SPOKEN_STEPS]):
        lead = "先" if n == 0 else "再" if n < len(way.steps) - 1 else "最后"
        yield Say(f"{lead}{step.text.rstrip('。')}。")
    if len(way.steps) > _SPOKEN_STEPS:
        yield Say("后面几步写在图上,走到了再问我。")
    yield ShowCard("route", as_card(way))
    again = {"kind": "route", "start": way.start, "goal": way.goal}
    others = []
    if not way.lift_only:
        others.append(Option("只走电梯", "", again | {"lift_only": True}))
    if not way.covered and way.uncovered_m >= _WORTH_A_ROOF_M:
        others.append(Option("不淋雨", "", again | {"covered": True}))
    if others:
        yield scene.ask("next", (*others, Option("我排到哪了", "我排到哪了")))


def _manner(way: RouteView) -> str:
    """,只走电梯,全程不淋雨"""
    dry = "全程不淋雨" if way.uncovered_m < 1 else f"有{round(way.uncovered_m)}米露天"
    return "".join(f",{word}" for word in ("只走电梯" if way.lift_only else "", dry if way.covered else "") if word)
