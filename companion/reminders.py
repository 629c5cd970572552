"""What to bring up later about a visit, when, and whether it is still worth saying then: a pure function of its journey.

Times of day for "n times a day" are the ones wards and pharmacies commonly use (qd 8; bid 8, 20; tid 8, 12, 18; qid 8, 12, 16, 20;
before sleep 21). The dose itself is never ours: a reminder repeats the prescription's words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from django.utils import timezone

from companion.journey import BEFORE_CHECK_IN, Journey, VisitState
from companion.models import Reminder
from hospitals.connectors.base import MedicationRequest, Prescription

# Until she says how long she needs.
TRAVEL_MIN = 60
# At the hospital this long before the appointment: the way from the gate, and checking in.
AT_HOSPITAL_BEFORE = timedelta(minutes=30)
FASTING_EVENING = time(20)
FASTING_MORNING = time(10)
FOLLOW_UP_MORNING = time(9)
# A course without a length: a week, then she has asked again or is done.
COURSE_DAYS = 7
# Later than this, the next dose is nearer than the missed one's reminder is useful.
MEDICINE_LATE = timedelta(hours=1)

_A_DAY = {
    1: (time(8),),
    2: (time(8), time(20)),
    3: (time(8), time(12), time(18)),
    4: (time(8), time(12), time(16), time(20)),
}
_NUMBERS = {"一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "1": 1, "2": 2, "3": 3, "4": 4}
# Not every day, or only when something happens: no clock can tell.
_NO_CLOCK = re.compile(r"必要时|需要时|时服|发作|按需|隔日|隔天|每周|一周|每月|顿服|遵医嘱|疼痛时|小时")
_COUNT = re.compile(r"(?:每日|每天|一天|一日|日)\s*([一二两三四1-4])\s*次")
_BY_NAME = (
    (re.compile(r"早中晚"), _A_DAY[3]),
    (re.compile(r"早晚"), _A_DAY[2]),
    (re.compile(r"睡前|临睡"), (time(21),)),
    (re.compile(r"晨起|早晨|每早|早上|清晨"), (time(8),)),
    (re.compile(r"每晚|晚上"), (time(20),)),
)


@dataclass(frozen=True, slots=True)
class Due:
    """One reminder to put down: a ``Reminder.Kind``, the part it is about, and when."""

    kind: str
    part_id: str
    at: datetime


def times_of_day(dosage: str) -> tuple[time, ...]:
    """「每次1片,每日2次」 → (08:00, 20:00); empty where the words fix no time of day."""
    if _NO_CLOCK.search(dosage):
        return ()
    found = _COUNT.search(dosage)
    if found and found[1] != "1" and found[1] != "一":
        return _A_DAY[_NUMBERS[found[1]]]
    for words, times in _BY_NAME:
        if words.search(dosage):
            return times
    return _A_DAY[1] if found else ()


def plan(journey: Journey, start: datetime, now: datetime) -> Iterator[Due]:
    """Everything to be brought up after ``now``; of a course of medicine only the next time."""
    if journey.state in BEFORE_CHECK_IN and journey.state is not VisitState.TRIAGED:
        yield Due(Reminder.Kind.DAY_BEFORE, "", start - timedelta(days=1))
        yield Due(Reminder.Kind.LEAVE_HOME, "", leave_at(journey, start))
    for part in journey.examinations:
        if part.examination.fasting and part.state == "ordered":
            yield Due(Reminder.Kind.FASTING, part.examination.id, _at(start, 0, FASTING_EVENING))
    if journey.follow_up and journey.follow_up.due_on > timezone.localdate(now):  # also far from any year of a calendar
        due_on = datetime.combine(journey.follow_up.due_on, FOLLOW_UP_MORNING)
        yield Due(Reminder.Kind.FOLLOW_UP, "", timezone.make_aware(due_on - timedelta(days=1)))
    if journey.medicine_reminders:
        for sheet in journey.prescriptions:
            at = _next_dose(sheet.prescription, start, now) if sheet.state == "dispensed" else None
            if at is not None:
                yield Due(Reminder.Kind.MEDICINE, sheet.prescription.id, at)


def leave_at(journey: Journey, start: datetime) -> datetime:
    travel = TRAVEL_MIN if journey.travel_min is None else journey.travel_min
    return start - AT_HOSPITAL_BEFORE - timedelta(minutes=travel)


def due_items(sheet: Prescription, at: datetime) -> tuple[MedicationRequest, ...]:
    """The medicines of a prescription that are taken at this time of day."""
    return tuple(item for item in sheet.items if timezone.localtime(at).time() in times_of_day(item.dosage))


def worth_saying(name: str, part_id: str, due_at: datetime, journey: Journey, start: datetime, now: datetime) -> bool:
    """Whether a reminder that waited (quiet hours, a closed page) still helps. What the fold withdraws is not asked here."""
    if name == "leave_home":
        return journey.state in BEFORE_CHECK_IN and now < start
    if name == "fasting":
        ordered = any(p.examination.id == part_id and p.state == "ordered" for p in journey.examinations)
        return ordered and now < _at(due_at, 1, FASTING_MORNING)
    if name == "medicine_due":
        return journey.medicine_reminders and now - due_at < MEDICINE_LATE
    if name == "follow_up_due":
        return journey.follow_up is not None and timezone.localtime(now).date() <= journey.follow_up.due_on
    return True


def _next_dose(sheet: Prescription, start: datetime, now: datetime) -> datetime | None:
    """The first time after ``now`` at which some medicine of this prescription is taken, while its course lasts."""
    found: list[datetime] = []
    begun = timezone.localtime(start).date()
    for item in sheet.items:
        times = times_of_day(item.dosage)
        for days in (0, 1):
            found += [
                at
                for t in times
                # counted, not added: the hospital's number may lead beyond every calendar
                if (at := _at(now, days, t)) > now and (at.date() - begun).days <= (item.days or COURSE_DAYS)
            ]
    return min(found, default=None)


def _at(day: datetime, days: int, clock: time) -> datetime:
    """That many days after ``day``, at this local time."""
    return timezone.make_aware(datetime.combine(timezone.localtime(day).date() + timedelta(days=days), clock))
