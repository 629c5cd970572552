"""What a hospital tells everybody: its notices, and when it is open."""

from collections.abc import AsyncIterator

from companion.events import Event, Say
from companion.ports.booking import HospitalNews, VisitView
from companion.skills.scene import Contract, Scene, no_visit

CONTRACT = Contract(
    name="news",
    intents=("hospital_notices", "opening_hours"),
    does=("current", "upcoming", "news", "next_step"),
    says="the hospital's own notices of now and its own words on when it is open; or that it has told nothing",
)
SAID = 3  # notices in one turn


async def run(scene: Scene) -> AsyncIterator[Event]:
    named = scene.understood.slots.hospitals
    visit = None if named else await scene.visit()
    hospital_id = named[0].hospital_id if named else visit.hospital_id if visit else scene.memory.hospital_id
    if not hospital_id:
        async for event in no_visit(scene):
            yield event
        return
    news = await scene.port.news(hospital_id)
    if scene.wish.intent == "opening_hours":
        if news.opening_hours:
            yield Say(f"{news.hospital}的门诊时间是{news.opening_hours}。")
        else:
            phone = f"您可以打{news.phone}问一问。" if news.phone else ""
            yield Say(f"{news.hospital}没有告诉我门诊时间。{phone}")
        for said in notices(news):
            yield said
    elif news.notices:
        for said in notices(news):
            yield said
    else:
        yield Say(f"{news.hospital}现在没有通知。")
    if visit is not None:
        async for event in scene.next_events(visit.visit_id):
            yield event


def notices(news: HospitalNews) -> list[Say]:
    """In the hospital's own words."""
    return [Say(f"{news.hospital}通知:{text.rstrip('。')}。") for text in news.notices[:SAID]]


async def about(scene: Scene, visit: VisitView) -> list[Say]:
    """What the hospital of her visit tells everybody now, for when she opens the page."""
    return notices(await scene.port.news(visit.hospital_id))
