"""What is said by itself: a due prompt and its visit turned into words, a card, and the next step.

The words stand in data/journey/prompts.yaml; this module only fills their placeholders.
"""

import re
from dataclasses import asdict, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils import timezone

from companion import cards, reminders
from companion.events import Ask, Event, Option, Say
from companion.journey import AT_THE_DOOR, Journey, VisitState
from companion.journey.next_step import NextStep, next_step
from companion.models import Patient, Resident, Visit
from companion.wording import NEXT, PROMPTS
from hospitals.connectors.base import QueuePosition

WEEKDAYS = "一二三四五六日"
# A day at a hospital is over by then, whatever it still says of the visit.
_A_DAY_THERE = timedelta(hours=12)
# What a clock brings up, not the hospital: being there is no reason to hear it at night.
_OF_THE_CLOCK = frozenset({"reminded", "fasting", "medicine_due", "follow_up_due"})
# 「您」 after these is the one who listens; elsewhere, in words about a visit, it is the patient.
_THE_PATIENT = re.compile(r"(?<!帮)(?<!提醒)(?<!告诉)(?<!叫)您")


def yuan(fen: int) -> str:
    """12050 → 「120.5元」, 12000 → 「120元」: as people say money."""
    return f"{fen / 100:.2f}".rstrip("0").rstrip(".") + "元"


def clock(at: datetime) -> str:
    """「11月24日星期二上午9点半」: as people say a time; the day's name only when it is not today or tomorrow."""
    local, today = timezone.localtime(at), timezone.localdate()
    days = (local.date() - today).days
    day = {0: "今天", 1: "明天", 2: "后天"}.get(days, f"{local.month}月{local.day}日星期{WEEKDAYS[local.weekday()]}")
    part = "上午" if local.hour < 12 else "中午" if local.hour == 12 else "下午" if local.hour < 18 else "晚上"
    hour = local.hour if local.hour <= 12 else local.hour - 12
    minute = {0: "", 30: "半"}.get(local.minute, f"{local.minute}分")
    return f"{day}{part}{hour}点{minute}"


def day(on: date) -> str:
    return f"{on.month}月{on.day}日"


def queue_sentence(queue: QueuePosition) -> str:
    """「前面排队4人,当前叫号66号,地址位于7号楼1楼B区眼科检查一区。」 and an honest wait, when one is known."""
    sentence = f"前面排队{queue.ahead}人,当前叫号{queue.now_serving or '还没有开始'}{'号' if queue.now_serving else ''},地址位于{queue.place}{queue.room_name}。"
    if queue.wait_low_min is not None and queue.wait_high_min is not None and queue.ahead:
        sentence += f"大约还要等{queue.wait_low_min}到{queue.wait_high_min}分钟。"
    return sentence


def _sentence(text: str) -> str:
    """The hospital's words as a sentence of their own, or nothing."""
    return "" if not text else text if text[-1] in "。!?" else f"{text}。"


def values(visit: Visit, journey: Journey, part_id: str = "", due_at: datetime | None = None) -> dict[str, Any]:
    """All placeholders that this visit can fill; ``part_id`` chooses the bill, examination, report or prescription.

    ``due_at``: the time of day that a reminder of medicine is about.
    """
    found: dict[str, Any] = {
        "patient": visit.patient.name,
        "hospital": visit.hospital_name,
        "department": visit.department,
        "start": clock(visit.start),
        "reason": journey.reason.text.rstrip("。") if journey.reason else "医院没有说明原因",
        "alternative": _sentence(journey.reason.alternative) if journey.reason else "",
        "rule": _sentence(journey.missed.rule) if journey.missed else "",
        "ticket": "",
        "title": "这笔费用",
        "payment_held": "",
        "returned": "",
        "too_much": "",
    }
    if journey.queue:
        queue = journey.queue
        found |= {
            "ticket": queue.ticket,
            "ahead": queue.ahead,
            "place": queue.place,
            "room": queue.room_name,
            "queue_sentence": queue_sentence(queue),
        }
    for payment in journey.payments:
        if payment.invoice.id == part_id:
            bill = payment.invoice
            found |= {
                "title": bill.title,
                "total": yuan(bill.total_fen),
                "insurance": yuan(bill.insurance_fen),
                "self_pay": yuan(bill.self_pay_fen),
                "payment_refused": payment.refused or "没有说明原因",
                "payment_held": payment.held or "医院还没有应答",
                "returned": payment.returned,
                "too_much": payment.too_much,
            }
    for part in journey.examinations:
        if part.examination.id == part_id:
            exam = part.examination
            preparation = ("检查前要空腹,不要吃东西。" if exam.fasting else "") + _sentence(exam.preparation)
            found |= {"name": exam.name, "place": exam.place, "room": exam.room_name, "preparation": preparation}
            tonight = due_at is None or timezone.localdate() == timezone.localtime(due_at).date()
            found["fast_from"] = "今晚十点以后不要吃东西" if tonight else "早饭先不要吃"
    for report in journey.reports:
        if report.report.id == part_id:
            found |= {"name": report.report.name, "report_sentence": cards.report_sentence(visit, report.report)}
    for prescription in journey.prescriptions:
        if prescription.prescription.id == part_id:
            sheet = prescription.prescription
            found |= {
                "medicines": "、".join(item.medicine for item in sheet.items),
                "pickup": sheet.pickup_place or "药房",
                "place": sheet.pickup_place or "药房",
                "medicines_due": "".join(
                    f"{item.medicine},医生写的用法是:{_sentence(item.dosage)}"
                    for item in (reminders.due_items(sheet, due_at) if due_at else ())
                ),
            }
    if journey.follow_up:
        follow_up = journey.follow_up
        found |= {
            "due_on": day(follow_up.due_on),
            "follow_department": follow_up.department,
            "instruction": _sentence(follow_up.instruction),
        }
    return found


