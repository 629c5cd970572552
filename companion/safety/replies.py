"""The guard on the way out: what no sentence may say, whoever wrote it, and what is said instead.

The patterns and their reasons are in companion/data/safety/replies.yaml; this module only reads them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from companion.safety.red_flags import DATA, read_yaml
from companion.safety.text import normalise


@dataclass(frozen=True, slots=True)
class Verdict:
    """``ok``: the sentence may leave. Otherwise ``rules`` names those it breaks and ``replacement`` is said instead."""

    ok: bool
    rules: tuple[str, ...] = ()
    replacement: str = ""


@dataclass(frozen=True, slots=True)
class _Rule:
    id: str
    when: tuple[re.Pattern[str], ...]
    unless: re.Pattern[str] | None
    sourced: bool
    say: str


ALLOWED = Verdict(ok=True)
_SENTENCE = re.compile(r"[^。!?!?;;\n]+[。!?!?;;\n]*")


@lru_cache(maxsize=1)
def _rules() -> tuple[_Rule, ...]:
    data = read_yaml(DATA / "replies.yaml")

    def compiled(pattern: str) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{([a-z]+)\}", lambda name: f"(?:{data['sets'][name[1]]})", pattern))

    return tuple(
        _Rule(
            id=row["id"],
            when=tuple(compiled(pattern) for pattern in row["when"]),
            unless=compiled(row["unless"]) if row.get("unless") else None,
            sourced=row.get("sourced", False),
            say=row["say"],
        )
        for row in data["rules"]
    )


def _breaks(rule: _Rule, sentence: str) -> bool:
    if not any(pattern.search(sentence) for pattern in rule.when):
        return False
    return rule.unless is None or not rule.unless.search(sentence)


def check_reply(text: str, sources: Sequence[str] = ()) -> Verdict:
    """May these words leave? ``sources``: titles of what they rest on. Each sentence is judged by itself."""
    sentences = [part.strip() for part in _SENTENCE.findall(normalise(text))]
    broken = [
        rule
        for rule in _rules()
        if not (rule.sourced and sources) and any(_breaks(rule, sentence) for sentence in sentences)
    ]
    if not broken:
        return ALLOWED
    return Verdict(ok=False, rules=tuple(rule.id for rule in broken), replacement=broken[0].say)
