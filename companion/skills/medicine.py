"""How to take what the doctor prescribed: the prescription's own words, then cautions with their source."""

import re
from collections.abc import AsyncIterator

from companion import knowledge
from companion.events import Event, Option, Say, ShowCard
from companion.ports import as_card
from companion.ports.encounter import MedicinesView, MedicineView
from companion.skills.health import answer_from_knowledge
from companion.skills.scene import Contract, Scene, no_visit

CONTRACT = Contract(
    name="medicine",
    intents=("medicine",),
    needs=("visit",),
    does=("current", "upcoming", "medicines", "next_step"),
    says="for each medicine the doctor's dosage word for word and the cautions; never a dose of its own",
)
_GENERAL = re.compile(
    r"副作用|忌|喝酒|酒|一起吃|同吃|冲突|间隔|忘|漏|过期|保存|放冰箱|孕|哺乳|小孩|儿童|能不能|可以.*吗|能.*吗|是什么药|治什么"
)
_CAUTIONS_SAID = 3


async def run(scene: Scene) -> AsyncIterator[Event]:
    visit = await scene.visit()
    sheet = await scene.port.medicines(visit.visit_id) if visit else MedicinesView()
    text = scene.understood.text
    named = [m for m in sheet.medicines if m.name in text or (len(m.name) > 3 and m.name[:3] in text)]
    if named:
        scene.memory.topic = named[0].name
    asked = _GENERAL.search(text) is not None
    outside = not named and knowledge.medicine(text) is not None
    if outside or (asked and (named or scene.memory.topic or len(sheet.medicines) == 1)):
        topic = "" if outside else (scene.memory.topic or sheet.medicines[0].name)
        async for event in answer_from_knowledge(scene, topic=topic):
            yield event
        return
    if visit is None:
        async for event in no_visit(scene):
            yield event
        return
    if not sheet.medicines:
        yield Say("医生现在还没有给您开药。开了我马上告诉您。")
        async for event in scene.next_events(visit.visit_id):
            yield event
        return
    chosen = named or list(sheet.medicines)
    if len(chosen) > 1:
        yield Say(f"一共{len(chosen)}种药,我一种一种讲。")
    for medicine in chosen:
        for said in told(medicine):
            yield said
    yield ShowCard("medicine", as_card(sheet) if not named else {"medicines": as_card(named), "pickup_place": ""})
    if sheet.pickup_place:
        yield Say(f"药在{sheet.pickup_place}取。")
        yield scene.ask("next", (Option("药房怎么走", "药房怎么走"), Option("再说一遍", "再说一遍")))
        return
    yield Say("用药后不舒服,请马上告诉医生或药师。")
    if scene.last and not sheet.reminding:
        yield Say("要我到点提醒您用药吗?")
        yield scene.ask("next", (Option("提醒我吃药", "提醒我吃药"), Option("不用了", "先不用")), then="提醒我吃药")
        return
    async for event in scene.next_events(visit.visit_id):
        yield event


def told(medicine: MedicineView) -> tuple[Say, ...]:
    """The doctor's words first; at most three cautions aloud, all of them on the card."""
    days = f",用{medicine.days}天" if medicine.days else ""
    extra = f"。{medicine.instructions.rstrip('。')}" if medicine.instructions else ""
    words = [Say(f"{medicine.name},医生写的用法是:{medicine.dosage}{days}{extra}。", sources=("医生处方",))]
    words += [
        Say(f"{caution.rstrip('。')}。", sources=(medicine.source,) if medicine.source else ())
        for caution in medicine.cautions[:_CAUTIONS_SAID]
    ]
    return tuple(words)
