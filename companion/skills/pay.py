"""Paying: what it is for, what insurance takes, what she pays, and nothing before she has said yes."""

from collections.abc import AsyncIterator

from companion.events import Event, Option, Say, ShowCard
from companion.ports import as_card
from companion.ports.booking import VisitView
from companion.ports.encounter import InvoiceView
from companion.skills import phrases
from companion.skills.scene import Contract, Scene, no_visit

CONTRACT = Contract(
    name="pay",
    intents=("pay",),
    actions=("pay",),
    expects=("confirm_pay",),
    needs=("visit", "invoice", "consent"),
    asks={"consent": "要现在缴吗?"},
    does=("current", "upcoming", "invoices", "pay", "next_step"),
    says="each bill with the insurance part and her own part; pays only after a yes or a tap on the pay button",
)


async def run(scene: Scene) -> AsyncIterator[Event]:
    visit = await scene.visit()
    if visit is None:
        async for event in no_visit(scene):
            yield event
        return
    bills = await scene.port.invoices(visit.visit_id)
    confirmed = scene.answers("confirm_pay") and scene.understood.answer == "yes"
    wanted = str(scene.action.get("invoice_id") or (scene.expecting.get("invoice_id") if confirmed else "") or "")
    if scene.answers("confirm_pay") and scene.understood.answer == "no":
        yield Say("好的,先不缴。想缴的时候告诉我。")
        return
    if wanted:
        async for event in _pay(scene, visit, bills, wanted):
            yield event
        return
    async for event in ask_to_pay(scene, visit, bills):
        yield event


async def ask_to_pay(scene: Scene, visit: VisitView, bills: tuple[InvoiceView, ...]) -> AsyncIterator[Event]:
    """Name the first open bill and ask; say so when there is none."""
    due = [b for b in bills if b.status == "issued"]
    if not due:
        sent = [b for b in bills if b.status == "sent"]
        words = f"{sent[0].title}已经提交,正在等医院确认,请不要重复付款。" if sent else "现在没有要缴的费用。"
        yield Say(words)
        if bills:
            yield ShowCard("invoice", {"invoices": as_card(bills)})
        async for event in scene.next_events(visit.visit_id):
            yield event
        return
    if len(due) > 1:
        yield Say(f"有{len(due)}笔费用,我们一笔一笔来。")
    yield Say(phrases.bill(due[0]))
    yield ShowCard("invoice", {"invoices": as_card(due)})
    yield Say(CONTRACT.asks["consent"])
    pay = {"kind": "pay", "invoice_id": due[0].id}
    options = (Option(f"缴{phrases.yuan(due[0].self_pay_fen)}", "", pay), Option("先不缴", "先不缴"))
    yield scene.ask("confirm_pay", options, invoice_id=due[0].id)


async def _pay(scene: Scene, visit: VisitView, bills: tuple[InvoiceView, ...], invoice_id: str) -> AsyncIterator[Event]:
    bill = next((b for b in bills if b.id == invoice_id), None)
    if bill is None or bill.status == "cancelled":
        yield Say("没有找到这笔费用,或者医院已经撤销了。")
        return
    if bill.status == "paid":
        yield Say(f"{bill.title}已经缴过了,不用再缴。")
    else:
        bill = await scene.port.pay(visit_id=visit.visit_id, invoice_id=invoice_id, key=scene.key("pay", invoice_id))
        yield ShowCard("invoice", {"invoices": [as_card(bill)]})
        if bill.pay_at:
            yield Say(f"请点卡片上的「去付款」,付{phrases.yuan(bill.self_pay_fen)}。付好了我马上告诉您。")
            return
        if bill.pay_code:
            yield Say(
                f"请用微信扫卡片上的码,付{phrases.yuan(bill.self_pay_fen)},家人帮您扫也可以。付好了我马上告诉您。"
            )
            return
        if bill.status != "paid":
            yield Say(f"{bill.title}已提交,正在等医院确认,请不要重复付款。")
            return
        yield Say(f"{bill.title}缴费成功,您自付了{phrases.yuan(bill.self_pay_fen)}。", mood="smile")
    rest = [b for b in await scene.port.invoices(visit.visit_id) if b.status == "issued"]
    if rest:
        async for event in ask_to_pay(scene, visit, tuple(rest)):
            yield event
        return
    async for event in scene.next_events(visit.visit_id):
        yield event
