"""Finding a free slot and booking it: by department, hospital, time and doctor, said at once or piece by piece."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

from companion.events import Event, Option, Say, ShowCard
from companion.exceptions import CompanionError
from companion.ports import as_card
from companion.ports.booking import OfferQuery, SlotOffer, SlotTaken, VisitView, Window
from companion.skills import family, phrases, waiting_list
from companion.skills.scene import Contract, Scene
from companion.understanding import When

CONTRACT = Contract(
    name="book",
    intents=("book",),
    actions=("book", "book_again"),
    expects=("offer", "confirm_book", "department", "confirm_double"),
    needs=("department", "slot"),
    asks={"department": "您哪里不舒服?或者告诉我想挂哪个科。", "slot": "您想约哪一家?"},
    does=("hospitals", "practitioners", "offers", "offer", "book", "hold", "card", "lines", "upcoming", "next_step"),
    says="names one concrete slot before booking it, shows the others, and says so when it was taken meanwhile, or when "
    "the hospital has not confirmed yet",
)
SHOWN = 6
_LOOKED_AT = 60


async def run(scene: Scene) -> AsyncIterator[Event]:
    memory = scene.memory
    if scene.kind == "book":
        slot = await scene.port.offer(str(scene.action.get("slot_id", "")))
        events = book(scene, slot) if slot else taken(scene)
    elif scene.answers("confirm_book", "confirm_double") and scene.understood.answer == "yes" and not _refines(scene):
        slot = await scene.port.offer(str(scene.expecting.get("slot_id", "")))
        events = book(scene, slot, sure=scene.answers("confirm_double")) if slot else taken(scene)
    elif scene.answers("confirm_double") and scene.understood.answer == "no":
        events = kept(scene)
    elif scene.answers("confirm_book") and scene.understood.answer == "no" and not _refines(scene):
        events = other_offers(scene)
    elif scene.answers("offer", "confirm_book") and _chosen(scene) is not None:
        slot = await scene.port.offer(str(_chosen(scene)))
        events = book(scene, slot) if slot else taken(scene)
    elif scene.answers("offer") and scene.understood.answer in ("yes", "choose") and memory.offers:
        events = confirm_first(scene)
    else:
        events = search(scene)
    async for event in events:
        yield event


def _refines(scene: Scene) -> bool:
    """Whether the answer brings something new: 「好,不过要下午的」."""
    slots = scene.understood.slots
    return bool(slots.when or slots.hospitals or slots.practitioner or slots.departments)


def _chosen(scene: Scene) -> str | None:
    """The slot she picked from the card by its place in the list, or the cheapest."""
    offers, slots = scene.memory.offers, scene.understood.slots
    if not offers or _refines(scene):
        return None
    if slots.cheapest:
        return str(min(offers, key=lambda o: o["fee_fen"])["slot_id"])
    if slots.choice is None or slots.choice > len(offers):
        return None
    return str(offers[slots.choice - 1 if slots.choice > 0 else -1]["slot_id"])


def remember(scene: Scene) -> When | None:
    """Take over what the sentence says into what is looked for; returns the time meant, over all turns."""
    memory, slots = scene.memory, scene.understood.slots
    if slots.departments:
        memory.departments = list(slots.departments)
    if slots.hospitals:
        memory.hospital_id, memory.hospital_name = slots.hospitals[0].hospital_id, slots.hospitals[0].name
    if slots.practitioner:
        memory.practitioner = slots.practitioner
    when = When.from_dict(memory.when) if memory.when else None
    if slots.when:
        when = when.merged(slots.when) if when else slots.when
        memory.when = when.to_dict()
    return when


async def search(scene: Scene) -> AsyncIterator[Event]:
    """Look for slots by all that is known; ask for the department when nothing tells it."""
    memory, slots = scene.memory, scene.understood.slots
    when = remember(scene)
    if slots.when and slots.when.past:
        memory.when = {}
        yield Say("您说的日子已经过去了。")
        yield Say("您想约哪天?")
        yield scene.ask("offer", _day_options())
        return
    if scene.other is not None:
        async for event in without_card(scene):
            yield event
        return
    if not memory.departments and not memory.practitioner:
        yield Say(CONTRACT.asks["department"])
        yield scene.ask("department", tuple(Option(name, f"挂{name}") for name in ("眼科", "骨科", "普通内科", "儿科")))
        return
    asked_concretely = bool(when or memory.hospital_id or memory.practitioner)
    async for event in show(scene, when, concrete=asked_concretely):
        yield event


async def without_card(scene: Scene) -> AsyncIterator[Event]:
    """She speaks for somebody whose card is not here: booking needs the real name."""
    other = scene.other
    yield Say(f"挂号要实名。我这里还没有您{other.word if other else '家人'}的信息。")
    async for event in family.begin(scene, other, (Option("给我自己挂", "给我自己挂号"), Option("转人工", "转人工"))):
        yield event


async def card_first(scene: Scene, slot: SlotOffer) -> AsyncIterator[Event]:
    """Booking needs her real name: the place is kept while she fills in her card, and booking goes on by itself."""
    card = await scene.port.card()
    if not card.mine:
        yield Say(f"{card.name}的实名信息不全,要由{card.name}本人在自己的手机上填好。")
        return
    until = await scene.port.hold(slot.slot_id)
    kept = f"这个号给您留到{phrases.clock(until, scene.now)}。" if until else ""
    yield Say(f"挂号要实名。请填一下这张卡,填好就接着约。{kept}")
    yield family.form(card, then={"kind": "book", "slot_id": slot.slot_id}, held_until=until)


async def find(scene: Scene, when: When | None, *, hospital_id: str | None = None) -> tuple[SlotOffer, ...]:
    memory = scene.memory
    window = None
    if when is not None:
        start, end = when.window(scene.now)
        window = Window(start, end, when.label)
    narrow = when is not None and when.has_time
    found = await scene.port.offers(
        OfferQuery(
            departments=tuple(memory.departments),
            window=window,
            hospital_id=memory.hospital_id if hospital_id is None else hospital_id,
            practitioner=memory.practitioner,
            limit=_LOOKED_AT if narrow else SHOWN,
        )
    )
    if when is not None and narrow:
        found = tuple(o for o in found if when.fits(o.start.astimezone(scene.now.tzinfo)))
    return found[:SHOWN]


async def show(scene: Scene, when: When | None, *, concrete: bool) -> AsyncIterator[Event]:
    """The offers as a card; asked for concretely, one of them is named to be confirmed, or booked when it is the only."""
    memory = scene.memory
    found = await find(scene, when)
    if not found:
        async for event in widened(scene, when):
            yield event
        return
    memory.offers = as_card(found)
    if not concrete:
        yield slots_card(scene, found, when)
        yield Say(f"这几家有{_department(scene, found)}的号。您想约哪一家?")
        yield scene.ask("offer", _day_options())
        return
    if len(found) == 1:
        yield Say(f"有一个号:{phrases.offer(found[0], scene.now)}。")
        async for event in book(scene, found[0]):
            yield event
        return
    yield slots_card(scene, found, when)
    async for event in confirm(scene, found[0]):
        yield event


async def confirm(scene: Scene, slot: SlotOffer) -> AsyncIterator[Event]:
    yield Say(f"{phrases.offer(slot, scene.now)}。给{scene.patient.name}约这个号,好吗?")
    options = (Option("好,就约这个", "好"), Option("换一个", "换一个"))
    yield scene.ask("confirm_book", options, slot_id=slot.slot_id)


async def confirm_first(scene: Scene) -> AsyncIterator[Event]:
    slot = await scene.port.offer(str(scene.memory.offers[0]["slot_id"]))
    async for event in confirm(scene, slot) if slot else taken(scene):
        yield event


async def other_offers(scene: Scene) -> AsyncIterator[Event]:
    """She does not want the one that was named: the others, by card."""
    refused = scene.expecting.get("slot_id")
    left = [o for o in scene.memory.offers if o["slot_id"] != refused]
    if not left:
        yield Say("好的,先不约。您想换哪天,或者换哪家医院?")
        yield scene.ask("offer", _day_options())
        return
    scene.memory.offers = left
    yield ShowCard("slots", {"offers": left, "department": left[0]["department"], "day": ""})
    yield Say("好的,不约这个。您看看这几个,点一下就能约。")
    yield scene.ask("offer", _day_options())


async def kept(scene: Scene) -> AsyncIterator[Event]:
    scene.memory.forget_booking()
    yield Say("好的,不再约了,原来的号还在。")
    async for event in scene.next_events(scene.memory.visit_id or None):
        yield event


async def widened(scene: Scene, when: When | None) -> AsyncIterator[Event]:
    """Nothing there: say so, and offer what comes nearest (another time there, then elsewhere at that time)."""
    memory = scene.memory
    where = memory.hospital_name
    who = f"{memory.practitioner}医生" if memory.practitioner else "、".join(memory.departments)
    yield Say(f"{where}{when.label if when else ''}没有{who}的号了。", mood="concern")
    tries: list[tuple[When | None, str]] = []
    if when is not None and when.has_time:
        tries.append((replace(when, after=None, before=None), memory.hospital_id))
    if memory.hospital_id:
        tries += [(None, memory.hospital_id), (when, "")]
    tries.append((None, ""))
    for wider, hospital_id in tries:
        found = await find(scene, wider, hospital_id=hospital_id)
        if found:
            memory.offers = as_card(found)
            yield slots_card(scene, found, wider)
            yield Say(f"最近的是{phrases.offer(found[0], scene.now)}。要约这个吗?")
            options = (Option("好,就约这个", "好"), Option("换一个", "换一个"), *await waiting_list.offers(scene, when))
            yield scene.ask("confirm_book", options, slot_id=found[0].slot_id)
            return
    if memory.practitioner and await scene.port.practitioners(memory.practitioner) == ():
        yield Say("我也没有查到这位医生。")
    waits = await waiting_list.offers(scene, when)
    memory.practitioner = ""
    if waits:
        yield Say("号都约满了。要候补吗?有人退号就给您留着,我马上告诉您。")
        options = (*waits, Option("换个科室", "不用了"), Option("转人工", "转人工"))
        yield scene.ask("wait", options, line=waits[0].action)
        return
    yield Say("两周内都没有放号。您可以换个科室,或者让人工帮您看看。")
    yield scene.ask("department", (Option("转人工", "转人工"), Option("换个科室", "换个科室")))


async def taken(scene: Scene) -> AsyncIterator[Event]:
    """Somebody was quicker: nothing was booked; the next ones at once."""
    yield Say("这个号刚刚被别人约走了,没有约上,也没有收费。", mood="concern")
    when = When.from_dict(scene.memory.when) if scene.memory.when else None
    found = await find(scene, when) if scene.memory.departments else ()
    gone = str(scene.action.get("slot_id") or scene.expecting.get("slot_id") or "")
    found = tuple(o for o in found if o.slot_id != gone)
    if not found:
        async for event in widened(scene, when) if scene.memory.departments else search(scene):
            yield event
        return
    scene.memory.offers = as_card(found)
    yield slots_card(scene, found, when)
    async for event in confirm(scene, found[0]):
        yield event


async def book(scene: Scene, slot: SlotOffer, *, sure: bool = False) -> AsyncIterator[Event]:
    """Book this slot. A second booking for the same department and day is asked about once."""
    if not sure:
        double = _double(await scene.port.upcoming(), slot, scene.now)
        if double is not None:
            yield Say(f"{scene.patient.name}已经约了{phrases.visit(double, scene.now)}。还要再约一个吗?")
            options = (Option("还要约", "是的"), Option("不约了", "不用了"))
            yield scene.ask("confirm_double", options, slot_id=slot.slot_id)
            return
    try:
        visit = await scene.port.book(slot_id=slot.slot_id, key=scene.key("book", slot.slot_id))
    except SlotTaken:
        scene.expecting = {**scene.expecting, "slot_id": slot.slot_id}
        async for event in taken(scene):
            yield event
        return
    except CompanionError as error:
        if error.code != "card_incomplete":
            raise
        async for event in card_first(scene, slot):
            yield event
        return
    scene.memory.forget_booking()
    scene.memory.expecting = {}
    scene.memory.visit_id = visit.visit_id
    if visit.status == "refused":  # why is said by itself
        yield Say("医院没有接受这次预约,没有约上。", mood="concern")
    elif visit.awaits:
        yield Say(f"给{visit.patient}的号占好了:{phrases.visit(visit, scene.now)}。")
        yield Say("已提交,正等医院确认。")
    else:
        yield Say(f"好了,已为{visit.patient}约好{phrases.visit(visit, scene.now)}。", mood="smile")
    yield ShowCard("appointment", as_card(visit))
    async for event in scene.next_events(visit.visit_id):
        yield event


def _double(upcoming: tuple[VisitView, ...], slot: SlotOffer, now: datetime) -> VisitView | None:
    for seen in upcoming:
        same_day = seen.start.astimezone(now.tzinfo).date() == slot.start.astimezone(now.tzinfo).date()
        if seen.can_cancel and same_day and seen.department == slot.department:
            return seen
    return None


def slots_card(scene: Scene, found: tuple[SlotOffer, ...], when: When | None) -> ShowCard:
    day = when.label if when else ""
    return ShowCard("slots", {"offers": as_card(found), "department": _department(scene, found), "day": day})


def _department(scene: Scene, found: tuple[SlotOffer, ...]) -> str:
    return found[0].department if found else next(iter(scene.memory.departments), "")


def _day_options() -> tuple[Option, ...]:
    return tuple(Option(words, words) for words in ("明天上午", "明天下午", "后天上午"))


def soonest(now: datetime) -> When:
    """The coming week, for somebody who should not wait."""
    return When(first=now.date(), last=(now + timedelta(days=7)).date(), soon=True, label="最近")
