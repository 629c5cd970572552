"""Which one question to ask next: the one that separates the ranked departments best, or asks for what raises risk."""

import math
from typing import Any

from companion.triage.lexicon import Lexicon
from companion.triage.values import Facts, Mention, Question

LEAST_GAIN = 0.08  # nats; below this a question would not change what we say
CLEAR = 0.62  # the first department's share from which on only risks are asked for
MOST = 4


def _entropy(shares: dict[str, float]) -> float:
    return -sum(share * math.log(share) for share in shares.values() if share > 0)


def _after(shares: dict[str, float], option: dict[str, Any]) -> dict[str, float]:
    moved = {name: share * math.exp(0.6 * option["departments"].get(name, 0.0)) for name, share in shares.items()}
    total = sum(moved.values())
    return {name: value / total for name, value in moved.items()}


def gain(shares: dict[str, float], row: dict[str, Any]) -> float:
    """Expected fall of the entropy over departments, in nats, when this question is answered."""
    likelihoods = []
    for option in row["options"]:
        fit = sum(share * math.exp(0.6 * option["departments"].get(name, 0.0)) for name, share in shares.items())
        likelihoods.append(fit)
    total = sum(likelihoods)
    now = _entropy(shares)
    return now - sum(
        fit / total * _entropy(_after(shares, option)) for fit, option in zip(likelihoods, row["options"], strict=True)
    )


def _fits_person(row: dict[str, Any], facts: Facts) -> bool:
    people = row.get("people", "any")
    if people == "woman":
        age = facts.age_years if facts.age_years is not None else facts.age_low
        return facts.sex != "male" and not facts.is_child and not facts.pregnant and (age is None or 12 <= age <= 55)
    if people == "adult":
        return not facts.is_child
    if people == "unknown":
        return facts.about in ("somebody", "child") and facts.age_years is None
    return True


def _answered(row: dict[str, Any], facts: Facts, asked: frozenset[str]) -> bool:
    if row["id"] in asked:
        return True
    risks = {option["risk"] for option in row["options"] if option.get("risk")}
    known = set(facts.risks) | set(facts.denied_risks)
    return bool(risks & known) if risks else False


def next_question(
    shares: dict[str, float], mentions: tuple[Mention, ...], facts: Facts, asked: frozenset[str], lexicon: Lexicon
) -> Question | None:
    """The question worth asking now, or None: clear enough, nothing fits, or four were asked already."""
    if len(asked) >= MOST or facts.asks_only:
        return None
    present = {mention.concept for mention in mentions if mention.counts >= 0.8}
    named = any(mention.kind == "disease" and mention.counts == 1.0 for mention in mentions)
    head = dict(list(shares.items())[:6])
    first = next(iter(head.values()), 0.0)
    best: tuple[float, str] | None = None
    chosen: dict[str, Any] | None = None
    for row in lexicon.questions:
        fits = "nothing" in row["when"] if not present else bool(present & set(row["when"]))
        if not fits or not _fits_person(row, facts) or _answered(row, facts, asked):
            continue
        raises = any(option.get("risk") or option.get("level") for option in row["options"])
        if (named or first >= CLEAR) and not row.get("risk_question") and row.get("people") != "woman":
            continue
        value = gain(head, row) if head else 1.0
        value += 0.15 if row.get("risk_question") or row.get("people") == "woman" else 0.05 if raises else 0.0
        if value >= LEAST_GAIN and (best is None or (-value, row["id"]) < best):
            best, chosen = (-value, row["id"]), row
    if chosen is None:
        return None
    return Question(
        id=chosen["id"],
        text=chosen["text"],
        options=tuple((option["id"], option["label"]) for option in chosen["options"]),
        why="问清楚风险" if chosen.get("risk_question") or chosen.get("people") == "woman" else "区分科室",
    )


def answer_of(row: dict[str, Any], text: str) -> dict[str, Any] | None:
    """The option that ``text`` (a button's id, its label, or free words) chooses; None when it says something else."""
    for option in row["options"]:
        if text in (option["id"], option["label"]):
            return dict(option)
    fitting = []
    for option in row["options"]:
        longest = max((len(word) for word in option["words"].split("|") if word in text), default=0)
        if longest:
            fitting.append((longest, option))
    if not fitting:
        return None
    return dict(max(fitting, key=lambda item: item[0])[1])
