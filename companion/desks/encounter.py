"""The visit under way: check-in, queue, bills, examinations, reports, medicines and what comes next."""

from datetime import datetime, time
from typing import Any, TypeVar

from django.db import transaction
from django.utils import timezone
from pydantic import TypeAdapter

from companion import acting, cards, journey, looks, paying, prompts, reminders, visits
from companion.asking import asking
from companion.desks.desk import Desk, visit_view
from companion.exceptions import NotFound, NotNow
from companion.journey import Choice, Journey, OwnEvent, Payment, Travel
from companion.journey.next_step import NextStep, next_step
from companion.models import Visit, VisitPrompt
from companion.payment.base import Opened, OrderSpent
from companion.ports.booking import VisitView
from companion.ports.encounter import (
    ExaminationView,
    FollowUpView,
    InvoiceView,
    JourneyStepView,
    MedicinesView,
    NextView,
    QueueView,
    ReportView,
)
from companion.wording import NEXT
from hospitals import qr
from hospitals.connectors.base import Reference
from hospitals.services import booking

T = TypeVar("T")


def _views(kind: type[T], data: list[dict[str, Any]]) -> tuple[T, ...]:
    """Card data as the skills' values: fields a value does not have stay on the card."""
    return TypeAdapter(tuple[kind, ...]).validate_python(data)  # type: ignore[valid-type]


