"""The cards of a visit, made from its row and its journey; used by prompts that come by themselves and by skills.

Each function returns the data that companion.events.CardKind describes; static/app/cards.js draws it.
"""

from datetime import datetime
from typing import Any

from django.utils import timezone

from companion import knowledge
from companion.events import CardKind, ShowCard
from companion.journey import AT_THE_DOOR, BEFORE_CHECK_IN, Journey, VisitState
from companion.models import Patient, Visit
from hospitals.connectors.base import DiagnosticReport

STALE_AFTER_S = 60
_CRITICAL = frozenset({"HH", "LL"})


def iso(at: datetime) -> str:
    return timezone.localtime(at).isoformat(timespec="seconds")


def appointment(visit: Visit, journey: Journey) -> dict[str, Any]:
    return {
        "visit_id": str(visit.id),
        "hospital": visit.hospital_name,
        "department": visit.department,
        "practitioner": visit.practitioner,
        "start": iso(visit.start),
        "place": visit.where[0],
        "patient": visit.patient.name,
        "status": journey.state.value,
        "awaits": journey.awaits,
        "can_cancel": journey.state in BEFORE_CHECK_IN,
    }


def queue(visit: Visit, journey: Journey) -> dict[str, Any] | None:
    """The queue as the hospital last told it; ``stale`` once that is more than a minute ago."""
    if journey.queue is None:
        return None
    seen = journey.queue
    waiting = journey.state in AT_THE_DOOR
    return {
        "ticket": seen.ticket,
        "ahead": seen.ahead,
        "now_serving": seen.now_serving,
        "place": seen.place,
        "room": seen.room_name,
        "room_code": seen.room_code,
        "wait_low_min": seen.wait_low_min,
        "wait_high_min": seen.wait_high_min,
        "as_of": iso(seen.as_of),
        "stale": waiting and (timezone.now() - seen.as_of).total_seconds() > STALE_AFTER_S,
        "status": journey.state.value,
    }


def invoices(journey: Journey, part_id: str = "") -> dict[str, Any]:
    chosen = [p for p in journey.payments if part_id in ("", p.invoice.id)]
    return {
        "invoices": [
            {
                "id": p.invoice.id,
                "title": p.invoice.title,
                "lines": [{"name": line.name, "amount_fen": line.amount_fen} for line in p.invoice.lines],
                "total_fen": p.invoice.total_fen,
                "insurance_fen": p.invoice.insurance_fen,
                "self_pay_fen": p.invoice.self_pay_fen,
                "status": p.state,
                "refused": p.refused,
            }
            for p in chosen
        ]
    }


def examinations(journey: Journey, part_id: str = "") -> dict[str, Any]:
    chosen = [p for p in journey.examinations if part_id in ("", p.examination.id)]
    return {
        "examinations": [
            {
                "id": p.examination.id,
                "name": p.examination.name,
                "place": p.examination.place,
                "room": p.examination.room_name,
                "room_code": p.examination.room_code,
                "preparation": p.examination.preparation,
                "fasting": p.examination.fasting,
                "status": p.state,
            }
            for p in chosen
        ]
    }


def age_of(patient: Patient) -> int | None:
    """The patient's age today, for reference ranges and cautions; None while the card is not filled."""
    try:
        born = datetime.fromisoformat(patient.birth_date).date()
    except ValueError:
        return None
    today = timezone.localdate()
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def is_critical(report: DiagnosticReport) -> bool:
    """A panic value: the clinician hears of it first, never the resident from the avatar."""
    return any(line.interpretation in _CRITICAL for line in report.observations)


def report_sentence(visit: Visit, report: DiagnosticReport) -> str:
    """One sentence on the whole report; what is urgent is sent to the doctor, not explained."""
    if is_critical(report):
        return "里面有结果需要医生马上看,请现在就拿给医生,或者找护士站。已经回家的,请马上去急诊。"
    lines = knowledge.explain_report(report, age_years=age_of(visit.patient), sex=visit.patient.sex)
    marked = [line.name for line in lines if line.mark != "normal"]
    if not lines:
        return "报告没有数字指标,结论写在下面。"
    if not marked:
        return f"一共{len(lines)}项,都在参考范围内。"
    return f"一共{len(lines)}项,有{len(marked)}项要留意:{'、'.join(marked)}。我一行一行讲给您听。"


def reports(visit: Visit, journey: Journey, part_id: str = "") -> dict[str, Any]:
    result = []
    for part in journey.reports:
        report = part.report
        if part_id not in ("", report.id):
            continue
        critical = is_critical(report)
        lines = (
            [] if critical else knowledge.explain_report(report, age_years=age_of(visit.patient), sex=visit.patient.sex)
        )
        result.append(
            {
                "id": report.id,
                "name": report.name,
                "issued_at": iso(report.issued_at),
                "lines": [
                    {
                        "name": line.name,
                        "value": line.value,
                        "unit": line.unit,
                        "range": line.range,
                        "mark": line.mark,
                        "explanation": line.explanation,
                        "source": line.source,
                    }
                    for line in lines
                ],
                "conclusion": "请现在就拿给医生看,或者找护士站。" if critical else report.conclusion,
                "critical": critical,
                "status": part.state,
            }
        )
    return {"reports": result}


