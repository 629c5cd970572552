"""She always knows that she talks with an AI: on the page, in the first words, and again after two hours."""

import re

import pytest
from django.test import Client

from companion.conversation import LABEL
from tests.companion.talking import Talk


def test_the_page_bears_the_mark_where_it_never_scrolls_away(client: Client, db: None) -> None:
    page = client.get("/").content.decode()
    header = re.search(r"<header.*?</header>", page, re.S)
    assert header is not None
    assert re.search(r'class="ai-mark"[^>]*>[^<]*AI生成', header.group())
    assert "hidden" not in re.search(r'<[^>]*class="ai-mark"[^>]*>', header.group()).group()  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["open", "resume"])
async def test_the_first_words_say_so(kind: str) -> None:
    heard = await Talk(stored={}).tap(kind=kind)
    assert "AI" in heard.says[0]


async def test_without_an_opening_the_first_answer_says_so() -> None:
    talk = Talk(stored={})
    assert "AI" in (await talk.say("前面还有几个人")).says[0]
    assert "AI" not in (await talk.say("前面还有几个人")).text


async def test_after_two_hours_it_is_said_again_once() -> None:
    talk = Talk(stored={})
    await talk.tap(kind="open")
    talk.later(hours=1, minutes=59)
    assert LABEL not in (await talk.say("前面还有几个人")).says
    talk.later(minutes=1)
    assert (await talk.say("前面还有几个人")).says[0] == LABEL
    assert LABEL not in (await talk.say("前面还有几个人")).says


@pytest.mark.parametrize("question", ["你是真人吗", "你是医生吗", "你是机器人吗"])
async def test_asked_she_is_told(question: str) -> None:
    heard = await Talk().say(question)
    assert "AI" in heard.text and "不是医生" in heard.text.replace("也不是医生", "不是医生")


async def test_in_danger_the_notice_comes_after_the_help() -> None:
    heard = await Talk(stored={}).say("我爸突然嘴歪了,一边胳膊抬不起来")
    assert "120" in heard.says[0]
    assert "AI" in heard.says[-1]
