"""``assess``: what was said → how urgent, which department, why, and what to ask next. Deterministic; no I/O but the data."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from companion.safety import RedFlag, Scope, prepared, red_flags_in
from companion.triage import lexicon as knowledge
from companion.triage import ranker as learned
from companion.triage.facts import read_facts
from companion.triage.lexicon import Lexicon
from companion.triage.questions import answer_of, next_question
from companion.triage.ranking import blend, knowledge_scores, population, shares
from companion.triage.urgency import decide
from companion.triage.values import (
    Assessment,
    DepartmentScore,
    Facts,
    InputRefused,
    Mention,
    Reason,
    ReplayMismatch,
    Utterance,
)

SHOWN = 5
CERTAIN_SHARE = 0.4
CERTAIN_LEAD = 1.25
_SEXES = ("male", "female")
_EMERGENCY_KINDS = {
    "stroke": "神经内科",
    "worst_headache": "神经外科",
    "heart": "心血管内科",
    "pregnancy": "产科",
    "fetal": "产科",
    "preeclampsia": "产科",
    "ectopic": "妇科",
    "eye_chemical": "眼科",
    "eye_sight": "眼科",
    "infant_fever": "儿科",
    "sick_child": "儿科",
    "breathing": "呼吸内科",
    "hemoptysis": "呼吸内科",
    "gi_bleed": "消化内科",
    "seizure": "神经内科",
    "consciousness": "神经内科",
    "glucose": "内分泌科",
    "blood_pressure": "心血管内科",
    "head_injury": "神经外科",
    "torsion": "泌尿外科",
    "retention": "泌尿外科",
    "self_harm": "精神心理科",
    "harm_others": "精神心理科",
    "withdrawal": "精神心理科",
}


def _utterances(said: str | Utterance | Sequence[str | Utterance]) -> tuple[Utterance, ...]:
    items: Sequence[str | Utterance] = [said] if isinstance(said, (str, Utterance)) else said
    spoken = tuple(item if isinstance(item, Utterance) else Utterance(item) for item in items)
    if not spoken or not any(item.text.strip() for item in spoken):
        raise InputRefused("nothing was said")
    return spoken


def _checked(age_years: float | None, sex: str | None) -> None:
    if age_years is not None and not 0 <= age_years <= 130:
        raise InputRefused("age must be 0 to 130 years")
    if sex is not None and sex not in _SEXES:
        raise InputRefused("sex must be male or female")


def _answers(
    spoken: tuple[Utterance, ...], known: Mapping[str, Any], lexicon: Lexicon
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The answers given to triage's own questions: in ``facts["answers"]`` or as an utterance with a question's id."""
    rows = {row["id"]: row for row in lexicon.questions}
    given = [(item.question_id, item.text.strip()) for item in spoken if item.question_id]
    given += list(known.get("answers", {}).items())
    for question_id, text in given:
        row = rows.get(question_id)
        option = answer_of(row, text) if row else None
        if option is not None:
            yield question_id, option


def _reasons(mentions: tuple[Mention, ...], top: Sequence[str], facts: Facts, lexicon: Lexicon) -> list[Reason]:
    reasons: list[Reason] = []
    told: set[str] = set()
    for mention in mentions:
        fits = [name for name, weight in mention.departments if name in top[:3] and weight > 0]
        if mention.word in told or not fits:
            continue
        told.add(mention.word)
        source = lexicon.sources.get(mention.source, "")
        if mention.negated:
            reasons.append(Reason("against", f"您说没有“{mention.word}”", source))
        else:
            reasons.append(Reason("for", f"您说到“{mention.word}”：{'、'.join(fits)}", source))
        if len(reasons) >= 8:
            break
    if facts.is_child:
        reasons.append(Reason("about", "患者是孩子，优先看儿科"))
    if facts.pregnant:
        reasons.append(Reason("about", "患者在怀孕，优先考虑产科"))
    return reasons


def _emergency_first(ranked: dict[str, float], flags: tuple[RedFlag, ...]) -> dict[str, float]:
    """With a red flag the emergency department leads, and the flag's own department follows."""
    if not flags:
        return ranked
    lead = {"急诊科": 0.6}
    own = _EMERGENCY_KINDS.get(flags[0].kind)
    if own:
        lead[own] = 0.25
    rest = {name: share * (1 - sum(lead.values())) for name, share in ranked.items() if name not in lead}
    return lead | rest