def medicines(visit: Visit, journey: Journey, part_id: str = "") -> dict[str, Any]:
    """What the doctor wrote, beside cautions from the knowledge base; the dose is only ever the prescription's."""
    chosen = [p.prescription for p in journey.prescriptions if part_id in ("", p.prescription.id)]
    names = [item.medicine for sheet in chosen for item in sheet.items]
    result = []
    for sheet in chosen:
        for item in sheet.items:
            entry = knowledge.medicine(item.medicine)
            cautions = knowledge.medicine_cautions(
                item.medicine,
                age_years=age_of(visit.patient),
                sex=visit.patient.sex,
                other_medicines=[name for name in names if name != item.medicine],
            )
            result.append(
                {
                    "name": item.medicine,
                    "dosage": item.dosage,
                    "route": item.route,
                    "days": item.days,
                    "instructions": item.instructions,
                    "cautions": [caution.text for caution in cautions],
                    "source": entry.source if entry else "",
                }
            )
    pending = [p.prescription.pickup_place for p in journey.prescriptions if p.state == "issued"]
    return {"medicines": result, "pickup_place": next(iter(pending), ""), "reminding": journey.medicine_reminders}


def follow_up(journey: Journey) -> dict[str, Any] | None:
    if journey.follow_up is None:
        return None
    plan = journey.follow_up
    return {"due_on": plan.due_on.isoformat(), "department": plan.department, "instruction": plan.instruction}


_AFTERWARDS = "缴费、检查、取药"
# The visit's main line, as people think of it; what runs in parallel stands in its own lines below.
_LINE = [
    ("预约", BEFORE_CHECK_IN | {VisitState.CANCELLING}),
    ("取号", frozenset({VisitState.CHECKED_IN})),
    ("候诊", frozenset({VisitState.WAITING, VisitState.CALLED, VisitState.MISSED})),
    ("看诊", frozenset({VisitState.IN_CONSULTATION})),
    (_AFTERWARDS, frozenset({VisitState.CONSULTED})),
    ("完成", frozenset({VisitState.CLOSED, VisitState.FOLLOW_UP})),
]


def progress(journey: Journey) -> dict[str, Any]:
    at = next((n for n, (_name, states) in enumerate(_LINE) if journey.state in states), None)
    left = _left(journey) if journey.state is VisitState.CONSULTED else _AFTERWARDS
    steps = [
        {
            "name": left if name is _AFTERWARDS else name,
            "state": "next" if at is None or n > at else "now" if n == at else "done",
        }
        for n, (name, _states) in enumerate(_LINE)
    ]
    words = {"issued": "待缴费", "sent": "确认中", "paid": "已缴费", "cancelled": "已撤销"}
    steps += [
        {
            "name": p.invoice.title,
            "text": f"{p.invoice.title}:{words[p.state]}",
            "state": _part(p.state, {"paid", "cancelled"}),
        }
        for p in journey.payments
    ]
    words = {"ordered": "待检查", "completed": "等报告", "reported": "报告已出", "cancelled": "已取消"}
    steps += [
        {
            "name": p.examination.name,
            "text": f"{p.examination.name}:{words[p.state]}",
            "state": _part(p.state, {"reported", "cancelled"}),
        }
        for p in journey.examinations
    ]
    words = {"issued": "待取药", "dispensed": "已取药"}
    steps += [
        {"name": "取药", "text": f"取药:{words[p.state]}", "state": _part(p.state, {"dispensed"})}
        for p in journey.prescriptions
    ]
    return {"steps": steps}


def _left(journey: Journey) -> str:
    """What of it is not done yet, in the order in which it is done: what is paid is not to be paid."""
    left = [
        name
        for name, states, open_states in (
            ("缴费", {p.state for p in journey.payments}, {"issued", "sent"}),
            ("检查", {p.state for p in journey.examinations}, {"ordered", "completed"}),
            ("看报告", {p.state for p in journey.reports}, {"issued"}),
            ("取药", {p.state for p in journey.prescriptions}, {"issued"}),
        )
        if states & open_states
    ]
    return "、".join(left) or "等医生的单子"


def _part(state: str, done: set[str]) -> str:
    return "done" if state in done else "now"


def card(kind: str, visit: Visit, journey: Journey, *, part_id: str = "") -> ShowCard | None:
    """The card of this kind, or None where the visit has nothing to show on it."""
    made: dict[str, Any] | None
    match kind:
        case "appointment":
            made = appointment(visit, journey)
        case "queue":
            made = queue(visit, journey)
        case "invoice":
            made = invoices(journey, part_id)
        case "examination":
            made = examinations(journey, part_id)
        case "report":
            made = reports(visit, journey, part_id)
        case "medicine":
            made = medicines(visit, journey, part_id)
        case "follow_up":
            made = follow_up(journey)
        case "journey":
            made = progress(journey)
        case _:
            raise ValueError(kind)
    named: CardKind = kind
    return ShowCard(named, made) if made is not None else None


def main_card(visit: Visit, journey: Journey) -> ShowCard | None:
    """The one card that fits where the visit stands; shown when she comes back to the page."""
    if journey.state in BEFORE_CHECK_IN or journey.state is VisitState.CANCELLING:
        return card("appointment", visit, journey)
    if journey.state in AT_THE_DOOR:
        return card("queue", visit, journey)
    if journey.unpaid:
        return card("invoice", visit, journey, part_id=journey.unpaid[0].id)
    if any(part.state == "ordered" for part in journey.examinations):
        return card("examination", visit, journey)
    fetched = any(part.state == "dispensed" for part in journey.prescriptions)
    if not fetched and any(part.state == "issued" for part in journey.reports):
        return card("report", visit, journey)
    if journey.prescriptions:
        return card("medicine", visit, journey)
    return card("journey", visit, journey)