def events(visit: Visit, journey: Journey, name: str, part_id: str = "", due_at: datetime | None = None) -> list[Event]:
    """A prompt as the turn's events: words, then the card they speak of."""
    wording = PROMPTS[name]
    result: list[Event] = []
    if wording.say:
        text = wording.say.format_map(values(visit, journey, part_id, due_at))
        result.append(Say(text=text, mood=wording.mood))  # type: ignore[arg-type]
    if wording.card:
        card = cards.card(wording.card, visit, journey, part_id=part_id)
        if card is not None:
            result.append(card)
    return result


def in_quiet_hours(resident: Resident, now: datetime) -> bool:
    clock, start, end = timezone.localtime(now).time(), resident.quiet_from, resident.quiet_until
    return start <= clock < end if start <= end else clock >= start or clock < end


def waits_for_morning(visit: Visit, journey: Journey, name: str, part_id: str, until: time, now: datetime) -> bool:
    """Whether a prompt that came up in the quiet hours, which end at ``until``, is better said after them."""
    if not PROMPTS[name].quiet or name in _OF_THE_CLOCK:
        return PROMPTS[name].quiet
    if _at_the_hospital(visit, journey, now):
        return False  # and waits for it
    if name == "report_issued":
        return not any(p.report.id == part_id and cards.is_critical(p.report) for p in journey.reports)
    if name in ("stopped", "refused"):
        return reminders.leave_at(journey, visit.start) > _next(until, now)  # else she would set out for nothing
    return True


def _at_the_hospital(visit: Visit, journey: Journey, now: datetime) -> bool:
    """By the hospital's own events and not by the clock: an appointment may be taken early, and a consultation end late."""
    if journey.state in AT_THE_DOOR or journey.state is VisitState.IN_CONSULTATION:
        return True
    if journey.state is not VisitState.CONSULTED:
        return False
    seen = visit.events.filter(type__startswith="encounter.").order_by("-received_at").first()
    return seen is not None and now - seen.received_at < _A_DAY_THERE


def _next(clock: time, now: datetime) -> datetime:
    local = timezone.localtime(now)
    at = timezone.make_aware(datetime.combine(local.date(), clock))
    return at if at > now else at + timedelta(days=1)


def about(patient: Patient, said: list[Event]) -> list[Event]:
    """The same words about a family member, to whoever looks after the visit: whose it is, and no button of hers."""
    pronoun = "她" if patient.sex == Patient.Sex.FEMALE else "他"
    return [
        replace(event, text=f"{patient.name}的就诊:{_THE_PATIENT.sub(pronoun, event.text)}")
        if isinstance(event, Say)
        else event
        for event in said
        if not isinstance(event, Ask)  # a button acts for the one this conversation is about
    ]


def next_events(visit: Visit, journey: Journey) -> list[Event]:
    """What to do now, said and offered as one big button."""
    step = next_step(journey)
    say = NEXT[step.name].say.format_map(values(visit, journey, step.part_id))
    result: list[Event] = [Say(text=say)]
    options = next_options(step)
    if options:
        result.append(Ask(slot="next", options=options))
    return result


def next_options(step: NextStep) -> tuple[Option, ...]:
    wording = NEXT[step.name]
    return (Option(label=wording.label, text=wording.say_instead),) if wording.label else ()


def options_frame(step: NextStep) -> list[dict[str, Any]]:
    return [asdict(option) for option in next_options(step)]
