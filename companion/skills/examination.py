"""The examinations the doctor ordered: where, how to prepare, what to pay before; and examinations in general."""

from collections.abc import AsyncIterator

from companion import knowledge
from companion.events import Event, Option, Say, ShowCard
from companion.ports import as_card
from companion.ports.encounter import ExaminationView
from companion.skills.health import answer_from_knowledge
from companion.skills.scene import Contract, Scene, no_visit

CONTRACT = Contract(
    name="examination",
    intents=("examination",),
    needs=("visit",),
    does=("current", "upcoming", "examinations", "invoices", "next_step"),
    says="each ordered examination with room and preparation; fasting is said first",
)


async def run(scene: Scene) -> AsyncIterator[Event]:
    visit = await scene.visit()
    found = await scene.port.examinations(visit.visit_id) if visit else ()
    named = [e for e in found if e.name in scene.understood.text or scene.understood.text[:2] in e.name]
    if not named and knowledge.examination(scene.wish.text) is not None:
        async for event in answer_from_knowledge(scene):
            yield event
        return
    if visit is None:
        async for event in no_visit(scene):
            yield event
        return
    open_ones = [e for e in named or found if e.status == "ordered"]
    if not open_ones:
        waiting = [e for e in found if e.status == "completed"]
        words = f"{waiting[0].name}已经做完,正在等报告。" if waiting else "医生现在没有给您开要做的检查。"
        yield Say(words)
    for exam in open_ones:
        for event in described(exam):
            yield event
    if open_ones:
        yield ShowCard("examination", {"examinations": as_card(open_ones)})
        bills = [b for b in await scene.port.invoices(visit.visit_id) if b.status == "issued"]
        if bills:
            yield Say(f"做检查前要先缴{bills[0].title}。")
            yield scene.ask("next", (Option("去缴费", "缴费"), Option("检查室怎么走", "检查室怎么走")))
            return
    async for event in scene.next_events(visit.visit_id):
        yield event


def described(exam: ExaminationView) -> tuple[Say, ...]:
    """Where it is, then how to prepare: one short sentence each."""
    words = [Say(f"{exam.name},在{exam.place}{exam.room}。")]
    if exam.fasting:
        words.append(Say("这项检查要空腹,检查前不要吃东西。"))
    if exam.preparation:
        words.append(Say(exam.preparation.rstrip("。") + "。"))
    return tuple(words)
