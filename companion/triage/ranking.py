"""From mentions and facts to a ranking of departments: evidence added up, then who the person is, then shares."""

import math

from companion.triage.lexicon import Lexicon
from companion.triage.values import Facts, Mention

REPEATED = 0.15  # what each further word for the same concept adds, up to three
OPENING = 40  # characters at the start that hold what a resident came for
OPENING_BONUS = 1.25
TEMPERATURE = 1.5
GENERAL = frozenset({"中医科", "普通内科", "康复疼痛科"})  # named as a wish or a complaint beside almost any illness
GENERAL_BESIDE = 0.6  # what such a word counts where a word leads elsewhere
LEADS = 2.4
MODEL_WEIGHT = 0.25
MODEL_FLOOR = -7.0
CHILD_BONUS = 4.2
OWN_CLINIC_BONUS = 0.0  # eyes and teeth: a child goes to the same clinic as an adult
_CHILDREN_GO_TOO = {"眼科", "口腔科"}
_ADULT_ONLY = {"产科", "妇科", "生殖医学科", "男科"}


def _leads(mention: Mention) -> str | None:
    """The department that a mention speaks for most, if it does so clearly."""
    name, weight = max(mention.departments, key=lambda item: item[1], default=("", 0.0))
    return name if weight >= LEADS or name in GENERAL else None


def knowledge_scores(mentions: tuple[Mention, ...], facts: Facts) -> dict[str, float]:
    """Evidence for each department from what was mentioned; not yet shares."""
    scores: dict[str, float] = {}
    times: dict[str, int] = {}
    led = any(_leads(mention) not in (None, *GENERAL) for mention in mentions if mention.counts)
    for mention in mentions:
        factor = mention.counts
        if factor == 0.0:
            continue
        if led and _leads(mention) in GENERAL:
            factor *= GENERAL_BESIDE
        seen = times.get(mention.concept, 0)
        times[mention.concept] = seen + 1
        if seen:
            factor *= REPEATED if seen <= 3 else 0.0
        if mention.start < OPENING and not mention.past:
            factor *= OPENING_BONUS
        for name, weight in mention.departments:
            scores[name] = scores.get(name, 0.0) + factor * weight
    return {name: 6.0 * value / (value + 4.0) if value > 0 else value for name, value in scores.items()}


def population(scores: dict[str, float], facts: Facts) -> dict[str, float]:
    """The ranking changed by who it is about: a child, a pregnant woman, a man, a woman."""
    scores = dict(scores)
    if facts.is_child:
        best = max(scores, key=lambda name: (scores[name] if name != "儿科" else 0.0, name), default="")
        scores["儿科"] = scores.get("儿科", 0.0) + (OWN_CLINIC_BONUS if best in _CHILDREN_GO_TOO else CHILD_BONUS)
        for name in ("呼吸内科", "消化内科", "普通内科", "感染科", "神经内科"):
            if name in scores:
                scores[name] -= 0.8
        for name in _ADULT_ONLY:
            if name in scores:
                scores[name] -= 1.5
    elif facts.age_years is not None and facts.age_years >= 16:
        for name in ("儿科", "儿童保健科"):
            scores.pop(name, None)
    if facts.pregnant:
        scores["产科"] = scores.get("产科", 0.0) + 1.6
    elif "postpartum" in facts.risks:
        scores["产科"] = scores.get("产科", 0.0) + 1.0
    if facts.sex == "male":
        for name in ("产科", "妇科"):
            if name in scores:
                scores[name] *= 0.4
    elif facts.sex == "female" and "男科" in scores:
        scores["男科"] *= 0.4
    return scores


def blend(
    scores: dict[str, float], logs: dict[str, float], lexicon: Lexicon, weight: float = MODEL_WEIGHT
) -> dict[str, float]:
    """Knowledge scores plus the learned ranker's log shares, floored so that it cannot veto what is known."""
    if not logs:
        return scores
    return {
        name: scores.get(name, 0.0) + weight * (max(logs.get(name, MODEL_FLOOR), MODEL_FLOOR) - MODEL_FLOOR)
        for name in lexicon.departments
    }


def shares(scores: dict[str, float]) -> dict[str, float]:
    """Scores as shares that sum to one, best first; ties in the order of the names so that a replay agrees."""
    if not scores:
        return {}
    top = max(scores.values())
    powers = {name: math.exp(TEMPERATURE * (score - top)) for name, score in scores.items()}
    total = sum(powers.values())
    ordered = sorted(powers.items(), key=lambda item: (-item[1], item[0]))
    return {name: value / total for name, value in ordered}
