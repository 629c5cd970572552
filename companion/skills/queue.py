"""Where she stands in the queue, in the hospital's own last words."""

from collections.abc import AsyncIterator

from companion.events import Event, Option, Say, ShowCard
from companion.ports import as_card
from companion.skills import phrases
from companion.skills.scene import Contract, Scene, no_visit

CONTRACT = Contract(
    name="queue",
    intents=("queue",),
    needs=("visit",),
    does=("current", "upcoming", "queue", "next_step"),
    says="how many are ahead, which number is called, the place, an honest wait, and when the figure is old",
)


async def run(scene: Scene) -> AsyncIterator[Event]:
    visit = await scene.visit()
    if visit is None:
        async for event in no_visit(scene):
            yield event
        return
    seen = await scene.port.queue(visit.visit_id)
    if visit.status in ("triaged", "booked", "reminded", "arrived"):
        yield Say(f"您约的是{phrases.visit(visit, scene.now)},还没有取号。")
        yield Say("到了医院就可以取号。现在要取号吗?")
        option = Option("取号", "取号", {"kind": "check_in", "visit_id": visit.visit_id})
        yield scene.ask("next", (option, Option("怎么走", "怎么走")))
        return
    if seen is None or visit.status not in ("checked_in", "waiting", "called", "missed"):
        yield Say("您现在不用排队。")
    elif visit.status == "called":
        yield Say(f"{seen.ticket}号,轮到您了。请现在进{seen.place}{seen.room}。", urgent=True)
        yield ShowCard("queue", as_card(seen))
    elif visit.status == "missed":
        yield Say(f"您的{seen.ticket}号刚才过号了,不要着急。请到{seen.place}{seen.room}门口,告诉护士您过号了。")
        yield ShowCard("queue", as_card(seen))
    else:
        yield Say(phrases.queue(seen))
        yield ShowCard("queue", as_card(seen))
    async for event in scene.next_events(visit.visit_id):
        yield event
