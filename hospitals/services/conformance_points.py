"""The points of a conformance run: what each asks, when it is decided, and what to mend when it fails. No rows are written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone

from hospitals.connectors.base import EventType, Examination, HospitalEvent, Invoice, QueuePosition, Reference
from hospitals.exceptions import AddressRefused, HospitalsError
from hospitals.models import Department, IndoorMap, Practitioner, Slot
from hospitals.services import maps

E = EventType
ATTEMPTS = 3
ANSWER_MS = 10_000
CLOCK_S = 300
# Without these nothing after them can happen.
_GATES = ("delivered", "directory", "book_accepted", "check_in_accepted")
NOT_REACHED = "前面的步骤没有通过,没有走到这里"
# Why a command could not even be sent, and what to do about it: nothing that trying again would mend.
_SETTINGS = "运行 python manage.py connector 查看原因,对照 docs/connectors.md 改好设置。"
BROKEN = {
    "connector_unknown": f"这家医院的对接方式还没有配置:请运维人员{_SETTINGS}",
    "connector_misconfigured": f"对接的设置有误:请运维人员{_SETTINGS}",
    "connectors_unreadable": f"对接的设置读不出来:请运维人员{_SETTINGS}",
    "address_refused": "对接地址不能使用:请用公网 HTTPS 地址;内网地址请运维人员写进对接设置的 networks。",
    "connector_failed": "对接程序自己出错了:请把这次测试的编号交给运维人员,查日志里的 connector_failed。",
}
_BROKEN_OTHERWISE = "命令没能送出去:请把这次测试的编号交给运维人员。"
# Nobody was there: the hospital's system had no chance to be right or wrong.
_UNREACHED = {
    "no_connection": "连不上本院的系统:请检查登记的地址、端口、证书和防火墙,试发(ping)成功后再测。",
    "sign_in_failed": "换不到本院系统的令牌:请检查登记的公钥和 token_url。",
    **AddressRefused.why,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hospital said to a command. ``accepted`` None: it did not say; then ``error`` names why.

    ``final``: the command could not be sent, and trying again would not help.
    """

    accepted: bool | None
    reference: str
    error: str
    took_ms: int
    attempts: int = 1
    final: bool = False

    @property
    def settled(self) -> bool:
        """Whether it is not sent again."""
        return not self.error or self.final or self.attempts >= ATTEMPTS

    @property
    def lost(self) -> bool:
        """Whether it never reached the hospital's system, which is then neither right nor wrong."""
        return self.final or (self.settled and self.error in _UNREACHED)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a run has seen: answers by name, the events of both test appointments in the hospital's order."""

    hospital_id: UUID
    answers: dict[str, Answer]
    visit: list[HospitalEvent]
    second: list[HospitalEvent]
    clocks_off: int
    dead: int

    def settled(self, name: str) -> bool:
        """Whether this command has its answer, or will get none."""
        return name in self.answers and self.answers[name].settled

    def told(self, name: str) -> Answer | None:
        """What the hospital said to this command, or its settled silence; None while, or where, it was never reached."""
        answer = self.answers.get(name)
        return answer if answer and answer.settled and not answer.lost else None

    def of(self, kind: EventType, *, second: bool = False) -> list[HospitalEvent]:
        return [event for event in (self.second if second else self.visit) if event.type is kind]

    def came(self, kind: EventType, *, second: bool = False) -> bool:
        return bool(self.of(kind, second=second))


Verdict = bool | None  # None: not decided yet


@dataclass(frozen=True, slots=True)
class Point:
    """``after``: the point without which this one cannot be reached."""

    id: str
    name: str
    mend: str
    check: Callable[[Facts], Verdict]
    after: str = ""


def _accepted(name: str, *, first: str = "") -> Callable[[Facts], Verdict]:
    """A yes. ``first``: the command that this one repeats; where that was refused there is nothing to repeat."""

    def check(facts: Facts) -> Verdict:
        before, answer = facts.told(first or name), facts.told(name)
        if answer is None or before is None or (first and not before.accepted):
            return None
        return answer.accepted is True

    return check


