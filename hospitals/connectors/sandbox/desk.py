"""The sandbox's day: numbers are called, doctors see people, bills and reports are written; each thing tells its event.

Every function locks the clinic's row, changes what the hospital remembers, and writes the events in one transaction.
"""

import math
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from hospitals.connectors.base import EventType, MissedCall, QueuePosition, Reason, Reference
from hospitals.connectors.sandbox import scripts
from hospitals.connectors.sandbox.models import SandboxClinic, SandboxVisit
from hospitals.connectors.sandbox.sending import tell
from hospitals.exceptions import UnknownAppointment, WrongState

Stage = SandboxVisit.Stage
STEPS = (
    "tick",
    "call_next",
    "call_mine",
    "start",
    "finish",
    "complete_examination",
    "issue_report",
    "dispense",
    "close",
    "miss",
    "no_show",
    "cancel",
    "stop_schedule",
)
FIRST_SERVING, PEOPLE_AHEAD = 66, 4
LAST_TICKET_OF_A_DAY = 190
CALL_AT_MOST = 60


# --- reading ------------------------------------------------------------------------------------------------


def locked(appointment_id: UUID) -> SandboxVisit:
    """The visit with its clinic's row locked. Raises ``UnknownAppointment``. In a transaction."""
    found = SandboxVisit.objects.filter(appointment_id=appointment_id).values_list("clinic_id", flat=True).first()
    if found is None:
        raise UnknownAppointment("医院还没有收到这个预约,请稍等几秒再试。")
    clinic = SandboxClinic.objects.select_for_update().select_related("system").get(id=found)
    visit = SandboxVisit.objects.get(appointment_id=appointment_id)
    visit.clinic = clinic
    return visit


def position(visit: SandboxVisit) -> QueuePosition:
    """Where this visit stands in its clinic's queue now."""
    clinic = visit.clinic
    ahead = clinic.waiting.index(visit.ticket) if visit.ticket in clinic.waiting else 0
    low, high = ahead * clinic.minutes_each * 0.7, (ahead + 0.5) * clinic.minutes_each * 1.4
    return QueuePosition(
        ticket=str(visit.ticket),
        ahead=ahead,
        now_serving=str(clinic.now_serving) if clinic.now_serving else "",
        room_code=clinic.room_code,
        room_name=clinic.room_name,
        place=clinic.place,
        as_of=timezone.now(),
        wait_low_min=math.floor(low),
        wait_high_min=max(1, math.ceil(high)),
    )


def play_of(visit: SandboxVisit) -> scripts.Play:
    clinic = visit.clinic
    places = clinic.system.places
    return scripts.play(
        clinic.script,
        visit=visit.appointment_id.hex,
        desks={**places, **{desk: places[other] for desk, other in clinic.desks.items() if other in places}},
        clinic=scripts.Desk(clinic.room_code, clinic.room_name, clinic.place),
        department=clinic.name,
        now=timezone.localtime(),
    )


def _move(visit: SandboxVisit, stage: str) -> None:
    visit.stage = stage
    visit.moved_at = timezone.now()
    visit.save(update_fields=["stage", "moved_at"])


def require(visit: SandboxVisit, *stages: str, because: str) -> None:
    if visit.stage not in stages:
        raise WrongState(because)


# --- the queue ----------------------------------------------------------------------------------------------


def take_ticket(visit: SandboxVisit) -> None:
    """Check-in: the next number. In a transaction, clinic locked."""
    clinic = visit.clinic
    if visit.ticket is None or visit.stage == Stage.OFF:
        mine = SandboxVisit.objects.filter(clinic=clinic, stage__in=(Stage.WAITING, Stage.CALLED))
        if clinic.last_ticket == 0 or (clinic.last_ticket > LAST_TICKET_OF_A_DAY and not mine.exists()):
            clinic.now_serving = FIRST_SERVING
            clinic.waiting = list(range(FIRST_SERVING + 1, FIRST_SERVING + 1 + PEOPLE_AHEAD))
            clinic.last_ticket = FIRST_SERVING + PEOPLE_AHEAD
        clinic.last_ticket += 1
        visit.ticket = clinic.last_ticket
        clinic.waiting.append(visit.ticket)
    elif visit.stage == Stage.MISSED:
        clinic.waiting.insert(min(clinic.system.requeue_after, len(clinic.waiting)), visit.ticket)
    clinic.save()
    visit.save(update_fields=["ticket"])
    _move(visit, Stage.WAITING)
    tell(visit, EventType.ENCOUNTER_CHECKED_IN, position(visit))


