"""A person to talk to, and complaints: both end with somebody who listens."""

from collections.abc import AsyncIterator

from companion.events import Event, Say, ShowCard
from companion.ports import as_card
from companion.skills.scene import Contract, Scene

CONTRACT = Contract(
    name="human",
    intents=("human", "complaint"),
    actions=("human",),
    does=("request_human", "report_incident"),
    says="the service desk's phone and hours and her place in its queue; a complaint is also put on record",
)


async def run(scene: Scene) -> AsyncIterator[Event]:
    if scene.wish.intent == "complaint":
        yield Say("让您不舒心了,真对不起。您的意见我已经记下,会有专人处理。", mood="concern")
        await scene.port.report_incident("complaint", ("complaint",))
    desk = await scene.port.request_human()
    place = f"前面还有{desk.queue_position - 1}位。" if desk.queue_position > 1 else "很快就有人来。"
    yield Say(f"已经帮您转人工,{place}")
    yield ShowCard("human", as_card(desk))
    yield Say(f"着急的话,可以直接打{desk.phone}。")
