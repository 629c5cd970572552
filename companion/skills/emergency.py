"""When life is in danger: stop everything else, 120, what to do meanwhile, the nearest emergency department, an incident.

This module is also where the conversation meets companion.safety: what danger is in her words, what attack, and
whether a sentence may leave.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from companion import safety
from companion.events import Event, Option, Say, ShowCard
from companion.ports import as_card
from companion.safety import RedFlag
from companion.skills.scene import START, Contract, Scene

CONTRACT = Contract(
    name="emergency",
    intents=("emergency_call",),
    actions=("emergency",),
    does=("nearest_emergency", "report_incident", "request_human"),
    says="call 120 with one tap, what to do and what not, the nearest emergency departments; no booking is offered",
)
# The national psychological aid line (统一心理援助热线), opened in 2025 by the national health commission.
HOTLINE = "12356"


@dataclass(frozen=True, slots=True)
class Danger:
    """What is dangerous and what to do. ``codes``: ids for the record; ``level``: ambulance | emergency."""

    codes: tuple[str, ...]
    level: str
    title: str
    do: tuple[str, ...] = ()
    do_not: tuple[str, ...] = ()
    source: str = ""
    self_harm: bool = False


ASKED_FOR = Danger(
    codes=("asked_for",),
    level="ambulance",
    title="您要叫救护车",
    do=("说清楚在哪里、谁、怎么了", "手机保持畅通,按电话里的指导做", "门口留人接救护车"),
)


def of_flags(flags: Sequence[RedFlag]) -> Danger:
    """The gravest flag says what to do; all of them go on record. Care for somebody in despair goes before."""
    own_care = tuple(flag for flag in flags if safety.needs_own_care((flag,)))
    # 「想跳楼」 names a fall that has not happened; what was swallowed or bleeds has.
    bodily = [flag for flag in flags if flag not in own_care and flag.level == "ambulance" and flag.kind != "trauma"]
    bodily = bodily if own_care else list(flags)
    first = bodily[0] if bodily else own_care[0] if own_care else flags[0]
    return Danger(
        codes=tuple(flag.id for flag in flags),
        level=first.level,
        title=first.title,
        do=first.do,
        do_not=first.do_not,
        source=first.source,
        self_harm=bool(own_care) and not bodily,
    )


def look(text: str) -> Danger | None:
    """The danger in her words."""
    flags = safety.red_flags(text)
    return of_flags(flags) if flags else None


def injected(text: str) -> tuple[str, ...]:
    """Ids of the attempts to give this service orders through words."""
    return tuple(safety.injections(text))


def check(said: Say) -> safety.Verdict:
    return safety.check_reply(said.text, said.sources)


async def run(scene: Scene) -> AsyncIterator[Event]:
    async for event in respond(scene, ASKED_FOR):
        yield event


async def respond(scene: Scene, danger: Danger) -> AsyncIterator[Event]:
    """Stop what was going on, help, and tell the commission; nothing else is offered."""
    memory = scene.memory
    memory.expecting, memory.triage = {}, {}
    memory.forget_booking()
    memory.last_intent = "emergency_call"
    memory.last_understood |= {
        "intent": "emergency_call",
        "skill": "emergency",
        "urgency": danger.level,
        "red_flags": list(danger.codes),
    }
    await scene.port.report_incident("self_harm" if danger.self_harm else "emergency", danger.codes)
    async for event in _care(scene, danger) if danger.self_harm else _rescue(scene, danger):
        yield event


async def _rescue(scene: Scene, danger: Danger) -> AsyncIterator[Event]:
    if danger.level == "ambulance":
        yield Say(f"{danger.title}。请马上打120!", mood="concern", urgent=True)
    else:
        yield Say(f"{danger.title}。请现在就去最近的急诊,路上加重就打120。", mood="concern", urgent=True)
    nearest = await scene.port.nearest_emergency()
    yield _card(danger, danger.title, "120", as_card(nearest))
    sources = (danger.source,) if danger.source else ()
    for words in (*danger.do[:3], *danger.do_not[:1]):
        yield Say(f"{words.rstrip('。')}。", mood="concern", sources=sources, urgent=True)
    if nearest:
        yield Say(f"最近的急诊是{nearest[0].hospital}。", mood="concern", urgent=True)


async def _care(scene: Scene, danger: Danger) -> AsyncIterator[Event]:
    yield Say("听您这么说,我很担心。谢谢您告诉我。", mood="concern")
    yield _card(danger, "您不是一个人,现在就有人陪您", HOTLINE, [])
    yield Say(f"请现在就打{HOTLINE},有人会一直陪您说话。", mood="concern", urgent=True)
    desk = await scene.port.request_human()
    yield ShowCard("human", as_card(desk))
    yield Say("我也叫了人工来陪您。", mood="concern", urgent=True)
    yield Say("如果现在就有危险,请打120,让身边的人过来。", mood="concern", urgent=True)


def _card(danger: Danger, title: str, call: str, nearest: Any) -> ShowCard:
    return ShowCard(
        "emergency",
        {
            "title": title,
            "call": call,
            "do": list(danger.do),
            "do_not": list(danger.do_not),
            "nearest": nearest,
            "kind": danger.codes[0],
        },
    )


async def decline(scene: Scene, attack: tuple[str, ...]) -> AsyncIterator[Event]:
    """Words that try to give orders change nothing; she still gets help with her visit."""
    await scene.port.report_incident("injection", attack)
    yield Say("这个我不能照办。看病的事,我可以帮您。")
    yield scene.ask("next", (*START[:2], Option("转人工", "转人工")))