def call_next(clinic: SandboxClinic) -> None:
    """The next number is called; everybody else in this queue hears that it moved. In a transaction, clinic locked."""
    if not clinic.waiting:
        clinic.last_ticket = max(clinic.last_ticket, clinic.now_serving) + 1
        clinic.waiting = [clinic.last_ticket]
    clinic.now_serving = clinic.waiting.pop(0)
    if len(clinic.waiting) < PEOPLE_AHEAD:  # other patients keep coming
        clinic.last_ticket += 1
        clinic.waiting.append(clinic.last_ticket)
    clinic.save()
    for visit in SandboxVisit.objects.filter(clinic=clinic, stage=Stage.WAITING).order_by("ticket"):
        visit.clinic = clinic
        if visit.ticket == clinic.now_serving:
            _move(visit, Stage.CALLED)
            tell(visit, EventType.ENCOUNTER_CALLED, position(visit))
        else:
            tell(visit, EventType.QUEUE_CHANGED, position(visit))


def _call_mine(visit: SandboxVisit) -> None:
    require(visit, Stage.WAITING, because="还没有取号,或者已经叫过了。")
    for _ in range(CALL_AT_MOST):
        call_next(visit.clinic)
        visit.refresh_from_db(fields=["stage", "sequence"])
        if visit.stage == Stage.CALLED:
            return


# --- the consultation and after -------------------------------------------------------------------------------


def _start(visit: SandboxVisit) -> None:
    require(visit, Stage.WAITING, Stage.CALLED, Stage.MISSED, because="还没有取号。")
    if visit.ticket in visit.clinic.waiting:
        visit.clinic.waiting.remove(visit.ticket)
        visit.clinic.save(update_fields=["waiting"])
    _move(visit, Stage.IN_ROOM)
    tell(visit, EventType.ENCOUNTER_STARTED)


def _finish(visit: SandboxVisit) -> None:
    """The doctor is done: bills and orders go out together, as they do from a real consulting room."""
    require(visit, Stage.IN_ROOM, because="医生还没有开始看诊。")
    _move(visit, Stage.CONSULTED)
    tell(visit, EventType.ENCOUNTER_FINISHED)
    play = play_of(visit)
    for invoice in play.invoices:
        tell(visit, EventType.INVOICE_ISSUED, invoice)
    for examination in play.examinations:
        tell(visit, EventType.EXAMINATION_ORDERED, examination)
    if not play.examinations:
        _prescribe(visit, play)


def _done(visit: SandboxVisit, mark: str) -> bool:
    """Note it down; False when it was done already."""
    if mark in visit.done:
        return False
    visit.done = [*visit.done, mark]
    visit.save(update_fields=["done"])
    return True


def _complete_examination(visit: SandboxVisit) -> None:
    require(visit, Stage.CONSULTED, because="医生还没有开检查。")
    play = play_of(visit)
    if any(e.invoice_id and e.invoice_id not in visit.paid for e in play.examinations):
        raise WrongState("检查费还没有缴,缴了才能做检查。", code="unpaid")
    for examination in play.examinations:
        if _done(visit, f"done:{examination.id}"):
            tell(visit, EventType.EXAMINATION_COMPLETED, Reference(examination.id))


def _issue_report(visit: SandboxVisit) -> None:
    """All reports, then the medicine: the doctor has seen the results."""
    _complete_examination(visit)
    play = play_of(visit)
    for examination in play.examinations:
        if _done(visit, f"report:{examination.id}"):
            tell(visit, EventType.REPORT_ISSUED, play.reports[examination.id])
    _prescribe(visit, play)


def _prescribe(visit: SandboxVisit, play: scripts.Play) -> None:
    if play.prescription and _done(visit, "prescribed"):
        tell(visit, EventType.PRESCRIPTION_ISSUED, play.prescription)


def _dispense(visit: SandboxVisit) -> None:
    require(visit, Stage.CONSULTED, because="还没有开药。")
    play = play_of(visit)
    if play.prescription is None or "prescribed" not in visit.done:
        raise WrongState("还没有开药。")
    if play.prescription.invoice_id and play.prescription.invoice_id not in visit.paid:
        raise WrongState("药费还没有缴,缴了才能取药。", code="unpaid")
    if _done(visit, "dispensed"):
        tell(visit, EventType.PRESCRIPTION_DISPENSED, Reference(play.prescription.id))


def _close(visit: SandboxVisit) -> None:
    require(visit, Stage.CONSULTED, because="看诊还没有结束。")
    _move(visit, Stage.CLOSED)
    tell(visit, EventType.FOLLOW_UP_PLANNED, play_of(visit).follow_up)
    tell(visit, EventType.VISIT_CLOSED)


# --- what goes otherwise --------------------------------------------------------------------------------------


def _miss(visit: SandboxVisit) -> None:
    """Her number is passed: she is out of the line and comes back into it after some others."""
    require(visit, Stage.WAITING, Stage.CALLED, because="现在不会过号。")
    clinic = visit.clinic
    if visit.ticket in clinic.waiting:
        clinic.waiting.remove(visit.ticket)
    _move(visit, Stage.MISSED)
    tell(visit, EventType.ENCOUNTER_MISSED, MissedCall(clinic.system.missed_rule, clinic.system.requeue_after))
    while len(clinic.waiting) < clinic.system.requeue_after:
        clinic.last_ticket += 1
        clinic.waiting.append(clinic.last_ticket)
    clinic.waiting.insert(clinic.system.requeue_after, visit.ticket)
    clinic.save()
    _move(visit, Stage.WAITING)


