"""Sentences that skills really say, changed in one fact each: every change is refused, and harmless ones pass."""

import re
from collections.abc import Iterator

import pytest

from companion.events import Say
from companion.fluency import Fluency
from companion.llm.faithful import unfaithful
from companion.llm.gateway import Gateway
from companion.safety import check_reply
from tests.companion.talking import Talk
from tests.companion.test_llm import Purse
from tests.companion.world import DOCTORS, HOSPITALS, NOW, PEOPLE

SENTENCES = (
    "我要挂眼科明天上午", "看看还有哪些号", "前面还有几个人", "检验科怎么走", "缴费", "好的", "检查怎么准备", "我约了什么", "下一步做什么",
    "什么时候复诊", "取消预约", "改到后天下午", "取号", "转人工", "谢谢", "我不舒服", "帮我老伴挂骨科",
)  # fmt: skip
SWAPS = (("上午", "下午"), ("今天", "明天"), ("明天", "后天"), ("左", "右"), ("东", "西"), ("南", "北"), ("自付", "医保"), ("不要", "要"), ("不用", "要"), ("没有", "有"))  # fmt: skip


@pytest.fixture(scope="module")
def helper() -> Fluency:
    names = tuple(person.name for person in PEOPLE)
    return Fluency(Gateway([], budget=Purse()), check_reply, "h1", NOW.date(), names)


async def said() -> list[str]:
    """Everything said in four states of a visit."""
    texts: dict[str, None] = {}
    for state in (None, Talk.booked, Talk.waiting, Talk.consulted):
        for sentence in SENTENCES:
            talk = Talk() if state is None else await state(Talk())
            for words in (sentence, "好的"):
                heard = await talk.say(words)
                texts.update(dict.fromkeys(e.text for e in heard.events if isinstance(e, Say)))
    return list(texts)


def changed(text: str) -> Iterator[str]:
    """The sentence with one fact wrong."""
    for match in re.finditer(r"\d+", text):
        yield f"{text[: match.start()]}{int(match.group()) + 1}{text[match.end() :]}"
    numbers = list(re.finditer(r"\d+", text))
    for one, two in zip(numbers, numbers[1:], strict=False):
        if one.group() != two.group():
            yield text[: one.start()] + two.group() + text[one.end() : two.start()] + one.group() + text[two.end() :]
    for have, want in SWAPS:
        if have in text:
            yield text.replace(have, want, 1)
    people = [person.name for person in PEOPLE]
    for have, want in ((people[0], people[1]), (people[1], people[2]), (DOCTORS[0] + "主任", DOCTORS[1] + "主任")):
        if have in text:
            yield text.replace(have, want)
    for hospital in HOSPITALS:
        if hospital.name in text:
            yield text.replace(hospital.name, "医院")
    for have, want in (("眼科", "骨科"), ("检验科", "皮肤科"), ("骨科", "眼科")):
        if have in text:
            yield text.replace(have, want)
    yield text + "您放心,没事的。"
    yield text + "先吃2片药。"
    yield text + "请再付10元。"


async def test_every_changed_fact_is_refused(helper: Fluency) -> None:
    texts = await said()
    assert len(texts) > 40
    passed = [
        (text, wrong)
        for text in texts
        for wrong in changed(text)
        if wrong != text and not unfaithful(text, wrong, helper._terms)
    ]
    assert passed == []


async def test_harmless_changes_pass(helper: Fluency) -> None:
    for text in await said():
        for same in (text, text.replace(",", "\uff0c"), text.replace("您", "您呀", 1), f"好呀,{text}"):
            assert unfaithful(text, same, helper._terms) == (), same
