"""Reads one sentence: wishes in order, whom it is about, when and where, and how it answers what was just asked."""

import re
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from companion import knowledge, triage
from companion.ports.booking import HospitalView
from companion.understanding import examples
from companion.understanding.intents import CONNECTIVES, FILLERS, RULES, STRONG, SYMPTOMS, Scored, kind_of, scores
from companion.understanding.names import DEPARTMENTS, find_practitioner, hospital_index
from companion.understanding.numerals import number
from companion.understanding.people import Person, find_person
from companion.understanding.sounds import Lexicon
from companion.understanding.times import When, find_when

_DATA = Path(__file__).parent.parent / "data" / "dialogue"
UNKNOWN = "unknown"
_MAX_WISHES = 3
# How similar a sentence on file must be (companion.understanding.examples): four in five are right from there on, left one out.
_ALIKE, _ALIKE_OVER_SYMPTOM = 0.4, 0.6
_SHORT = 6  # characters; only short sentences are sooner a slip of the recogniser than a symptom


@dataclass(frozen=True, slots=True)
class Context:
    """What a sentence can lean on. ``expecting``: what was just asked; ``last_intent``: what the talk is about."""

    now: datetime
    hospitals: tuple[HospitalView, ...] = ()
    expecting: str = ""
    last_intent: str = ""