def _refused(name: str) -> Callable[[Facts], Verdict]:
    """A plain no: neither a yes nor silence."""

    def check(facts: Facts) -> Verdict:
        answer = facts.told(name)
        return answer.accepted is False if answer else None

    return check


def _delivered(facts: Facts) -> Verdict:
    if any(answer.lost for answer in facts.answers.values()):
        return False
    return True if facts.told("book") else None


def _came(kind: EventType, *, second: bool = False) -> Callable[[Facts], Verdict]:
    return lambda facts: True if facts.came(kind, second=second) else None


def _same(first: str, again: str, kind: EventType) -> Callable[[Facts], Verdict]:
    """The same key a second time: the same reference, and one thing happened."""

    def check(facts: Facts) -> Verdict:
        one, two = facts.told(first), facts.told(again)
        if one is None or two is None or not one.accepted:
            return None
        if not (two.accepted and one.reference == two.reference):
            return False
        return len(facts.of(kind)) == 1 if facts.came(E.VISIT_CLOSED) or len(facts.of(kind)) > 1 else None

    return check


def _directory(facts: Facts) -> Verdict:
    mine = {"hospital_id": facts.hospital_id}
    return (
        Department.objects.filter(**mine, withdrawn_at=None).exists()
        and Practitioner.objects.filter(**mine, withdrawn_at=None).exists()
        and Slot.objects.filter(**mine, stopped=False, start__gt=timezone.now()).exists()
    )


def _ticket(facts: Facts) -> Verdict:
    found = facts.of(E.ENCOUNTER_CHECKED_IN)
    return all(isinstance(e.data, QueuePosition) and bool(e.data.ticket) for e in found) if found else None


def _one_ticket(facts: Facts) -> Verdict:
    again = facts.told("check_in_again")
    given = {e.data.ticket for e in facts.of(E.ENCOUNTER_CHECKED_IN) if isinstance(e.data, QueuePosition)}
    if again is None or not given or not facts.came(E.ENCOUNTER_CALLED):
        return None
    return again.accepted is True and len(given) == 1


def _bills(facts: Facts) -> list[str]:
    return [e.data.id for e in facts.of(E.INVOICE_ISSUED) if isinstance(e.data, Invoice)]


def _pay_accepted(facts: Facts) -> Verdict:
    return _all_accepted(facts, "pay")


def _all_accepted(facts: Facts, name: str) -> Verdict:
    answers = [facts.told(f"{name}:{bill}") for bill in _bills(facts)]
    return all(a.accepted for a in answers if a) if answers and None not in answers else None


def _payments(facts: Facts) -> list[str]:
    return [e.data.id for e in facts.of(E.INVOICE_PAID) if isinstance(e.data, Reference)]


def _paid(facts: Facts) -> Verdict:
    bills = _bills(facts)
    return True if bills and set(bills) <= set(_payments(facts)) else None


def _paid_once(facts: Facts) -> Verdict:
    paid, again = _payments(facts), _all_accepted(facts, "pay_again")
    if len(set(paid)) < len(paid):
        return False
    return again if _pay_accepted(facts) and (again is False or _paid(facts)) else None


def _order(facts: Facts) -> Verdict:
    if not facts.came(E.VISIT_CLOSED):
        return None
    for events in (facts.visit, facts.second):
        numbers = [event.sequence for event in events]
        if len(set(numbers)) != len(numbers):
            return False
    way = (E.APPOINTMENT_BOOKED, E.ENCOUNTER_CHECKED_IN, E.ENCOUNTER_CALLED, E.ENCOUNTER_FINISHED, E.VISIT_CLOSED)
    firsts = [min(e.sequence for e in facts.of(kind)) for kind in way if facts.came(kind)]
    return firsts == sorted(firsts)


def _rooms(facts: Facts) -> Verdict:
    if not facts.came(E.VISIT_CLOSED):
        return None
    if not IndoorMap.objects.filter(hospital_id=facts.hospital_id).exists():
        return True
    codes = {e.data.room_code for e in facts.visit if isinstance(e.data, QueuePosition | Examination)}
    return all(_on_map(facts.hospital_id, code) for code in codes if code)


