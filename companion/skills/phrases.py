"""How times, money and places are said to somebody who listens: whole, short and without symbols."""

from datetime import date, datetime, time

from companion.ports.booking import SlotOffer, VisitView
from companion.ports.encounter import InvoiceView, QueueView

_WEEKDAYS = "一二三四五六日"


def day(on: date, today: date) -> str:
    """今天, 明天, 后天, 「11月30日星期一」."""
    near = {0: "今天", 1: "明天", 2: "后天"}.get((on - today).days)
    return near or f"{on.month}月{on.day}日星期{_WEEKDAYS[on.weekday()]}"


def clock(at: datetime, now: datetime) -> str:
    """「明天上午9点半」."""
    local = at.astimezone(now.tzinfo)
    return day(local.date(), now.date()) + hour(local.time())


def hour(at: time) -> str:
    """「上午9点半」."""
    part = "上午" if at.hour < 12 else "中午" if at.hour == 12 else "下午" if at.hour < 18 else "晚上"
    minute = {0: "", 30: "半"}.get(at.minute, f"{at.minute}分")
    return f"{part}{at.hour if at.hour <= 12 else at.hour - 12}点{minute}"


def length(minutes: int) -> str:
    """40 → 「40分钟」, 90 → 「1个半小时」, 135 → 「2小时15分钟」."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest}分钟"
    return {0: f"{hours}小时", 30: f"{hours}个半小时"}.get(rest, f"{hours}小时{rest}分钟")


def yuan(fen: int) -> str:
    """12050 → 「120.5元」, 12000 → 「120元」."""
    return f"{fen / 100:.2f}".rstrip("0").rstrip(".") + "元"


def offer(slot: SlotOffer, now: datetime) -> str:
    """One slot as a sentence's middle: 「市一医院眼科,明天上午9点,王芳主任医师,挂号费20元」."""
    who = f",{slot.practitioner}{slot.title}" if slot.practitioner else ""
    fee = f",挂号费{yuan(slot.fee_fen)}" if slot.fee_fen else ""
    return f"{slot.hospital}{slot.department},{clock(slot.start, now)}{who}{fee}"


def visit(seen: VisitView, now: datetime) -> str:
    who = f"{seen.practitioner}医生" if seen.practitioner else ""
    return f"{clock(seen.start, now)}{seen.hospital}{seen.department}{who}"


def queue(seen: QueueView) -> str:
    """「当前您需要就诊,前面排队4人,当前叫号66号,地址位于7号楼1楼B区眼科检查一区。」 and an honest wait."""
    serving = f"当前叫号{seen.now_serving}号" if seen.now_serving else "还没有开始叫号"
    words = f"当前您需要就诊,前面排队{seen.ahead}人,{serving},地址位于{seen.place}{seen.room}。"
    if seen.ahead and seen.wait_low_min is not None and seen.wait_high_min is not None:
        words += f"大约还要等{seen.wait_low_min}到{seen.wait_high_min}分钟。"
    if seen.stale:
        words += "医院有一阵没有更新了,请同时留意现场叫号。"
    return words


def bill(seen: InvoiceView) -> str:
    """What it is, the whole, and both parts of it."""
    return (
        f"{seen.title},一共{yuan(seen.total_fen)}。医保支付{yuan(seen.insurance_fen)},您自付{yuan(seen.self_pay_fen)}。"
    )
