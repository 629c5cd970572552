"""Who looked at her data or changed them, from the log that nobody can alter."""

from collections.abc import AsyncIterator

from companion.events import Event, Say, ShowCard
from companion.ports import as_card
from companion.skills.scene import Contract, Scene

CONTRACT = Contract(
    name="looked",
    intents=("who_looked",),
    actions=("who_looked",),
    does=("looks",),
    says="who looked at her data or changed them, and when: the service's own log, nothing guessed",
)
SHOWN = 30


async def run(scene: Scene) -> AsyncIterator[Event]:
    looks = await scene.port.looks()
    others = [look for look in looks if look.by not in ("resident", "unknown")]
    if not looks:
        yield Say("到现在为止,没有人看过或改过您的信息。")
        return
    yield ShowCard("looks", {"looks": as_card(looks[:SHOWN]), "more": len(looks) > SHOWN})
    if others:
        yield Say(f"最近的{len(looks)}次记录里,有{len(others)}次不是您自己办的,都在这里。")
    else:
        yield Say(f"最近的{len(looks)}次记录,都是您自己办事时留下的。")
    yield Say("觉得哪一次不对,请告诉我,我帮您转人工。")
