"""For residents who listen slowly: short sentences, one question at a time, and the same answer as often as it is asked."""

import re
from pathlib import Path

import pytest
import yaml
from asgiref.sync import sync_to_async

from companion import dialogue, pace
from companion.events import Adjust, Ask
from tests.companion.talking import Talk

INTENTS = yaml.safe_load((Path(__file__).parent / "dialogues" / "intents.yaml").read_text(encoding="utf-8"))["intents"]
STATES = ("", "booked", "waiting", "consulted")
REPROACH = re.compile(r"刚才(?:说|讲|告诉)过|已经(?:说|讲|告诉)过|不是(?:说|告诉)过|怎么又|又问|再问|别急着")


async def talk_in(state: str) -> Talk:
    talk = Talk()
    return await getattr(talk, state)() if state else talk


@pytest.mark.parametrize(
    ("whole", "pieces"),
    [
        ("好的。我慢慢说。", ["好的。", "我慢慢说。"]),
        (
            "岚州市第一人民医院眼科,明天上午9点,王芳主任医师,挂号费20元。给陈玉兰约这个号,好吗?",
            ["岚州市第一人民医院眼科,明天上午9点。", "王芳主任医师,挂号费20元。", "给陈玉兰约这个号,好吗?"],
        ),
        (
            "如果头疼得厉害或者吐得厉害,看东西也模糊了,要马上去医院。",
            ["如果头疼得厉害或者吐得厉害,看东西也模糊了,要马上去医院。"],
        ),
        ("", []),
    ],
)
def test_facts_are_cut_at_commas_and_conditions_stay_whole(whole: str, pieces: list[str]) -> None:
    assert list(pace.sentences(whole)) == pieces


@pytest.mark.parametrize("state", STATES)
async def test_nothing_is_lost_by_cutting(state: str) -> None:
    """The letters are the same; only stops differ."""
    plain, slow = await talk_in(state), await talk_in(state)
    slow.stored["rate"] = 0.85
    for text in ("我排到哪了", "明天上午市一医院眼科", "缴费", "怎么走"):
        whole, cut = await plain.say(text), await slow.say(text)
        assert re.sub(r"\W", "", whole.text) == re.sub(r"\W", "", cut.text)
        assert all(len(s) <= len(t) for s in cut.says for t in [max(whole.says, key=len)])


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("intent", sorted(set(INTENTS) - {"stop"}))
async def test_one_question_at_a_time(intent: str, state: str) -> None:
    for text in INTENTS[intent][:1]:
        heard = await (await talk_in(state)).say(text)
        asked = re.findall(r"[?\uff1f]", heard.text)
        assert len(asked) <= 1, heard.says
        assert sum(isinstance(event, Ask) for event in heard.events) <= 1


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "text", ["我排到哪了", "怎么走", "现在该做什么", "报告出来了吗", "药怎么吃", "啊?你说什么", "哦豁咯咯"]
)
async def test_asked_again_and_again_she_is_answered_and_never_reproached(text: str, state: str) -> None:
    talk = await talk_in(state)
    for _ in range(5):
        heard = await talk.say(text)
        assert heard.says
        assert not REPROACH.search(heard.text)


async def test_what_was_not_understood_twice_comes_in_smaller_bites() -> None:
    talk = await Talk().waiting()
    first = await talk.say("我排到哪了")
    once, twice = await talk.say("没听清"), await talk.say("再说一遍")
    assert once.says == first.says
    assert len(twice.says) > len(once.says)
    assert max(map(len, twice.says)) < max(map(len, once.says))
    thanks = await talk.say("谢谢")
    assert thanks.says
    assert len((await talk.say("再说一遍")).says) == len(thanks.says), "a new thing is said whole again"


@pytest.mark.django_db(transaction=True)
async def test_slower_starts_from_the_pace_she_set_on_the_page(resident) -> None:
    session = await sync_to_async(dialogue.open_session)(resident.id, None)
    session = await sync_to_async(dialogue.set_rate)(session, 0.8)
    events = [event async for event in dialogue.turn(session, "t1", "说慢一点", None)]
    assert [event.value for event in events if isinstance(event, Adjust)] == [0.65]


@pytest.mark.django_db()
@pytest.mark.parametrize(("born", "elder"), [("1950-01-01", True), ("1990-01-01", False)])
def test_the_old_hear_short_sentences_from_the_start(resident, born: str, elder: bool) -> None:
    patient = resident.family.get().patient
    patient.birth_date = born
    patient.save()
    assert dialogue.open_session(resident.id, None).short is elder


async def test_cards_stay_with_their_words() -> None:
    talk = await Talk().waiting()
    talk.stored["rate"] = 0.7
    heard = await talk.say("我排到哪了")
    assert heard.cards == ["queue"]


async def test_how_to_end_the_reminders_is_said_in_words_the_guard_lets_through() -> None:
    talk = await Talk().consulted()
    talk.world.prescribe("v1")
    heard = await talk.say("到点喊我用药")
    assert "replaced" not in talk.understood and "不想听提醒" in heard.text
