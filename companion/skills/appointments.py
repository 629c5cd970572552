"""Her bookings, and the ways out of one: what is booked, cancelling it, moving it to another time."""

from collections.abc import AsyncIterator

from companion.events import Event, Option, Say, ShowCard
from companion.exceptions import CompanionError
from companion.ports import as_card
from companion.ports.booking import OfferQuery, SlotTaken, VisitView, Window
from companion.skills import phrases
from companion.skills.scene import Contract, Scene
from companion.understanding import When

CONTRACT = Contract(
    name="appointments",
    intents=("my_visits", "cancel", "reschedule"),
    actions=("cancel", "reschedule"),
    expects=("confirm_cancel", "which_cancel", "which_reschedule", "reschedule_when", "confirm_reschedule"),
    needs=("visit", "consent", "when"),
    asks={"consent": "确定要取消吗?", "when": "您想改到什么时候?", "visit": "您说的是哪一个?"},
    does=("upcoming", "cancel", "offers", "offer", "book", "next_step"),
    says="what is booked; cancels only after a yes; moves a booking by taking the new slot before giving back the old",
)


_AWAITS = {"": "", "book": ",正等医院确认", "cancel": ",已提交取消,正等医院确认"}


async def run(scene: Scene) -> AsyncIterator[Event]:
    upcoming = await scene.port.upcoming()
    if scene.wish.intent == "my_visits":
        events = listed(scene, upcoming)
    elif scene.answers("confirm_cancel") and "reschedule" in scene.understood.intents:
        events = move(scene, upcoming)
    elif scene.kind == "cancel" or scene.answers("confirm_cancel"):
        events = settle_cancel(scene, upcoming)
    elif scene.answers("confirm_reschedule") and scene.understood.answer in ("yes", "no"):
        events = settle_move(scene, upcoming)
    elif scene.wish.intent == "cancel" or scene.answers("which_cancel"):
        events = ask_cancel(scene, upcoming)
    else:
        events = move(scene, upcoming)
    async for event in events:
        yield event


async def listed(scene: Scene, upcoming: tuple[VisitView, ...]) -> AsyncIterator[Event]:
    if not upcoming:
        yield Say(f"{scene.patient.name}现在没有预约。")
        async for event in scene.next_events(None):
            yield event
        return
    if len(upcoming) > 1:
        yield Say(f"一共有{len(upcoming)}个预约。")
    for seen in upcoming:
        yield Say(f"{phrases.visit(seen, scene.now)}{_AWAITS[seen.awaits]}。")
        yield ShowCard("appointment", as_card(seen))
    async for event in scene.next_events(upcoming[0].visit_id):
        yield event


def _meant(scene: Scene, visits: tuple[VisitView, ...]) -> list[VisitView]:
    """The bookings that the words can mean: by department, hospital, day of a cancellation, or place in the list."""
    slots = scene.understood.slots
    found = list(visits)
    if slots.departments:
        found = [v for v in found if v.department in slots.departments] or found
    if slots.hospitals:
        ids = {h.hospital_id for h in slots.hospitals}
        found = [v for v in found if v.hospital_id in ids] or found
    if slots.when and slots.when.has_day and scene.wish.intent != "reschedule":
        start, end = slots.when.window(scene.now)
        found = [v for v in found if start.date() <= v.start.astimezone(scene.now.tzinfo).date() < end.date()] or found
    if slots.choice is not None and len(found) > 1 and 0 < slots.choice <= len(found):
        found = [found[slots.choice - 1]]
    return found


async def _which(scene: Scene, name: str, verb: str, found: list[VisitView]) -> AsyncIterator[Event]:
    yield Say(f"您有{len(found)}个预约。{CONTRACT.asks['visit']}")
    options = tuple(
        Option(
            f"{verb}{phrases.day(v.start.astimezone(scene.now.tzinfo).date(), scene.now.date())}{v.department}",
            f"第{n}个",
        )
        for n, v in enumerate(found[:5], start=1)
    )
    yield scene.ask(name, options)


async def ask_cancel(scene: Scene, upcoming: tuple[VisitView, ...]) -> AsyncIterator[Event]:
    open_ones = tuple(v for v in upcoming if v.can_cancel)
    if not open_ones:
        if any(v.awaits == "cancel" for v in upcoming):
            yield Say("已经提交取消了,正等医院确认,不用再提交。")
        else:
            none = "您现在没有可以取消的预约。"
            yield Say(none if not upcoming else "已经取号的就诊不能在手机上取消,请到服务台办理。")
        async for event in scene.next_events(upcoming[0].visit_id if upcoming else None):
            yield event
        return
    found = _meant(scene, open_ones)
    if len(found) > 1:
        async for event in _which(scene, "which_cancel", "取消", found):
            yield event
        return
    yield ShowCard("appointment", as_card(found[0]))
    yield Say(f"您约的是{phrases.visit(found[0], scene.now)}。{CONTRACT.asks['consent']}")
    options = (
        Option("确定取消", "", {"kind": "cancel", "visit_id": found[0].visit_id}),
        Option("改个时间", "改个时间"),
        Option("不取消", "不取消"),
    )
    yield scene.ask("confirm_cancel", options, visit_id=found[0].visit_id)