@dataclass(frozen=True, slots=True)
class Slots:
    """What the sentence fills. ``hospitals``: all that the words can mean, nearest first."""

    departments: tuple[str, ...] = ()
    hospitals: tuple[HospitalView, ...] = ()
    hospital_words: str = ""
    practitioner: str = ""
    when: When | None = None
    choice: int | None = None  # 1-based; -1 the last
    lift_only: bool = False
    covered: bool = False  # a way on which she stays dry
    cheapest: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that is wanted. ``text``: the words it was read from."""

    intent: str
    score: float
    text: str
    because: str = ""


@dataclass(frozen=True, slots=True)
class Understanding:
    """``answer``: "yes" | "no" | "choose" | "" as an answer to what was asked. ``correction``: it mends what was said."""

    text: str
    wishes: tuple[Wish, ...]
    slots: Slots = Slots()
    person: Person | None = None
    answer: str = ""
    correction: bool = False
    symptoms: bool = False
    heard_as: str = ""  # the sentence after words were taken for what they sound like
    reasons: tuple[str, ...] = field(default=())

    @property
    def intent(self) -> str:
        return self.wishes[0].intent if self.wishes else UNKNOWN

    @property
    def intents(self) -> tuple[str, ...]:
        return tuple(wish.intent for wish in self.wishes)

    def to_log(self) -> dict[str, Any]:
        """What the quality loop keeps: why it was understood so. No words of hers but those that decided."""
        slots = self.slots
        return {
            "intent": self.intent,
            "intents": list(self.intents),
            "scores": [round(w.score, 2) for w in self.wishes],
            "because": [w.because for w in self.wishes],
            "departments": list(slots.departments),
            "hospital": slots.hospitals[0].name if slots.hospitals else "",
            "when": slots.when.to_dict() if slots.when else None,
            "practitioner": slots.practitioner,
            "person": self.person.relation if self.person else "",
            "answer": self.answer,
            "correction": self.correction,
            "heard_as": self.heard_as,
            "reasons": list(self.reasons),
        }


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
_SPLIT = re.compile(r"[,。;!?,;!?\n]+")
_TEACH_ME = re.compile(
    r"不能(?:碰|吃|喝|做|沾)(?:哪些|什么|啥)|会不会(?:传|遗传|复发|变|自己好)|吃(?:点|些)(?:什么|啥)(?!药)|前.{0,4}(?:吃|喝)(?:什么|啥)|能不能预防|忌(?:什么|啥|哪些)|要准备(?:什么|啥)|打.{0,5}针(?:好|行|可以)|"
    r"什么(?:是|叫|病|意思)|(?:是|算)(?:个)?(?:什么|啥)(?:病|意思|检查|东西|药)|预防|传染|遗传|正常值|参考(?:值|范围)|并发症|区别|疫苗|"
    r"有(?:哪些|什么|啥)(?:症状|表现|危害)|(?:能|可以|能不能|可不可以)(?:吃|喝|打|运动|怀孕|喂奶|游泳|跑步|洗)|多少(?:算|才)|"
    r"忌口|饮食|(?:多)?吃(?:点)?(?:什么|啥)(?:好|水果|东西|比较)|注意(?:些|点)?(?:什么|啥|哪些|事项)|护理|为(?:什么|啥)(?:会|要)|科普|知识"
)
_OWN = re.compile(
    r"我|俺|咱|他|她|孩子|娃|宝|孙|爸|妈|爹|娘|老伴|老头|爱人|老公|老婆|这两天|昨|今(?:天|早)|天了|一直|老是|总|突然|最近|年了|个月了|半天|夜里|晚上"
)


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
    wishes = _wishes(rest, context, slots, symptoms, reasons)
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
        wishes = _ellipsis(said, context, slots, person, correction, reasons)
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


def _clauses(text: str) -> list[str]:
    pieces = [piece for part in _SPLIT.split(text) for piece in CONNECTIVES.split(part) if piece]
    return [piece.strip() for piece in pieces if piece.strip()]


def _wishes(text: str, context: Context, slots: Slots, symptoms: bool, reasons: list[str]) -> tuple[Wish, ...]:
    """The wishes of each clause in order; clauses that want nothing lend their words to the one before."""
    found: list[Wish] = []
    clauses = _clauses(text)
    for clause in clauses:
        best = _best(clause, context)
        if best is None:
            continue
        if found and best.intent == found[-1].intent:
            continue
        found.append(Wish(best.intent, best.score, clause, best.because))
    if len(clauses) > 1 and not found:
        best = _best(text, context)
        if best:
            found.append(Wish(best.intent, best.score, text, best.because))
    found = _settled(found, text, slots, symptoms, reasons)
    return tuple(found[:_MAX_WISHES])


_ASKING = re.compile(r"吗|么|不$|没$|什么|啥|怎么|咋|多久|几|能|可以|会|好不好|要不要")


def _best(clause: str, context: Context) -> Scored | None:
    ranked = [s for s in scores(clause) if s.kind != "answer"]
    symptoms = bool(SYMPTOMS.search(clause))
    teach = _TEACH_ME.search(clause)
    asks_of_medicine = _ASKING.search(clause) and knowledge.names_medicine(clause)  # no complaint
    if symptoms:
        asks = next((s for s in ranked if s.intent == "health_question"), None)
        if teach and not (_OWN.search(clause) and not re.search("吗|么|什么|怎么|哪些|为啥|多少|啥", clause)):
            ranked = [s for s in ranked if s.intent != "triage"]
            if not asks:
                ranked.insert(0, Scored("health_question", "task", 3.4, teach.group()))
        else:
            words = SYMPTOMS.search(clause)
            ranked = [s for s in ranked if s.intent != "health_question" or (teach and not _OWN.search(clause))]
            if not any(s.intent == "triage" for s in ranked):
                ranked.append(Scored("triage", "task", 3.05, words.group() if words else ""))
            else:
                ranked = [
                    Scored(s.intent, s.kind, s.score + 0.4, s.because) if s.intent == "triage" else s for s in ranked
                ]
    elif asks_of_medicine and not any(s.intent == "medicine" and s.score >= STRONG for s in ranked):
        ranked.append(Scored("health_question", "task", 3.4, clause[:8]))
    elif teach and not any(s.intent in ("examination", "medicine", "report") for s in ranked):
        ranked.append(Scored("health_question", "task", 3.4, teach.group()))
    if not ranked:
        return None
    ranked.sort(key=lambda s: -s.score)
    top = ranked[0]
    if top.score < 2.0 and top.intent in ("book", "medicine", "examination", "queue", "pay", "report") and symptoms:
        return Scored("triage", "task", 3.0, top.because)
    return top


_TALK_ONLY = frozenset({"greeting", "thanks", "goodbye", "small_talk"})


def _settled(found: list[Wish], text: str, slots: Slots, symptoms: bool, reasons: list[str]) -> list[Wish]:
    """Wishes that explain each other made one: a greeting before a task, symptoms before a booking."""
    names = [w.intent for w in found]
    if any(n not in _TALK_ONLY for n in names):
        found = [w for w in found if w.intent not in _TALK_ONLY]
    names = [w.intent for w in found]
    if "help" in names and len(names) > 1:
        found = [w for w in found if w.intent != "help"]
    if "cancel" in names and "book" in names and re.search(r"(?:改|换)(?:成|到|约)|重新(?:挂|约)", text):
        reasons.append("cancel_and_book_is_reschedule")
        keep = next(w for w in found if w.intent == "cancel")
        found = [Wish("reschedule", keep.score, text, keep.because)]
    names = [w.intent for w in found]
    if "reschedule" in names:
        found = [w for w in found if w.intent not in ("book", "cancel")]
    if "triage" in names and "health_question" in names and symptoms:
        found = [w for w in found if w.intent != "health_question"]
    names = [w.intent for w in found]
    if "triage" in names and "book" in names and symptoms:
        if slots.departments and found[names.index("triage")].score < 3.3:
            found = [w for w in found if w.intent != "triage"]
            reasons.append("department_named")
        else:
            found = [w for w in found if w.intent != "book"]
            reasons.append("triage_leads_to_booking")
    if "book" in names and "switch_person" in names:
        found = [w for w in found if w.intent != "switch_person"]
    unique: dict[str, Wish] = {}
    for wish in found:
        unique.setdefault(wish.intent, wish)
    return list(unique.values())


_BOOKING = frozenset({"book", "triage", "reschedule", "slots"})


def _ellipsis(
    said: str, context: Context, slots: Slots, person: Person | None, correction: bool, reasons: list[str]
) -> tuple[Wish, ...]:
    """A sentence that names only a place, a time or a person continues what the talk is about."""
    names_slot = bool(slots.departments or slots.hospitals or slots.practitioner or slots.when)
    last = context.last_intent
    if last == "report" and re.search(r"高|低|箭头|正常|意思|怎么|为什么", said):
        reasons.append("continues_report")
        return (Wish("report", 2.0, said, "same as before"),)
    if slots.departments and last == "route" and not slots.when:
        reasons.append("continues_route")
        return (Wish("route", 2.0, said, "same as before"),)
    if names_slot and (last in _BOOKING or context.expecting in ("offer", "department", "confirm_book")):
        reasons.append("continues_booking")
        return (Wish("reschedule" if last == "reschedule" else "book", 2.0, said, "same as before"),)
    if person and (correction or len(said) <= 12) and not context.expecting:
        reasons.append("names_person")
        return (Wish("switch_person", 2.0, said, person.word),)
    if slots.lift_only and (last == "route" or context.expecting == "start"):
        return (Wish("route", 2.0, said, "lift"),)
    if slots.departments or (slots.hospitals and slots.when):
        reasons.append("names_department")
        return (Wish("book", 1.6, said, slots.departments[0] if slots.departments else slots.hospital_words),)
    if last and kind_of(last) == "task" and re.search(r"^(?:那|那么)?(?:.{1,6})呢$", said):
        reasons.append("continues")
        return (Wish(last, 1.5, said, "same as before"),)
    return ()