def _leave(visit: SandboxVisit, kind: EventType, text: str, alternative: str = "") -> None:
    require(visit, Stage.BOOKED, Stage.WAITING, Stage.CALLED, Stage.MISSED, because="已经就诊,不能再这样办。")
    if visit.ticket in visit.clinic.waiting:
        visit.clinic.waiting.remove(visit.ticket)
        visit.clinic.save(update_fields=["waiting"])
    _move(visit, Stage.OFF)
    tell(visit, kind, Reason(text, alternative))


def _no_show(visit: SandboxVisit) -> None:
    _leave(visit, EventType.APPOINTMENT_NO_SHOW, "过了就诊时间没有取号。")


def cancel(visit: SandboxVisit) -> None:
    _leave(visit, EventType.APPOINTMENT_CANCELLED, "医院应您的要求取消了预约。")


def stop_schedule(schedule: str, hospital_id: UUID) -> int:
    """The clinic does not take place: everybody who has a place in it is told. Returns how many."""
    waiting = (Stage.BOOKED, Stage.WAITING, Stage.CALLED, Stage.MISSED)
    with transaction.atomic():
        ids = SandboxVisit.objects.filter(
            schedule=schedule, clinic__system_id=hospital_id, stage__in=waiting
        ).values_list("appointment_id", flat=True)
        for appointment_id in list(ids):
            visit = locked(appointment_id)
            _leave(visit, EventType.SCHEDULE_STOPPED, "医生临时停诊", "可以改约同科室其他医生。")
        return len(ids)


# --- the clock --------------------------------------------------------------------------------------------------

_ACTIONS = {
    "call_next": lambda visit: call_next(visit.clinic),
    "call_mine": _call_mine,
    "start": _start,
    "finish": _finish,
    "complete_examination": _complete_examination,
    "issue_report": _issue_report,
    "dispense": _dispense,
    "close": _close,
    "miss": _miss,
    "no_show": _no_show,
    "cancel": cancel,
}


@transaction.atomic
def advance(appointment_id: UUID | str, step: str) -> None:
    """Let the hospital do one thing in this visit. Raises ``UnknownAppointment``, ``WrongState``, ``ValueError``."""
    if step not in STEPS:
        raise ValueError(step)
    visit = locked(UUID(str(appointment_id)))
    if step == "tick":
        _live(visit)
    elif step == "stop_schedule":
        if not stop_schedule(visit.schedule, visit.clinic.system_id):
            raise WrongState("已经就诊,停诊不影响这次。")
    else:
        _ACTIONS[step](visit)


def _live(visit: SandboxVisit) -> None:
    """What happens next by itself; nothing while it is the patient's turn to do something."""
    if visit.stage == Stage.WAITING:
        call_next(visit.clinic)
    elif visit.stage == Stage.CALLED:
        _start(visit)
    elif visit.stage == Stage.IN_ROOM:
        _finish(visit)
    elif visit.stage == Stage.CONSULTED:
        play = play_of(visit)
        unpaid = [bill.id for bill in play.invoices if bill.id not in visit.paid]
        ordered = [e.id for e in play.examinations]
        if any(e.invoice_id in unpaid for e in play.examinations):
            return
        if any(f"done:{exam}" not in visit.done for exam in ordered):
            _complete_examination(visit)
        elif any(f"report:{exam}" not in visit.done for exam in ordered):
            _issue_report(visit)
        elif unpaid:
            return
        elif play.prescription and "dispensed" not in visit.done:
            _dispense(visit)
        else:
            _close(visit)


def tick(hospital_id: UUID, n: int = 1) -> None:
    """Let ``n`` moments pass in this hospital: every clinic calls once, every consultation goes on by one step."""
    for _ in range(n):
        with transaction.atomic():
            called: set[UUID] = set()
            live = SandboxVisit.objects.filter(clinic__system_id=hospital_id).exclude(
                stage__in=(Stage.BOOKED, Stage.CLOSED, Stage.OFF)
            )
            for appointment_id, clinic_id, stage in live.values_list("appointment_id", "clinic_id", "stage"):
                if stage == Stage.WAITING:
                    if clinic_id in called:
                        continue
                    called.add(clinic_id)
                _live(locked(appointment_id))


def tick_all() -> None:
    """One moment in every sandbox hospital that has somebody in it."""
    busy = SandboxVisit.objects.exclude(stage__in=(Stage.BOOKED, Stage.CLOSED, Stage.OFF))
    for hospital_id in busy.values_list("clinic__system_id", flat=True).distinct():
        tick(hospital_id)