async def settle_cancel(scene: Scene, upcoming: tuple[VisitView, ...]) -> AsyncIterator[Event]:
    """The action is a confirmed tap; words count only as the answer to our question."""
    understood = scene.understood
    again = "cancel" in understood.intents and understood.answer != "no"
    agreed = scene.kind == "cancel" or understood.answer == "yes" or again or "确定" in understood.text
    if not agreed or "不取消" in understood.text:
        yield Say("好的,不取消,号给您留着。")
        async for event in scene.next_events(str(scene.expecting.get("visit_id")) or None):
            yield event
        return
    visit_id = str(scene.action.get("visit_id") or scene.expecting.get("visit_id") or "")
    if not any(v.visit_id == visit_id for v in upcoming):
        yield Say("这个预约已经不在了。")
        return
    gone = await scene.port.cancel(visit_id=visit_id, reason="居民取消", key=scene.key("cancel", visit_id))
    if gone.awaits == "cancel":
        yield Say(f"{phrases.visit(gone, scene.now)}的预约,已提交取消,医院确认后号源退回。")
    elif gone.status == "cancelled":
        yield Say(f"{phrases.visit(gone, scene.now)}的预约已经取消,号源已退回。")
    else:  # why is said by itself
        yield Say("医院没有同意取消,这个号还在。", mood="concern")
    yield ShowCard("appointment", as_card(gone))
    rest = [v for v in upcoming if v.visit_id != visit_id]
    async for event in scene.next_events(rest[0].visit_id if rest else None):
        yield event


async def move(scene: Scene, upcoming: tuple[VisitView, ...]) -> AsyncIterator[Event]:
    """Find the new time for the booking meant, and ask before anything is changed."""
    open_ones = tuple(v for v in upcoming if v.can_cancel)
    if not open_ones:
        yield Say("您现在没有可以改期的预约。")
        async for event in scene.next_events(upcoming[0].visit_id if upcoming else None):
            yield event
        return
    wanted = scene.action.get("visit_id") or scene.expecting.get("visit_id")
    found = [v for v in open_ones if v.visit_id == wanted] or _meant(scene, open_ones)
    said = scene.understood.slots.when
    if len(found) > 1:
        async for event in _which(scene, "which_reschedule", "改", found):
            yield event
        if said:
            scene.memory.when = said.to_dict()
        return
    visit = found[0]
    when = said or (
        When.from_dict(scene.memory.when) if scene.answers("which_reschedule") and scene.memory.when else None
    )
    if when is None or not (when.has_day or when.has_time or when.soon):
        yield Say(f"您约的是{phrases.visit(visit, scene.now)}。{CONTRACT.asks['when']}")
        options = tuple(Option(words, words) for words in ("明天上午", "后天上午", "下周一上午"))
        yield scene.ask("reschedule_when", options, visit_id=visit.visit_id)
        return
    start, end = when.window(scene.now)
    offers = await scene.port.offers(
        OfferQuery((visit.department,), Window(start, end, when.label), visit.hospital_id, limit=30)
    )
    fitting = [o for o in offers if when.fits(o.start.astimezone(scene.now.tzinfo)) and o.start != visit.start]
    if not fitting:
        yield Say(f"{visit.hospital}{visit.department}{when.label}没有号了。您想换个别的时间吗?", mood="concern")
        options = tuple(Option(words, words) for words in ("这周", "下周", "不改了"))
        yield scene.ask("reschedule_when", options, visit_id=visit.visit_id)
        return
    new = fitting[0]
    yield Say(f"把{phrases.clock(visit.start, scene.now)}的号,改到{phrases.offer(new, scene.now)},好吗?")
    options = (Option("好,改吧", "好"), Option("不改了", "不改了"))
    yield scene.ask("confirm_reschedule", options, visit_id=visit.visit_id, slot_id=new.slot_id)


async def settle_move(scene: Scene, upcoming: tuple[VisitView, ...]) -> AsyncIterator[Event]:
    if scene.understood.answer == "no":
        yield Say("好的,不改,原来的号还在。")
        return
    old = next((v for v in upcoming if v.visit_id == scene.expecting.get("visit_id")), None)
    slot = await scene.port.offer(str(scene.expecting.get("slot_id", "")))
    if old is None or slot is None:
        yield Say("这个号刚刚被别人约走了,原来的号还在。您想换个别的时间吗?", mood="concern")
        yield scene.ask("reschedule_when", (), visit_id=str(scene.expecting.get("visit_id", "")))
        return
    try:  # the new one first: she must not be left with none
        new = await scene.port.book(slot_id=slot.slot_id, key=scene.key("move", slot.slot_id))
    except SlotTaken:
        yield Say("这个号刚刚被别人约走了,原来的号还在。您想换个别的时间吗?", mood="concern")
        yield scene.ask("reschedule_when", (), visit_id=old.visit_id)
        return
    if new.status == "refused":  # why is said by itself
        yield Say("新的号医院没有接受,原来的号还在。", mood="concern")
        return
    scene.memory.forget_booking()
    try:
        gone = await scene.port.cancel(
            visit_id=old.visit_id, reason="居民改期", key=scene.key("move_from", old.visit_id)
        )
    except CompanionError as error:  # too late for the old one, say: she must hear that she has two
        yield Say(f"新的号约好了:{phrases.visit(new, scene.now)}。原来的号没有退掉,现在两个号都在。", mood="concern")
        yield Say(error.detail, mood="concern")
        yield ShowCard("appointment", as_card(new))
        return
    if new.awaits or gone.status != "cancelled":
        yield Say(f"改期已提交,新的时间是{phrases.visit(new, scene.now)}。")
        yield Say("正等医院确认,确认了我告诉您。")
    else:
        yield Say(f"改好了,新的时间是{phrases.visit(new, scene.now)}。原来的号已退回。", mood="smile")
    yield ShowCard("appointment", as_card(new))
    async for event in scene.next_events(new.visit_id):
        yield event
