"""Which wishes a clause speaks of: patterns of data/dialogue/intents.yaml, weighed and ranked, with the reason kept."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

_DATA = Path(__file__).parent.parent / "data" / "dialogue" / "intents.yaml"
STRONG, WEAK = 3.0, 1.5

Kind = Literal["task", "talk", "answer"]


@dataclass(frozen=True, slots=True)
class IntentRule:
    name: str
    kind: Kind
    strong: re.Pattern[str] | None
    weak: re.Pattern[str] | None
    never: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Scored:
    """``because``: the words that spoke for it."""

    intent: str
    kind: Kind
    score: float
    because: str


def _any_of(patterns: list[str] | None) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{p})" for p in patterns)) if patterns else None


def _load() -> tuple[tuple[IntentRule, ...], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    data = yaml.safe_load(_DATA.read_text(encoding="utf-8"))
    rules = tuple(
        IntentRule(name, row["kind"], _any_of(row.get("strong")), _any_of(row.get("weak")), _any_of(row.get("never")))
        for name, row in data["intents"].items()
    )
    symptoms = re.compile(data["symptoms"].replace(" ", "").replace("\n", ""))
    return rules, symptoms, re.compile(data["fillers"]), re.compile(data["connectives"])


RULES, SYMPTOMS, FILLERS, CONNECTIVES = _load()
NAMES = tuple(rule.name for rule in RULES)
_KINDS = {rule.name: rule.kind for rule in RULES}


def kind_of(intent: str) -> Kind:
    return _KINDS.get(intent, "task")


def scores(clause: str) -> list[Scored]:
    """Every intent that the clause speaks of, best first; a longer match breaks ties."""
    found = []
    for rule in RULES:
        if rule.never and rule.never.search(clause):
            continue
        match = rule.strong.search(clause) if rule.strong else None
        score = STRONG
        if match is None:
            match = rule.weak.search(clause) if rule.weak else None
            score = WEAK
        if match is not None:
            words = match.group()
            found.append(Scored(rule.name, rule.kind, score + min(len(words), 12) * 0.1, words))
    found.sort(key=lambda s: -s.score)
    return found
