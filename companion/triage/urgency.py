"""How urgent: red flags, then pairs of facts that raise the level, then what was mentioned, how hot, how long, how bad."""

from companion.safety import RedFlag
from companion.triage.lexicon import Lexicon
from companion.triage.values import Facts, Mention, Reason, Urgency, more_urgent

HIGH_FEVER_C = 39.0
LONG_FEVER_DAYS = 3
_MINOR_DAYS = 7
_INJURY_DAYS = 14  # an injury older than this, or already a scar, is no longer today's
_INJURIES = frozenset({"trauma", "fracture", "burn", "wound", "animal_bite"})


def _hidden_by(mention: Mention, now: list[Mention], minor: frozenset[str]) -> bool:
    """Whether a longer name (嗓子疼得很) only says a minor symptom, or a body part stands beside nothing but those."""
    if mention.kind == "disease":
        return any(other.start == mention.start and other.concept in minor for other in now)
    return mention.kind == "part"


def decide(
    mentions: tuple[Mention, ...],
    facts: Facts,
    flags: tuple[RedFlag, ...],
    answer_levels: tuple[str, ...],
    lexicon: Lexicon,
) -> tuple[Urgency, list[Reason]]:
    """The level and what raised it. A question of knowledge with nobody ill gets no more than an outpatient visit."""
    reasons: list[Reason] = []
    level: Urgency = "self_care"
    if flags:
        for flag in flags:
            level = more_urgent(level, flag.level)
            reasons.append(Reason("raises", f"危险信号：{flag.title}（您说到“{flag.quote}”）", flag.source))
        return level, reasons
    now = [mention for mention in mentions if mention.counts == 1.0]
    if facts.asks_only or not now:
        if any(mention.kind == "disease" or mention.past for mention in mentions):
            level = "outpatient"
        return ("outpatient" if not mentions else level), reasons
    minor = frozenset(lexicon.minor["concepts"])
    slight = facts.severity != "severe" and (
        facts.severity == "mild" or (facts.duration_days is not None and facts.duration_days <= lexicon.minor["days"])
    )
    healed = any(mention.concept in ("scar", "fracture_care") for mention in now) or (
        facts.duration_days is not None and facts.duration_days > _INJURY_DAYS
    )
    for mention in now:
        own = mention.level
        if healed and mention.concept in _INJURIES and own == "within_24h":
            own = "outpatient"
        if slight and own == "outpatient" and (mention.concept in minor or _hidden_by(mention, now, minor)):
            own = "self_care"
        if facts.course == "long" and own == "within_24h":
            own = "outpatient"  # months of the same trouble are not today's emergency
        if mention.kind == "symptom" and own == "emergency" and facts.course == "long":
            own = "within_24h"
        level = more_urgent(level, own)
    if facts.severity == "severe" and level == "self_care":
        level = "outpatient"
        reasons.append(Reason("raises", "症状比较重"))
    if facts.duration_days is not None and facts.duration_days > _MINOR_DAYS and level == "self_care":
        level = "outpatient"
        reasons.append(Reason("raises", "时间超过一周还没有好"))
    if facts.severity == "severe" and facts.course == "new" and level == "outpatient":
        level = "within_24h"
        reasons.append(Reason("raises", "新出现的、比较重的症状"))
    present = {mention.concept for mention in now}
    if "fever" in present or facts.temperature_c is not None:
        hot = facts.temperature_c is not None and facts.temperature_c >= HIGH_FEVER_C
        long = facts.duration_days is not None and LONG_FEVER_DAYS <= facts.duration_days <= 60
        if (hot or long) and level in ("outpatient", "self_care") and (facts.temperature_c or 38.0) >= 37.3:
            level = "within_24h"
            reasons.append(Reason("raises", "高烧，或者烧了三天以上", lexicon.sources["sepsis"]))
    known = set(facts.risks)
    for pair in lexicon.pairs:
        if pair["risk"] in known and present & set(pair["concepts"].split("|")):
            if facts.course == "long" and pair["level"] == "within_24h":
                continue
            raised = more_urgent(level, pair["level"])
            if raised != level:
                reasons.append(Reason("raises", pair["says"], lexicon.sources[pair["source"]]))
            level = raised
    if level == "self_care" and known & {"infant", "newborn", "pregnant", "immune", "steroid"}:
        level = "outpatient"
        reasons.append(Reason("raises", "这类人群不建议只在家观察"))
    for answered in answer_levels:
        if more_urgent(level, answered) != level:
            reasons.append(Reason("raises", "您对追问的回答提高了紧急程度"))
        level = more_urgent(level, answered)
    return level, reasons
