"""Talk that is not about the visit: greetings, thanks, who she is talking to, what can be done here, and not knowing."""

from collections.abc import AsyncIterator

from companion.events import Event, Option, Say
from companion.skills import news
from companion.skills.scene import START, Contract, Scene

CONTRACT = Contract(
    name="talk",
    intents=("greeting", "thanks", "goodbye", "small_talk", "who_are_you", "help", "yes", "no", "choose", "unknown"),
    actions=("open", "resume"),
    does=("current", "upcoming", "news", "next_step"),
    says="a short friendly word and the way back to what can be done; that it is an AI; that it did not understand",
)
NAME = "小岚"
_OVER = ("consulted", "follow_up", "closed")  # a notice of the hospital's is of no more use
CAN_DO = "我能帮您看挂什么科、挂号、取号、查排队、带路、缴费、看报告、讲药怎么用。"
_STILL = {"yes": "好的。", "no": "好的,先不办。", "choose": "您说的是哪一个?"}


async def run(scene: Scene) -> AsyncIterator[Event]:
    intent = scene.kind or scene.wish.intent
    if intent in ("open", "resume"):
        async for event in opening(scene, resumed=intent == "resume"):
            yield event
        return
    match intent:
        case "greeting":
            yield Say(f"您好,我是{NAME}。哪里不舒服,或者想办什么,直接告诉我。", mood="smile")
        case "thanks":
            yield Say("不客气。", mood="smile")
        case "goodbye":
            yield Say("好的,您慢走。有不舒服随时叫我。", mood="smile")
            return
        case "who_are_you":
            yield Say(f"我是{NAME},一个AI健康助手,不是真人,也不是医生。", mood="smile")
            yield Say("我说的话不能代替医生。需要真人,我马上帮您转。")
        case "help":
            yield Say(CAN_DO)
        case "small_talk":
            yield Say("我陪您说说话也高兴,不过我最会的是看病的事。", mood="smile")
        case "yes" | "no" | "choose":
            yield Say(_STILL[intent])
        case _:
            async for event in not_understood(scene):
                yield event
            return
    async for event in back_to_business(scene):
        yield event


async def opening(scene: Scene, *, resumed: bool) -> AsyncIterator[Event]:
    """The first words: who speaks, that it is an AI, and where the visit stands."""
    name = scene.resident.name
    if resumed:
        yield Say(f"{name},您回来了。我是AI助手{NAME},我们接着来。", mood="smile")
    else:
        yield Say(f"{name}您好,我是{NAME},一个AI健康助手,不是医生。", mood="smile")
        yield Say("哪里不舒服,或者想办什么,直接告诉我。")
    visit = await scene.port.current()
    if visit is not None:
        if scene.patient.relation != "本人":
            yield Say(f"现在是在为{scene.patient.name}办理。")
        if visit.status not in _OVER and not resumed:
            for said in await news.about(scene, visit):
                yield said
        async for event in scene.next_events(visit.visit_id):
            yield event
        return
    yield scene.ask("next", START)


async def back_to_business(scene: Scene) -> AsyncIterator[Event]:
    """What was going on before the small talk: the open question again, or the next step."""
    open_question = scene.expecting.get("words")
    if open_question and scene.expecting.get("name") not in ("next", "offer"):
        scene.memory.expecting = dict(scene.expecting)
        yield Say(str(open_question))
        return
    visit = await scene.port.current()
    if visit is not None:
        async for event in scene.next_events(visit.visit_id):
            yield event
    elif scene.last:
        yield scene.ask("next", START)


async def not_understood(scene: Scene) -> AsyncIterator[Event]:
    """Honest, and never a dead end."""
    misses = int(scene.expecting.get("misses", 0)) + 1
    if misses >= 2:
        yield Say("我还是没有听懂,真对不起。要不要让人工来帮您?")
        yield scene.ask("next", (Option("转人工", "转人工"), *START[:2]), misses=misses)
        return
    yield Say("这句话我没有听懂。")
    yield Say("您可以换个说法,或者点下面的按钮。")
    yield scene.ask("next", START, misses=misses)