def _on_map(hospital_id: UUID, code: str) -> bool:
    try:
        found = maps.find_place(hospital_id=hospital_id, text=code)
    except HospitalsError:
        return False
    return found is not None and found.code == code


def _in_time(facts: Facts) -> Verdict:
    """What is never answered fails its own point; the second booking has none."""
    second = facts.told("book_second")
    if any(answer.took_ms > ANSWER_MS for answer in facts.answers.values() if not answer.error):
        return False
    if second is not None and second.error:
        return False
    return True if facts.came(E.VISIT_CLOSED) else None


POINTS: tuple[Point, ...] = (
    Point("delivered", "命令能送到医院的系统", _BROKEN_OTHERWISE, _delivered),
    Point("directory", "目录里有科室、医生和将来的号源", "先用目录接口或批量上传补齐。", _directory),
    Point("book_accepted", "预约被接受", "收到 book 命令后在 10 秒内回答接受,并给出本院的编号。", _accepted("book")),
    Point(
        "book_repeated",
        "应答丢失后重发同一个预约,不会多约",
        "按 idempotency_key 认出重发:回同一个编号,不再发 appointment.booked。",
        _same("book", "book_again", E.APPOINTMENT_BOOKED),
        "closed_event",
    ),
    Point(
        "unknown_slot", "没有的号源被明确拒绝", "号源不存在时回答拒绝,不要报错或不答。", _refused("book_unknown_slot")
    ),
    Point(
        "unknown_patient",
        "没有预约过的患者被明确拒绝",
        "不认识的预约回答拒绝,不要报错或不答。",
        _refused("unknown_patient"),
    ),
    Point(
        "booked_event",
        "发来预约成功事件",
        "约成后发 appointment.booked。",
        _came(E.APPOINTMENT_BOOKED),
        "book_accepted",
    ),
    Point("check_in_accepted", "取号被接受", "收到 check_in 后回答接受。", _accepted("check_in"), "booked_event"),
    Point(
        "checked_in_event",
        "发来取号事件,带号码",
        "发 encounter.checked_in,data.ticket 不能为空。",
        _ticket,
        "check_in_accepted",
    ),
    Point(
        "check_in_repeated",
        "重复取号仍是同一个号",
        "按 idempotency_key 认出重发,不要再发一个号。",
        _one_ticket,
        "called_event",
    ),
    Point("called_event", "发来叫号事件", "叫到时发 encounter.called。", _came(E.ENCOUNTER_CALLED), "checked_in_event"),
    Point(
        "started_event",
        "发来开始就诊事件",
        "进诊室时发 encounter.started。",
        _came(E.ENCOUNTER_STARTED),
        "called_event",
    ),
    Point(
        "finished_event",
        "发来就诊结束事件",
        "医生看完时发 encounter.finished。",
        _came(E.ENCOUNTER_FINISHED),
        "started_event",
    ),
    Point(
        "invoice_event",
        "发来账单",
        "开出费用时发 invoice.issued,合计等于各行之和。",
        _came(E.INVOICE_ISSUED),
        "finished_event",
    ),
    Point(
        "pay_accepted",
        "缴费被接受",
        "收到 pay 后核对 invoice_id 和 amount_fen,回答接受。",
        _pay_accepted,
        "invoice_event",
    ),
    Point("paid_event", "每张账单发来已缴事件", "入账后发 invoice.paid,id 与账单一致。", _paid, "pay_accepted"),
    Point("pay_repeated", "重复缴费只入账一次", "按 idempotency_key 认出重发,不要重复入账。", _paid_once, "paid_event"),
    Point(
        "unknown_invoice",
        "没有的账单被明确拒绝",
        "invoice_id 不存在时回答拒绝。",
        _refused("pay_unknown"),
        "invoice_event",
    ),
    Point("closed_event", "发来就诊全部结束事件", "全部办完后发 visit.closed。", _came(E.VISIT_CLOSED), "paid_event"),
    Point("cancel_accepted", "取消被接受", "收到 cancel 后回答接受。", _accepted("cancel"), "booked_event"),
    Point(
        "cancel_repeated",
        "重复取消也算成功",
        "已经取消的再收到同一个 cancel,仍回答接受。",
        _accepted("cancel_again", first="cancel"),
        "cancel_accepted",
    ),
    Point(
        "cancelled_event",
        "发来取消事件",
        "取消后发 appointment.cancelled。",
        _came(E.APPOINTMENT_CANCELLED, second=True),
        "cancel_accepted",
    ),
    Point(
        "late_cancel",
        "就诊结束后再取消被明确拒绝",
        "已经就诊的预约收到 cancel,回答拒绝。",
        _refused("cancel_late"),
        "closed_event",
    ),
    Point("order", "序号按发生的先后增长,不重复", "同一个预约的每个事件用更大的 sequence。", _order, "closed_event"),
    Point(
        "clock",
        "医院的时钟准",
        "occurred_at 与收到的时间相差超过 5 分钟:请对时并带时区。",
        lambda facts: facts.clocks_off == 0 if facts.came(E.VISIT_CLOSED) else None,
        "closed_event",
    ),
    Point("rooms", "事件里的诊室都在院内地图上", "room_code 用地图里的代码,或先更新地图。", _rooms, "closed_event"),
    Point(
        "answers_in_time",
        "每个命令都在 10 秒内有答复",
        "不要让调用等待人工;先答复,再用事件告诉结果。",
        _in_time,
        "closed_event",
    ),
    Point(
        "no_dead_letters",
        "没有用不上的事件",
        "到测试预约里看 state 为 dead 的事件,改正后重发。",
        lambda facts: facts.dead == 0 if facts.came(E.VISIT_CLOSED) else None,
        "closed_event",
    ),
)