def assess(
    said: str | Utterance | Sequence[str | Utterance],
    *,
    age_years: float | None = None,
    sex: str | None = None,
    facts: Mapping[str, Any] | None = None,
    use_ranker: bool = True,
) -> Assessment:
    """Triage what was said.

    ``said``: one text, or all utterances about this complaint in order. ``age_years`` 0 to 130 and ``sex``
    ("male", "female") of the patient if known. ``facts``: risks known from the record, ``{"diabetes": True, ...}``
    (ids in data/triage/risks.csv), and ``{"answers": {question id: option id or words}}``.
    Raises InputRefused for an empty text or impossible values.
    """
    spoken = _utterances(said)
    _checked(age_years, sex)
    known = dict(facts or {})
    lexicon = knowledge.load()
    scope = Scope("\n".join(prepared(item.text) for item in spoken if not item.question_id or len(item.text) > 6))
    flags = red_flags_in(scope)
    mentions = knowledge.mentions(scope)
    answers = list(_answers(spoken, known, lexicon))
    for _, option in answers:
        if option.get("risk"):
            known[option["risk"]] = True
    person = read_facts(scope, lexicon, mentions, age_years=age_years, sex=sex, known=known)
    asked = frozenset(item.question_id for item in spoken if item.question_id) | frozenset(known.get("answers", {}))

    scores = knowledge_scores(mentions, person)
    for _, option in answers:
        for name, weight in option["departments"].items():
            scores[name] = scores.get(name, 0.0) + weight
    model = learned.load() if use_ranker else None
    if model is not None and scope.text:
        scores = blend(scores, model.log_probabilities(scope.text), lexicon)
    ranked = shares(population(scores, person))
    question = None if flags else next_question(ranked, mentions, person, asked, lexicon)
    levels = tuple(option["level"] for _, option in answers if option.get("level"))
    urgency, raised = decide(mentions, person, flags, levels, lexicon)
    ranked = _emergency_first(ranked, flags)

    names = list(ranked)
    first = ranked[names[0]] if names else 0.0
    second = ranked[names[1]] if len(names) > 1 else 0.0
    told = any(mention.counts for mention in mentions) or bool(answers)
    certain = bool(flags) or (told and first >= CERTAIN_SHARE and first >= CERTAIN_LEAD * second)
    fallback = DepartmentScore(lexicon.fallback, lexicon.departments[lexicon.fallback], 0.0)
    if not names or not (told or first >= 0.5):
        ranked = {lexicon.fallback: 1.0} | {name: 0.0 for name in names[:2] if name != lexicon.fallback}
        names = list(ranked)
    level = lexicon.levels[urgency]
    relevant = {
        pair["risk"] for pair in lexicon.pairs if {m.concept for m in mentions} & set(pair["concepts"].split("|"))
    }
    unasked = tuple(
        lexicon.risks[risk]["title"]
        for risk in sorted(relevant - set(person.risks) - set(person.denied_risks))
        if not (risk in ("pregnant", "postpartum") and (person.sex == "male" or person.is_child))
        and not (risk in ("infant", "newborn", "elder") and (person.age_years is not None or person.age_low))
    )
    return Assessment(
        urgency=urgency,
        title=level["title"],
        action=level["action"],
        deadline=level["deadline"],
        deadline_hours=level["deadline_hours"],
        watch_for=tuple(level["watch_for"]),
        red_flags=flags,
        departments=tuple(
            DepartmentScore(name, lexicon.departments[name], round(ranked[name], 4)) for name in names[:SHOWN]
        ),
        question=question,
        reasons=tuple(raised + _reasons(mentions, names, person, lexicon)),
        not_asked=unasked,
        facts=person,
        certain=certain,
        fallback=fallback,
        offer_human=not certain and (question is None or len(asked) >= 2),
        mentions=mentions,
        inputs={
            "said": [[item.text, item.question_id] for item in spoken],
            "age_years": age_years,
            "sex": sex,
            "facts": dict(facts or {}),
            "use_ranker": use_ranker,
        },
        knowledge_version=lexicon.version,
    )


def replay(log: Mapping[str, Any]) -> Assessment:
    """The assessment that ``log`` records, made again from its inputs.

    Raises ReplayMismatch when the knowledge has changed since, or the result differs from the recorded one.
    """
    inputs = log["inputs"]
    again = assess(
        [Utterance(text, question_id) for text, question_id in inputs["said"]],
        age_years=inputs["age_years"],
        sex=inputs["sex"],
        facts=inputs["facts"],
        use_ranker=inputs["use_ranker"],
    )
    if again.knowledge_version != log["knowledge_version"]:
        raise ReplayMismatch(f"logged under {log['knowledge_version']}, loaded is {again.knowledge_version}")
    if json.dumps(again.to_json(), sort_keys=True) != json.dumps(log["result"], sort_keys=True):
        raise ReplayMismatch("the same inputs gave another result")
    return again


def with_departments(assessment: Assessment, offered: Mapping[str, str]) -> Assessment:
    """The same assessment for a hospital: ``offered`` maps our departments to those the hospital has, many to one."""
    merged: dict[str, DepartmentScore] = {}
    for department in assessment.departments:
        name = offered.get(department.name)
        if name is None:
            continue
        before = merged[name].score if name in merged else 0.0
        merged[name] = DepartmentScore(name, department.code, round(before + department.score, 4))
    ordered = sorted(merged.values(), key=lambda item: -item.score)
    return replace(assessment, departments=tuple(ordered))
