"""Reads one sentence: wishes in order, whom it is about, when and where, and how it answers what was just asked."""

import re
import unicodedata
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import yaml

from companion import triage
from companion.understanding import examples
from companion.understanding import wishes as wanted
from companion.understanding.intents import FILLERS, RULES, SYMPTOMS
from companion.understanding.names import DEPARTMENTS, find_practitioner, hospital_index
from companion.understanding.numerals import number
from companion.understanding.people import find_person
from companion.understanding.sounds import Lexicon
from companion.understanding.times import find_when
from companion.understanding.values import UNKNOWN, Context, Slots, Understanding, Wish

_DATA = Path(__file__).parent.parent / "data" / "dialogue"
# How similar a sentence on file must be (companion.understanding.examples): four in five are right from there on, left one out.
_ALIKE, _ALIKE_OVER_SYMPTOM = 0.4, 0.6
_SHORT = 6  # characters; only short sentences are sooner a slip of the recogniser than a symptom


_CORRECTION = re.compile(
    r"^(?:不是(?:的)?|不对|错了|说错了|搞错了|弄错了|我说错了|我是说|我说的是|应该是|不不|不,)(?:的|啦|了|呀|哦|,|,|。|、|\s)*(?:是|我是说|应该是|我要|要|我说)?"
)
# 「不是市一院,是中医院」: what is named first is what she does not mean.
_NOT_THIS = re.compile(
    r"^(?:不(?:是|要|去|看|挂|约))[^,\uff0c。]{1,10}"
    r"(?:(?<!了)[,\uff0c、](?:我)?(?:就)?(?:是|要|想|去|看|挂|约|换|改)+(?:成|到)?|(?<=了)[,\uff0c、](?:我)?(?=看|挂|约|换|改))"
)
_MIDWAY = re.compile(r"(?:哦|噢|呃|等等)?(?:不对|说错了|错了|我说错了|不是|哦不)[,,、 ]+(?:是|应该是|我是说)?")
_LIFT = re.compile(
    r"电梯|轮椅|推(?:着)?车|走不(?:动|了)|爬不动|腿脚不|腿(?:不好|疼)|不(?:想|能|愿)(?:走|爬)楼|拄拐|婴儿车|担架"
)
_RAIN = re.compile(
    r"淋(?:着|到|了)?雨|淋湿|[躲避遮]雨|(?<![不没])下(?:着|起|了)?[大小暴]?[雨雪]|没(?:带|有|拿)(?:雨)?伞|打伞|不(?:想|能)晒|太晒|有顶|连廊|走室内"
)
_CHOICE = re.compile(r"第([一二三四五六两1-6])(?:个|家|位|条|项)?|选?项?([1-6])$")


@lru_cache(maxsize=1)
def _terms() -> Lexicon:
    """What recognisers get wrong most: the short words the whole journey hangs on, and the departments."""
    data = yaml.safe_load((_DATA / "sounds.yaml").read_text(encoding="utf-8"))
    departments = (word for word in DEPARTMENTS.by_word if word.endswith("科"))
    return Lexicon([*data["terms"], *departments], data["ordinary"])


def normalise(text: str) -> str:
    """NFKC, Chinese punctuation, without the sounds people make while thinking."""
    text = unicodedata.normalize("NFKC", text).strip()
    for half, full in ((",", ","), ("?", "?"), ("!", "!"), (";", ";")):
        text = text.replace(half, full)
    text = re.sub(r"\s+(?=[一-龥])|(?<=[一-龥])\s+", "", text)
    text = re.sub(r"(.)\1{3,}", r"\1", text)
    text = re.sub(r"[啦咯喽]", "了", text)
    shorter = FILLERS.sub("", text)
    return shorter if re.search(r"\w", shorter) else text


def understand(text: str, context: Context) -> Understanding:
    """What she wants, read from her words alone: no rows, no network, no clock but ``context.now``."""
    said = normalise(text)
    first = _read(said, context)
    nothing = first.intent == UNKNOWN or "names_person" in first.reasons  # only somebody was named
    if not nothing and not (first.intent == "triage" and not first.symptoms and not first.slots.departments):
        return first
    told = nothing and not first.answer and _tells_a_symptom(said)
    if nothing and not told and (second := _by_sound(said, context)) is not None:
        return second
    like = examples.on_file().nearest(said) if nothing and not first.answer and not context.expecting else None
    if like and like.similarity >= (_ALIKE_OVER_SYMPTOM if told else _ALIKE):
        wish = Wish(like.intent, like.similarity, said, like.sentence)
        return replace(first, wishes=(wish,), reasons=(*first.reasons, "by_example"))
    if first.intent != UNKNOWN and nothing and not told:
        return first
    meant = replace(first, wishes=(Wish("triage", 2.5, said, "symptom"),), symptoms=True) if told else first
    if (nothing and not told) or (told and len(said) > _SHORT):
        return meant
    return _by_sound(said, context) or meant


