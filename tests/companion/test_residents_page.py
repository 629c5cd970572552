"""What the page for residents tells her to say is understood, and what it tells her to tap stands on a button."""

import re
from pathlib import Path

import pytest

from companion.api import words
from companion.understanding import Context, understand
from tests.companion.world import HOSPITALS, NOW

ROOT = Path(__file__).resolve().parents[2]
ENGLISH, CHINESE = "residents.md", "residents.zh.md"
INTENTS = {
    "取号": "check_in",
    "我排到哪了": "queue",
    "怎么走": "route",
    "药怎么用": "medicine",
    "停": "stop",
    "找人工": "human",
}


def quoted(page: str) -> list[str]:
    return sorted(set(re.findall("「(.+?)」", (ROOT / "docs" / page).read_text(encoding="utf-8"))))


@pytest.mark.parametrize("phrase", quoted(CHINESE))
def test_each_phrase_is_understood_or_is_a_button(phrase: str) -> None:
    understood = understand(phrase, Context(NOW, HOSPITALS)).intent
    assert understood == INTENTS.get(phrase, understood)
    assert understood != "unknown" or phrase in words().values()


def test_the_english_page_has_the_same_phrases() -> None:
    assert set(quoted(ENGLISH)) <= set(quoted(CHINESE))
