"""What a sentence wants: the wishes of its clauses, what they make of each other, and what carries on the talk."""

import re

from companion import knowledge
from companion.understanding.intents import CONNECTIVES, STRONG, SYMPTOMS, Scored, kind_of, scores
from companion.understanding.people import Person
from companion.understanding.values import Context, Slots, Wish

_MAX_WISHES = 3
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


def _clauses(text: str) -> list[str]:
    pieces = [piece for part in _SPLIT.split(text) for piece in CONNECTIVES.split(part) if piece]
    return [piece.strip() for piece in pieces if piece.strip()]


def wishes(text: str, slots: Slots, symptoms: bool, reasons: list[str]) -> tuple[Wish, ...]:
    """The wishes of each clause in order; clauses that want nothing lend their words to the one before."""
    found: list[Wish] = []
    clauses = _clauses(text)
    for clause in clauses:
        best = _best(clause)
        if best is None:
            continue
        if found and best.intent == found[-1].intent:
            continue
        found.append(Wish(best.intent, best.score, clause, best.because))
    if len(clauses) > 1 and not found:
        best = _best(text)
        if best:
            found.append(Wish(best.intent, best.score, text, best.because))
    found = _settled(found, text, slots, symptoms, reasons)
    return tuple(found[:_MAX_WISHES])


_ASKING = re.compile(r"吗|么|不$|没$|什么|啥|怎么|咋|多久|几|能|可以|会|好不好|要不要")


def _best(clause: str) -> Scored | None:
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


def carried_on(
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