class EncounterDesk(Desk):
    """One resident's ``companion.ports.encounter.EncounterPort``, for one patient."""

    async def current(self) -> VisitView | None:
        def work() -> VisitView | None:
            acting.may_act_for(self.resident_id, self.patient_id)
            visit = visits.current(self.patient_id)
            return visit_view(visit) if visit else None

        return await asking(work)

    async def upcoming(self) -> tuple[VisitView, ...]:
        def work() -> tuple[VisitView, ...]:
            acting.may_act_for(self.resident_id, self.patient_id)
            open_states = [state.value for state in journey.OPEN]
            rows = Visit.objects.filter(patient_id=self.patient_id, state__in=open_states).select_related("patient")
            return tuple(visit_view(row) for row in rows.order_by("start"))

        return await asking(work)

    async def check_in(self, *, visit_id: str, key: str) -> QueueView | None:
        def work() -> QueueView | None:
            visit, now = self.visit(visit_id)
            if now.queue is None:
                visits.require(now, *journey.BEFORE_CHECK_IN)
                booking.check_in(appointment_id=visit.id, idempotency_key=f"check-in:{visit.id}", actor=self.actor)
                now = visits.journey_of(visit)
            return self._queue(visit, now)

        return await asking(work)

    @staticmethod
    def _queue(visit: Visit, now: Journey) -> QueueView | None:
        made = cards.queue(visit, now)
        return QueueView(**made) if made else None

    async def queue(self, visit_id: str) -> QueueView | None:
        return await asking(lambda: self._queue(*self.visit(visit_id)))

    async def invoices(self, visit_id: str) -> tuple[InvoiceView, ...]:
        return await asking(lambda: _views(InvoiceView, cards.invoices(self.visit(visit_id)[1])["invoices"]))

    async def pay(self, *, visit_id: str, invoice_id: str, key: str) -> InvoiceView:
        return await self._pay(visit_id, invoice_id, again=True)

    async def _pay(self, visit_id: str, invoice_id: str, *, again: bool) -> InvoiceView:
        begun = await asking(self._begun, visit_id, invoice_id)
        if begun is None:
            return await asking(self._bill_shown, visit_id, invoice_id, Opened())
        try:
            opened = await paying.at_gateway(begun)  # here nothing of the database is held
        except OrderSpent:
            await asking(paying.spent, begun)
            if not again:
                raise
            return await self._pay(visit_id, invoice_id, again=False)  # with the next number
        return await asking(self._paid, visit_id, invoice_id, begun, opened)

    def _bill(self, visit_id: str, invoice_id: str) -> tuple[Visit, Payment]:
        """Her visit, locked, and the bill as it stands. Raises ``NotFound``."""
        visits.locked(visits.visit_for(self.resident_id, visit_id).id)
        visit, now = self.visit(visit_id)
        bill = next((p for p in now.payments if p.invoice.id == invoice_id), None)
        if bill is None:
            raise NotFound("没有找到这笔费用。")
        return visit, bill

    @transaction.atomic
    def _begun(self, visit_id: str, invoice_id: str) -> paying.Begun | None:
        visit, bill = self._bill(visit_id, invoice_id)
        _not_withdrawn(bill)
        return paying.begin(visit, bill.invoice) if bill.state == "issued" else None

    def _paid(self, visit_id: str, invoice_id: str, begun: paying.Begun, opened: Opened) -> InvoiceView:
        with transaction.atomic():
            visit, bill = self._bill(visit_id, invoice_id)
            shown = paying.finish(begun, opened, bill, self.actor)
            if shown is not None and shown.trade_number:  # the skill says so itself
                sent = VisitPrompt.objects.filter(visit=visit, name="payment_sent", part_id=invoice_id, said_at=None)
                sent.update(said_at=timezone.now())
        if shown is None:  # what became of the order is on record before she is told
            _not_withdrawn(bill)
            if bill.state == "issued":
                raise NotNow("这笔费用刚刚有变化,请再看一下,重新缴。", code="bill_changed")
        return self._bill_shown(visit_id, invoice_id, shown or Opened())

    def _bill_shown(self, visit_id: str, invoice_id: str, opened: Opened) -> InvoiceView:
        made = cards.invoices(self.visit(visit_id)[1], invoice_id)["invoices"][0]
        code = qr.picture(opened.scan) if opened.scan else ""
        return _views(InvoiceView, [made | {"pay_at": opened.pay_at, "pay_code": code}])[0]

    async def examinations(self, visit_id: str) -> tuple[ExaminationView, ...]:
        return await asking(
            lambda: _views(ExaminationView, cards.examinations(self.visit(visit_id)[1])["examinations"])
        )

    async def reports(self, visit_id: str) -> tuple[ReportView, ...]:
        def work() -> tuple[ReportView, ...]:
            visit, now = self.visit(visit_id)
            found = _views(ReportView, cards.reports(visit, now)["reports"])
            if found:
                self._looked("report.read", visit)
            return found

        return await asking(work)

    def _looked(self, action: str, visit: Visit) -> None:
        looks.looked(
            action,
            resident_id=self.resident_id,
            patient_id=visit.patient_id,
            hospital_id=visit.hospital_id,
            entity="visit",
            entity_id=visit.id,
        )

    async def report_read(self, *, visit_id: str, report_id: str) -> None:
        def work() -> None:
            visit, _now = self.visit(visit_id)
            visits.own_event(visit.id, OwnEvent.REPORT_READ, Reference(report_id), key=f"own.report_read:{report_id}")

        await asking(work)

    async def medicines(self, visit_id: str) -> MedicinesView:
        def work() -> MedicinesView:
            visit, now = self.visit(visit_id)
            if now.prescriptions:
                self._looked("medicine.read", visit)
            pending = [p.prescription for p in now.prescriptions if p.state == "issued"]
            return TypeAdapter(MedicinesView).validate_python(
                cards.medicines(visit, now) | {"pickup_room_code": pending[0].pickup_room_code if pending else ""}
            )

        return await asking(work)

    async def travel_told(self, *, visit_id: str, minutes: int, key: str) -> datetime | None:
        def work() -> datetime | None:
            visit, _now = self.visit(visit_id)
            now = visits.own_event(visit.id, OwnEvent.TRAVEL_TOLD, Travel(minutes), key=f"own.travel_told:{key}")
            leave = timezone.localtime(reminders.leave_at(now, visit.start))
            return leave if now.state in journey.BEFORE_CHECK_IN and leave > timezone.now() else None

        return await asking(work)

    async def remind_of_medicine(
        self, *, visit_id: str, wanted: bool, key: str
    ) -> tuple[tuple[str, tuple[time, ...]], ...]:
        def work() -> tuple[tuple[str, tuple[time, ...]], ...]:
            visit, _now = self.visit(visit_id)
            kind = OwnEvent.MEDICINE_REMINDERS
            now = visits.own_event(visit.id, kind, Choice(wanted), key=f"{kind.value}:{key}")
            items = [item for part in now.prescriptions for item in part.prescription.items]
            return tuple((item.medicine, reminders.times_of_day(item.dosage)) for item in items)

        return await asking(work)

    async def follow_up(self, visit_id: str) -> FollowUpView | None:
        made = await asking(lambda: cards.follow_up(self.visit(visit_id)[1]))
        return FollowUpView(**made) if made else None

    async def progress(self, visit_id: str) -> tuple[JourneyStepView, ...]:
        return await asking(lambda: _views(JourneyStepView, cards.progress(self.visit(visit_id)[1])["steps"]))

    async def next_step(self, visit_id: str | None) -> NextView:
        def work() -> NextView:
            if visit_id is None:
                wording = NEXT["start"]
                return NextView(wording.say, wording.label, wording.say_instead, "start")
            visit, now = self.visit(visit_id)
            step = next_step(now)
            wording = NEXT[step.name]
            return NextView(
                say=wording.say.format_map(prompts.values(visit, now, step.part_id)),
                label=wording.label,
                say_instead=wording.say_instead,
                name=step.name,
                room_code=_room_of(visit, now, step),
                part_id=step.part_id,
            )

        return await asking(work)


def _not_withdrawn(bill: Payment) -> None:
    if bill.state == "cancelled":
        raise NotNow("这笔费用医院已经撤销,不用缴了。")


def _room_of(visit: Visit, now: Journey, step: NextStep) -> str:
    """Where the next step is done: the examination's room, the pharmacy, or the room she is queued for."""
    for part in now.examinations:
        if part.examination.id == step.part_id:
            return part.examination.room_code
    for sheet in now.prescriptions:
        if sheet.prescription.id == step.part_id:
            return sheet.prescription.pickup_room_code
    return visit.where[1]