def _by_sound(said: str, context: Context) -> Understanding | None:
    """What the sentence says once its terms are written as they were meant; None where that says nothing either."""
    corrected = _terms().corrected(said)
    if corrected == said:
        return None
    second = _read(corrected, context)
    return replace(second, heard_as=corrected, reasons=(*second.reasons, "by_sound")) if second.wishes else None


def _tells_a_symptom(text: str) -> bool:
    """Whether triage finds something wrong with somebody in words that the patterns here do not know.

    A lone word of danger (「煤气灶坏了」) is not enough: what is dangerous was found by the red flags before.
    """
    return any(m.counts == 1.0 and m.level != "emergency" for m in triage.assess(text).mentions)


def _read(said: str, context: Context) -> Understanding:
    reasons: list[str] = []
    correction = False
    match = _NOT_THIS.match(said) or _CORRECTION.match(said)
    rest = said
    if match and match.end() < len(said):
        correction, rest = True, said[match.end() :]
        reasons.append("correction")
    midway = _MIDWAY.search(rest)
    if midway and midway.start() > 0 and midway.end() < len(rest):
        correction = True
        reasons.append("corrected_midway")
    slots = _slots(rest if not midway or midway.start() == 0 else said, context)
    person = find_person(rest[midway.end() :]) if midway and correction else None
    person = person or find_person(rest)
    symptoms = bool(SYMPTOMS.search(rest))
    answer = _answer(said, slots)
    wishes = wanted.wishes(rest, slots, symptoms, reasons)
    under_way = context.last_intent == "route" or context.expecting == "start"
    if under_way and (slots.lift_only or (slots.covered and not symptoms)):
        wishes = (Wish("route", 2.5, rest, "lift" if slots.lift_only else "covered"),)
    names_wish = bool(slots.departments or slots.hospitals)  # 「明天最早的消化科」 chooses nothing
    if (
        answer
        and not wishes
        and not names_wish
        and not context.expecting
        and not (correction and (person or slots.when))
    ):
        wishes = (Wish(answer, 2.0, said, said),)
    if not wishes:
        wishes = wanted.carried_on(said, context, slots, person, correction, reasons)
    return Understanding(
        text=rest,
        wishes=wishes,
        slots=slots,
        person=person,
        answer=answer,
        correction=correction,
        symptoms=symptoms,
        reasons=tuple(reasons),
    )


def _slots(text: str, context: Context) -> Slots:
    hospitals, words = hospital_index(context.hospitals).find(text) if context.hospitals else ((), "")
    without = text.replace(words, " ") if words else text
    departments = tuple(name for name, _words in DEPARTMENTS.find(without))
    if departments == ("急诊科",) and re.search(r"(?:要不要|用不用|需要|该不该)", text):
        departments = ()
    choice = None
    match = _CHOICE.search(text)
    if match:
        choice = number(match[1] or match[2])
    elif re.search(r"最后(?:一|那)?个|最下面", text):
        choice = -1
    elif re.search(r"(?:最上面|头一?个|前一个|就(?:要|约|挂)?这个|就它|最早|最近的那)", text):
        choice = 1
    return Slots(
        departments=departments,
        hospitals=hospitals,
        hospital_words=words,
        practitioner=find_practitioner(without),
        when=find_when(without, context.now),
        choice=choice,
        lift_only=bool(_LIFT.search(text)),
        covered=bool(_RAIN.search(text)),
        cheapest="便宜" in text,
    )


_ANSWERS = {rule.name: rule for rule in RULES if rule.kind == "answer"}


def _answer(said: str, slots: Slots) -> str:
    for name in ("no", "yes"):
        rule = _ANSWERS[name]
        if rule.never and rule.never.search(said):
            continue
        if rule.strong and rule.strong.search(said):
            return name
    if slots.choice is not None or _ANSWERS["choose"].strong.search(said):  # type: ignore[union-attr]
        return "choose"
    return ""
