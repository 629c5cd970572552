"""The points of a conformance run: what each asks, after which it comes, what to mend when it fails; and the report on all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hospitals.connectors.base import EventType
from hospitals.services import conformance_checks as checks
from hospitals.services.conformance_checks import BROKEN, UNREACHED, Facts, Verdict

E = EventType
# Without these nothing after them can happen.
_GATES = ("delivered", "directory", "book_accepted", "check_in_accepted", "other_sum")
NOT_REACHED = "前面的步骤没有通过,没有走到这里"
_BROKEN_OTHERWISE = "命令没能送出去:请把这次测试的编号交给运维人员。"


@dataclass(frozen=True, slots=True)
class Point:
    """``after``: the point without which this one cannot be reached."""

    id: str
    name: str
    mend: str
    check: Callable[[Facts], Verdict]
    after: str = ""


POINTS: tuple[Point, ...] = (
    Point("delivered", "命令能送到医院的系统", _BROKEN_OTHERWISE, checks.delivered),
    Point("directory", "目录里有科室、医生和将来的号源", "先用目录接口或批量上传补齐。", checks.directory),
    Point(
        "book_accepted", "预约被接受", "收到 book 命令后在 10 秒内回答接受,并给出本院的编号。", checks.accepted("book")
    ),
    Point(
        "book_repeated",
        "应答丢失后重发同一个预约,不会多约",
        "按 idempotency_key 认出重发:回同一个编号,不再发 appointment.booked。",
        checks.same("book", "book_again", E.APPOINTMENT_BOOKED),
        "closed_event",
    ),
    Point(
        "unknown_slot",
        "没有的号源被明确拒绝",
        "号源不存在时回答拒绝,不要报错或不答。",
        checks.refused("book_unknown_slot"),
    ),
    Point(
        "unknown_patient",
        "没有预约过的患者被明确拒绝",
        "不认识的预约回答拒绝,不要报错或不答。",
        checks.refused("unknown_patient"),
    ),
    Point(
        "booked_event",
        "发来预约成功事件",
        "约成后发 appointment.booked。",
        checks.came(E.APPOINTMENT_BOOKED),
        "book_accepted",
    ),
    Point("check_in_accepted", "取号被接受", "收到 check_in 后回答接受。", checks.accepted("check_in"), "booked_event"),
    Point(
        "checked_in_event",
        "发来取号事件,带号码",
        "发 encounter.checked_in,data.ticket 不能为空。",
        checks.ticket,
        "check_in_accepted",
    ),
    Point(
        "check_in_repeated",
        "重复取号仍是同一个号",
        "按 idempotency_key 认出重发,不要再发一个号。",
        checks.one_ticket,
        "called_event",
    ),
    Point(
        "called_event",
        "发来叫号事件",
        "叫到时发 encounter.called。",
        checks.came(E.ENCOUNTER_CALLED),
        "checked_in_event",
    ),
    Point(
        "started_event",
        "发来开始就诊事件",
        "进诊室时发 encounter.started。",
        checks.came(E.ENCOUNTER_STARTED),
        "called_event",
    ),
    Point(
        "finished_event",
        "发来就诊结束事件",
        "医生看完时发 encounter.finished。",
        checks.came(E.ENCOUNTER_FINISHED),
        "started_event",
    ),
    Point(
        "invoice_event",
        "发来账单",
        "开出费用时发 invoice.issued,合计等于各行之和。",
        checks.came(E.INVOICE_ISSUED),
        "finished_event",
    ),
    Point(
        "other_sum",
        "金额与账单不符的缴费被明确拒绝",
        "收到 pay 后核对 amount_fen 与账单的 self_pay_fen:不相等就回答拒绝,不要入账;拒绝了,钱会退给患者。",
        checks.refused("pay_other_sum"),
        "invoice_event",
    ),
    Point(
        "pay_accepted",
        "缴费被接受",
        "收到 pay 后核对 invoice_id 和 amount_fen,回答接受。",
        checks.pay_accepted,
        "other_sum",
    ),
    Point(
        "paid_event", "每张账单发来已缴事件", "入账后发 invoice.paid,id 与账单一致。", checks.all_paid, "pay_accepted"
    ),
    Point(
        "pay_repeated",
        "重复缴费只入账一次",
        "按 idempotency_key 认出重发,不要重复入账。",
        checks.paid_once,
        "paid_event",
    ),
    Point(
        "unknown_invoice",
        "没有的账单被明确拒绝",
        "invoice_id 不存在时回答拒绝。",
        checks.refused("pay_unknown"),
        "invoice_event",
    ),
    Point(
        "closed_event", "发来就诊全部结束事件", "全部办完后发 visit.closed。", checks.came(E.VISIT_CLOSED), "paid_event"
    ),
    Point("cancel_accepted", "取消被接受", "收到 cancel 后回答接受。", checks.accepted("cancel"), "booked_event"),
    Point(
        "cancel_repeated",
        "重复取消也算成功",
        "已经取消的再收到同一个 cancel,仍回答接受。",
        checks.accepted("cancel_again", first="cancel"),
        "cancel_accepted",
    ),
    Point(
        "cancelled_event",
        "发来取消事件",
        "取消后发 appointment.cancelled。",
        checks.came(E.APPOINTMENT_CANCELLED, second=True),
        "cancel_accepted",
    ),
    Point(
        "late_cancel",
        "就诊结束后再取消被明确拒绝",
        "已经就诊的预约收到 cancel,回答拒绝。",
        checks.refused("cancel_late"),
        "closed_event",
    ),
    Point(
        "order", "序号按发生的先后增长,不重复", "同一个预约的每个事件用更大的 sequence。", checks.order, "closed_event"
    ),
    Point(
        "clock",
        "医院的时钟准",
        "occurred_at 与收到的时间相差超过 5 分钟:请对时并带时区。",
        lambda facts: facts.clocks_off == 0 if facts.came(E.VISIT_CLOSED) else None,
        "closed_event",
    ),
    Point(
        "rooms", "事件里的诊室都在院内地图上", "room_code 用地图里的代码,或先更新地图。", checks.rooms, "closed_event"
    ),
    Point(
        "answers_in_time",
        "每个命令都在 10 秒内有答复",
        "不要让调用等待人工;先答复,再用事件告诉结果。",
        checks.in_time,
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
    "other_sum": "pay_other_sum",
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
    return "".join(BROKEN.get(code) or UNREACHED.get(code, _BROKEN_OTHERWISE) for code in why) or point.mend
