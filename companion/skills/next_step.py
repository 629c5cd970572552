"""What to do next, and how far the whole visit is."""

from collections.abc import AsyncIterator

from companion.events import Event, Say, ShowCard
from companion.ports import as_card
from companion.skills.scene import Contract, Scene, no_visit

CONTRACT = Contract(
    name="next_step",
    intents=("next_step",),
    needs=("visit",),
    does=("current", "upcoming", "progress", "next_step"),
    says="the one thing to do now, with the whole visit as a list",
)


async def run(scene: Scene) -> AsyncIterator[Event]:
    visit = await scene.visit()
    if visit is None:
        async for event in no_visit(scene):
            yield event
        return
    steps = await scene.port.progress(visit.visit_id)
    if steps:
        yield ShowCard("journey", {"steps": as_card(steps)})
    waiting = [s.text for s in steps if s.state == "now" and s.text]  # the main line is no further thing to do
    if len(waiting) > 1:
        yield Say(f"现在有{len(waiting)}件事:{'、'.join(waiting)}。一件一件来。")
    async for event in scene.next_events(visit.visit_id):
        yield event