# Whose answer each judges; of "pay" there is one for each bill.
_ASKS = {
    **dict.fromkeys(("delivered", "book_accepted"), "book"),
    "book_repeated": "book_again",
    "unknown_slot": "book_unknown_slot",
    "unknown_patient": "unknown_patient",
    "check_in_accepted": "check_in",
    "check_in_repeated": "check_in_again",
    "pay_accepted": "pay",
    "pay_repeated": "pay_again",
    "unknown_invoice": "pay_unknown",
    "cancel_accepted": "cancel",
    "cancel_repeated": "cancel_again",
    "late_cancel": "cancel_late",
}
_AFTER = {point.id: point.after for point in POINTS}


def _reached(point: Point, verdicts: dict[str, Verdict]) -> bool:
    """Whether all that comes before it has passed."""
    before = point.after
    while before:
        if not verdicts[before]:
            return False
        before = _AFTER[before]
    return True


def judge(facts: Facts, *, final: bool = False, aborted: bool = False) -> list[dict[str, Any]]:
    """Each point as {"id", "name", "passed", "detail", "mend"}; undecided ones fail when ``final``, or when a gate is shut.

    What failed only because something before it did is ``NOT_REACHED``: what is left are the causes.
    """
    verdicts = {point.id: point.check(facts) for point in POINTS}
    shut = any(verdicts[gate] is False for gate in _GATES)
    told = []
    for point in POINTS:
        passed = verdicts[point.id]
        silent = _silence(point, facts)
        detail = "通过" if passed else f"没有通过{silent}"
        if passed is None:
            waited = "测试中止了" if aborted else "规定时间内没有等到" if final else f"等待中{silent}"
            passed = False if shut or final else None
            detail = NOT_REACHED if shut or (final and not _reached(point, verdicts)) else waited
        mend = "" if passed is not False else _mend(point, facts)
        told.append({"id": point.id, "name": point.name, "passed": passed, "detail": detail, "mend": mend})
    return told


def _silence(point: Point, facts: Facts) -> str:
    """Why the hospital's answer is not known, and how often it was asked: the code that the log of deliveries has, too."""
    for name, answer in facts.answers.items():
        if answer.error and name.partition(":")[0] == _ASKS.get(point.id):
            return f"(第 {answer.attempts} 次没有答复:{answer.error})"
    return ""


def _mend(point: Point, facts: Facts) -> str:
    if point.id != "delivered":
        return point.mend
    why = dict.fromkeys(answer.error for answer in facts.answers.values() if answer.lost)
    return "".join(BROKEN.get(code) or _UNREACHED.get(code, _BROKEN_OTHERWISE) for code in why) or point.mend
