"""Which department, how soon and why: asks the one question that separates best, then advises and offers slots."""

from collections.abc import AsyncIterator
from typing import Any

from companion import triage
from companion.events import Event, Option, Say, ShowCard
from companion.skills import book, emergency
from companion.skills.scene import Contract, Scene
from companion.understanding import When

CONTRACT = Contract(
    name="triage",
    intents=("triage",),
    expects=("triage",),
    needs=("symptom",),
    asks={"symptom": "您哪里不舒服?"},
    does=(*book.CONTRACT.does, "nearest_emergency", "report_incident", "request_human"),
    says="how urgent it is with a deadline and what to do, the department with its reason, and free slots for it",
)
MOST_QUESTIONS = 4
_NOW = frozenset({"ambulance", "emergency"})
_BOOKED_FOR = frozenset({"within_24h", "outpatient"})


async def run(scene: Scene) -> AsyncIterator[Event]:
    memory = scene.memory
    answering = scene.answers("triage") and bool(memory.triage)
    book.remember(scene)
    if not answering:
        memory.triage = {"said": [], "asked": 0}
        memory.departments = []
    question = str(scene.expecting.get("question", "")) if answering else ""
    memory.triage["said"].append([scene.understood.text, question])
    assessed = assess(scene)
    if not answering and not assessed.mentions and assessed.question is None:
        memory.triage["said"] = []
        yield Say(CONTRACT.asks["symptom"])
        yield scene.ask("triage", tuple(Option(w, w) for w in ("头晕", "肚子疼", "咳嗽", "眼睛不舒服")))
        return
    memory.last_understood["urgency"] = assessed.urgency
    memory.last_understood["triage"] = assessed.to_log()
    if assessed.red_flags or assessed.urgency in _NOW:
        async for event in emergency.respond(scene, _danger(assessed)):
            yield event
        return
    asked = int(memory.triage["asked"])
    if assessed.question is not None and asked < MOST_QUESTIONS:
        memory.triage["asked"] = asked + 1
        if not asked:
            yield Say(f"好的,{_whose(scene)}我先问一句,好找对科室。")
        yield Say(assessed.question.text)
        options = tuple(Option(label, label) for _id, label in assessed.question.options)
        yield scene.ask("triage", options, question=assessed.question.id)
        return
    async for event in advise(scene, assessed):
        yield event


def _whose(scene: Scene) -> str:
    return f"您{scene.other.word}的情况," if scene.other else ""


def _danger(assessed: triage.Assessment) -> emergency.Danger:
    """Red flags name their own first aid; a level raised by pairs of facts has the level's."""
    if assessed.red_flags:
        return emergency.of_flags(assessed.red_flags)
    raised = next((r for r in assessed.reasons if r.direction == "raises"), None)
    return emergency.Danger(
        codes=("raised",),
        level=assessed.urgency,
        title=raised.text if raised else assessed.title,
        do=(assessed.action, *(f"留意:{words}" for words in assessed.watch_for)),
        source=raised.source if raised else "",
    )


def assess(scene: Scene) -> triage.Assessment:
    """All that was said of this complaint, with what is known of the patient it is about."""
    other = scene.other
    said = [triage.Utterance(text, question) for text, question in scene.memory.triage["said"]]
    age = other.age_years if other else scene.patient.age_years
    sex = other.sex if other else scene.patient.sex
    return triage.assess(said, age_years=age, sex=sex or None)


def why(assessed: triage.Assessment) -> str:
    """The words that spoke for the first department, as one short sentence."""
    best = assessed.departments[0].name
    words = [
        m.word
        for m in assessed.mentions
        if m.counts == 1.0 and any(name == best and weight > 0 for name, weight in m.departments)
    ]
    words = [w for w in dict.fromkeys(words) if not any(w != other and w in other for other in words)][:2]
    about = next((r.text for r in assessed.reasons if r.direction == "about"), "")
    if about:
        return f"{about}。"
    return f"您说的{'、'.join(f'「{w}」' for w in words)},多半归这个科看。" if words else ""


async def advise(scene: Scene, assessed: triage.Assessment) -> AsyncIterator[Event]:
    """The level with its deadline and action, the department and why; then slots, unless it can wait at home."""
    memory = scene.memory
    best = assessed.departments[:3]
    memory.departments = [best[0].name]
    memory.topic = ""
    if scene.other:
        yield Say(f"您说的是您{scene.other.word}。")
    yield Say(f"建议看{best[0].name}。{why(assessed)}")
    raised = next((r for r in assessed.reasons if r.direction == "raises"), None)
    if raised:
        yield Say(f"{raised.text}。", sources=(raised.source,) if raised.source else ())
    told = assessed.deadline in assessed.action or assessed.title[:4] in assessed.deadline
    yield Say(f"{assessed.title}{'' if told else f',{assessed.deadline}'}。{assessed.action}")
    yield ShowCard("departments", departments_card(assessed))
    if assessed.watch_for:
        yield Say(f"如果{assessed.watch_for[0]},要马上再告诉我或者去医院。")
    if not assessed.certain and len(best) > 1:
        yield Say(f"我不能完全确定,也可能是{best[1].name}。拿不准就先挂{assessed.fallback.name},或者转人工。")
    if assessed.urgency not in _BOOKED_FOR:
        yield Say(f"要是想看看,我可以帮您挂{best[0].name}。")
        yield scene.ask("offer", (Option(f"挂{best[0].name}", f"挂{best[0].name}"), Option("先观察", "先不挂")))
        return
    if scene.other is not None:
        async for event in book.without_card(scene):
            yield event
        return
    when = When.from_dict(memory.when) if memory.when else None
    if when is None and assessed.urgency == "within_24h":
        when = book.soonest(scene.now)
    concrete = bool(memory.when or memory.hospital_id)
    async for event in book.show(scene, when, concrete=concrete):
        yield event


def departments_card(assessed: triage.Assessment) -> dict[str, Any]:
    reasons = {assessed.departments[0].name: why(assessed)}
    return {
        "departments": [
            {"name": d.name, "code": d.code, "reason": reasons.get(d.name, "")}
            for d in assessed.departments[:3]
            if d.score >= 0.1
        ],
        "urgency": assessed.urgency,
        "deadline": f"{assessed.deadline}。",
        "action": assessed.action,
        "watch": list(assessed.watch_for),
        "not_asked": list(assessed.not_asked[:3]),
        "reasons": [reason.to_json() for reason in assessed.reasons],
    }
