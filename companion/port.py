"""The skills' port onto the real world: visits here, directory, booking and maps in hospitals; each call off the loop.

Whatever the hospital's side refuses becomes a CompanionError whose detail can be said to the resident.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any, Literal, ParamSpec, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pydantic import TypeAdapter

from companion import booked, cards, journey, looks, paying, people, prompts, reminders, visits
from companion.asking import asking
from companion.exceptions import NotAllowed, NotFound, NotNow
from companion.fanout import fanout
from companion.journey import Choice, Journey, NextStep, OwnEvent, Travel, VisitState
from companion.models import Conversation, FamilyLink, HumanRequest, Incident, Patient, Visit, VisitPrompt
from companion.payment.base import Opened
from companion.people_desk import PeopleDesk
from companion.visit_port import (
    EmergencyPlaceView,
    ExaminationView,
    FollowUpView,
    HospitalNews,
    HospitalView,
    HumanView,
    InvoiceView,
    JourneyStepView,
    LookView,
    MedicinesView,
    NextView,
    OfferQuery,
    PersonView,
    PlaceView,
    QueueView,
    ReportView,
    RouteStepView,
    RouteView,
    SlotOffer,
    VisitView,
)
from companion.wording import NEXT
from hospitals import audit
from hospitals.connectors.base import PatientCard, Reason, Reference
from hospitals.services import booking, directory, maps, waiting

P = ParamSpec("P")
T = TypeVar("T")

BOOKING_DAYS = 14


def _views(kind: type[T], data: list[dict[str, Any]]) -> tuple[T, ...]:
    """Card data as the skills' values: fields a value does not have stay on the card."""
    return TypeAdapter(tuple[kind, ...]).validate_python(data)  # type: ignore[valid-type]


class VisitDesk(PeopleDesk):
    """One resident's ``companion.visit_port.VisitPort``, for one patient, within one conversation."""

    def for_patient(self, patient_id: str) -> "VisitDesk":
        try:
            return VisitDesk(self.resident_id, UUID(patient_id), self.conversation_id, self.sign_in)
        except ValueError as error:
            raise NotAllowed from error

    # --- finding and booking ------------------------------------------------------------------------------
    async def hospitals(self) -> tuple[HospitalView, ...]:
        def find() -> tuple[HospitalView, ...]:
            return tuple(
                HospitalView(
                    hospital_id=str(h.id), name=h.name, level=h.level, city=h.city, nicknames=tuple(h.nicknames)
                )
                for h in directory.find_hospitals(near_city=settings.HOME_CITY)
            )

        return await asking(find)

    async def news(self, hospital_id: str) -> HospitalNews:
        def look() -> HospitalNews:
            try:
                found = directory.hospital(hospital_id=UUID(hospital_id))
            except ValueError as error:
                raise NotFound("没有找到这家医院。") from error
            notices = directory.notices(hospital_id=found.id)
            return HospitalNews(found.name, found.opening_hours, found.address, found.phone, notices)

        return await asking(look)

    async def practitioners(self, surname: str) -> tuple[str, ...]:
        return await asking(directory.find_practitioners, surname=surname)

    async def offers(self, query: OfferQuery) -> tuple[SlotOffer, ...]:
        now = timezone.now()
        start = max(query.window.start, now) if query.window else now
        end = query.window.end if query.window else now + timedelta(days=BOOKING_DAYS)

        def search() -> tuple[SlotOffer, ...]:
            found = directory.search_slots(
                departments=query.departments,
                start=start,
                end=end,
                hospital_id=UUID(query.hospital_id) if query.hospital_id else None,
                practitioner_name=query.practitioner or None,
                near_city=settings.HOME_CITY,
                limit=query.limit,
            )
            return tuple(self._offer(slot) for slot in found)

        return await asking(search)

    async def offer(self, slot_id: str) -> SlotOffer | None:
        def look() -> SlotOffer | None:
            try:
                slot = directory.slot(UUID(slot_id))
            except ValueError:
                return None
            if slot is None or not (slot.free or self._holds(slot)):
                return None
            return self._offer(slot)

        return await asking(look)

    def _holds(self, slot: directory.SlotOffer) -> bool:
        """Full for others, but the waiting list keeps a place of it for her."""
        return waiting.holds(hospital_id=slot.hospital_id, slot_id=slot.slot_id, subject=self.patient_id)

    @staticmethod
    def _offer(slot: directory.SlotOffer) -> SlotOffer:
        return SlotOffer(
            slot_id=str(slot.slot_id),
            hospital_id=str(slot.hospital_id),
            hospital=slot.hospital,
            department=slot.department,
            start=timezone.localtime(slot.start),
            hospital_level=slot.hospital_level,
            distance_text=slot.city,
            practitioner=slot.practitioner,
            title=slot.title,
            fee_fen=slot.fee_fen,
            free=slot.free,
        )

    async def book(self, *, slot_id: str, key: str) -> VisitView:
        return await self._settled("booking_confirmed", self.book_now, slot_id, key)

    async def _settled(
        self, prompt: str, work: Callable[P, VisitView], /, *args: P.args, **kwargs: P.kwargs
    ) -> VisitView:
        """Do it, and give the hospital a moment to answer: mostly it does, and then she hears one sentence, not two.

        What the skill says then need not come by itself as well: ``prompt`` counts as said.
        """
        with fanout().overhear(self.resident_id) as overheard:
            made = await asking(work, *args, **kwargs)
            if not made.awaits or overheard is None:
                return made

            def answered(message: dict[str, Any]) -> bool:
                card = (message.get("frame") or {}).get("card") or {}
                same = message.get("visit") == made.visit_id and message.get("frame") is not None
                return same and not card.get("data", {}).get("awaits")

            if not await overheard.until(answered, within_s=settings.HOSPITAL_ANSWERS_WITHIN_S):
                return made
        return await asking(self._as_it_stands, made.visit_id, prompt)

    def _as_it_stands(self, visit_id: str, prompt: str) -> VisitView:
        visit = visits.visit_for(self.resident_id, visit_id)
        VisitPrompt.objects.filter(visit=visit, name=prompt, said_at=None).update(said_at=timezone.now())
        return self._visit(visit)

    def book_now(self, slot_id: str, key: str) -> VisitView:
        """The same for those who are off the loop already."""
        patient = visits.may_act_for(self.resident_id, self.patient_id)
        try:
            wanted = UUID(slot_id)
        except ValueError as error:
            raise NotFound("没有找到这个号,请重新选一个。") from error
        wish = booking.wish(
            slot_id=wanted, patient=_card(patient), subject=patient.id, idempotency_key=f"{self.resident_id}:{key}"
        )
        with transaction.atomic():
            made = booking.book(wish, actor=self.actor)
            slot = made.place
            if slot is None:  # asked again with the same key
                return self._visit(visits.visit_for(self.resident_id, made.appointment_id))
            visit = Visit(
                id=made.appointment_id,
                resident_id=self.resident_id,
                patient=patient,
                hospital_id=slot.hospital_id,
                hospital_name=slot.hospital,
                department=slot.department,
                practitioner=slot.practitioner,
                place=slot.place,
                room_code=slot.room_code,
                start=slot.start,
                fee_fen=slot.fee_fen,
            )
            booked.begin(visit)
        return self._visit(visit, awaits="book")

    async def cancel(self, *, visit_id: str, reason: str, key: str) -> VisitView:
        def work() -> VisitView:
            with transaction.atomic():
                visit = visits.visit_for(self.resident_id, visit_id)
                visits.require(visits.journey_of(visit), *journey.BEFORE_CHECK_IN)
                made = booking.cancel(
                    appointment_id=visit.id,
                    reason=reason,
                    idempotency_key=f"cancel:{visit.id}:{key}",
                    actor=self.actor,
                )
                kind = OwnEvent.CANCEL_SENT if made.state == "cancelling" else OwnEvent.CANCELLED
                told = f"{kind.value}:{made.command}" if made.command else kind.value
                visits.own_event(visit.id, kind, Reason(text=reason or "您取消了预约"), key=told)
            visit.refresh_from_db()
            return self._visit(visit)

        return await self._settled("cancel_confirmed", work)

    # --- the visit under way ------------------------------------------------------------------------------
    def _visit(self, visit: Visit, awaits: str | None = None) -> VisitView:
        return VisitView(
            visit_id=str(visit.id),
            hospital_id=str(visit.hospital_id),
            hospital=visit.hospital_name,
            department=visit.department,
            start=timezone.localtime(visit.start),
            patient=visit.patient.name,
            status=visit.state,
            practitioner=visit.practitioner,
            place=visit.where[0],
            room_code=visit.where[1],
            can_cancel=VisitState(visit.state) in journey.BEFORE_CHECK_IN,
            as_of=cards.iso(visit.changed_at),
            awaits=self._awaits(visit) if awaits is None else awaits,
        )

    @staticmethod
    def _awaits(visit: Visit) -> str:
        """As ``Journey.awaits``, without folding where the state alone tells."""
        waits = VisitState(visit.state) in journey.BEFORE_CHECK_IN | {VisitState.CANCELLING}
        return visits.journey_of(visit).awaits if waits else ""

    def _mine(self, visit_id: str) -> tuple[Visit, Journey]:
        visit = visits.visit_for(self.resident_id, visit_id)
        return visit, visits.journey_of(visit)

    async def current(self) -> VisitView | None:
        def work() -> VisitView | None:
            visits.may_act_for(self.resident_id, self.patient_id)
            visit = visits.current(self.patient_id)
            return self._visit(visit) if visit else None

        return await asking(work)

    async def upcoming(self) -> tuple[VisitView, ...]:
        def work() -> tuple[VisitView, ...]:
            visits.may_act_for(self.resident_id, self.patient_id)
            open_states = [state.value for state in journey.OPEN]
            rows = Visit.objects.filter(patient_id=self.patient_id, state__in=open_states).select_related("patient")
            return tuple(self._visit(row) for row in rows.order_by("start"))

        return await asking(work)

    async def check_in(self, *, visit_id: str, key: str) -> QueueView | None:
        def work() -> QueueView | None:
            visit, now = self._mine(visit_id)
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
        return await asking(lambda: self._queue(*self._mine(visit_id)))

    async def invoices(self, visit_id: str) -> tuple[InvoiceView, ...]:
        return await asking(lambda: _views(InvoiceView, cards.invoices(self._mine(visit_id)[1])["invoices"]))

    async def pay(self, *, visit_id: str, invoice_id: str, key: str) -> InvoiceView:
        def work() -> InvoiceView:
            with transaction.atomic():
                visits.locked(visits.visit_for(self.resident_id, visit_id).id)
                visit, now = self._mine(visit_id)
                bill = next((p for p in now.payments if p.invoice.id == invoice_id), None)
                if bill is None:
                    raise NotFound("没有找到这笔费用。")
                if bill.state == "cancelled":
                    raise NotNow("这笔费用医院已经撤销,不用缴了。")
                opened = paying.begin(visit, bill.invoice, self.actor) if bill.state == "issued" else Opened()
                if opened.trade_number:  # the skill says so itself
                    sent = VisitPrompt.objects.filter(
                        visit=visit, name="payment_sent", part_id=invoice_id, said_at=None
                    )
                    sent.update(said_at=timezone.now())
            made = cards.invoices(visits.journey_of(visit), invoice_id)["invoices"][0]
            return _views(InvoiceView, [made | {"pay_at": opened.pay_at}])[0]

        return await asking(work)

    async def examinations(self, visit_id: str) -> tuple[ExaminationView, ...]:
        return await asking(
            lambda: _views(ExaminationView, cards.examinations(self._mine(visit_id)[1])["examinations"])
        )

    async def reports(self, visit_id: str) -> tuple[ReportView, ...]:
        def work() -> tuple[ReportView, ...]:
            visit, now = self._mine(visit_id)
            found = _views(ReportView, cards.reports(visit, now)["reports"])
            if found:
                self._looked(visit, "report.read")
            return found

        return await asking(work)

    def _looked(self, visit: Visit, action: str) -> None:
        """Somebody of the family reads what is the patient's: on record once a visit, kind and day."""
        if FamilyLink.objects.filter(
            resident_id=self.resident_id, patient_id=visit.patient_id, relation=FamilyLink.Relation.SELF
        ).exists():
            return
        audit.record_once(
            action,
            since=timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0),
            actor=self.actor,
            hospital_id=visit.hospital_id,
            entity="visit",
            entity_id=visit.id,
            subject=visit.patient_id,
        )

    async def report_read(self, *, visit_id: str, report_id: str) -> None:
        def work() -> None:
            visit, _now = self._mine(visit_id)
            visits.own_event(visit.id, OwnEvent.REPORT_READ, Reference(report_id), key=f"own.report_read:{report_id}")

        await asking(work)

    async def medicines(self, visit_id: str) -> MedicinesView:
        def work() -> MedicinesView:
            visit, now = self._mine(visit_id)
            if now.prescriptions:
                self._looked(visit, "medicine.read")
            pending = [p.prescription for p in now.prescriptions if p.state == "issued"]
            return TypeAdapter(MedicinesView).validate_python(
                cards.medicines(visit, now) | {"pickup_room_code": pending[0].pickup_room_code if pending else ""}
            )

        return await asking(work)

    async def travel_told(self, *, visit_id: str, minutes: int, key: str) -> datetime | None:
        def work() -> datetime | None:
            visit, _now = self._mine(visit_id)
            now = visits.own_event(visit.id, OwnEvent.TRAVEL_TOLD, Travel(minutes), key=f"own.travel_told:{key}")
            leave = timezone.localtime(reminders.leave_at(now, visit.start))
            return leave if now.state in journey.BEFORE_CHECK_IN and leave > timezone.now() else None

        return await asking(work)

    async def remind_of_medicine(
        self, *, visit_id: str, wanted: bool, key: str
    ) -> tuple[tuple[str, tuple[time, ...]], ...]:
        def work() -> tuple[tuple[str, tuple[time, ...]], ...]:
            visit, _now = self._mine(visit_id)
            kind = OwnEvent.MEDICINE_REMINDERS
            now = visits.own_event(visit.id, kind, Choice(wanted), key=f"{kind.value}:{key}")
            items = [item for part in now.prescriptions for item in part.prescription.items]
            return tuple((item.medicine, reminders.times_of_day(item.dosage)) for item in items)

        return await asking(work)

    async def follow_up(self, visit_id: str) -> FollowUpView | None:
        made = await asking(lambda: cards.follow_up(self._mine(visit_id)[1]))
        return FollowUpView(**made) if made else None

    async def progress(self, visit_id: str) -> tuple[JourneyStepView, ...]:
        return await asking(lambda: _views(JourneyStepView, cards.progress(self._mine(visit_id)[1])["steps"]))

    async def next_step(self, visit_id: str | None) -> NextView:
        def work() -> NextView:
            if visit_id is None:
                wording = NEXT["start"]
                return NextView(wording.say, wording.label, wording.say_instead, "start")
            visit, now = self._mine(visit_id)
            step = journey.next_step(now)
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

    # --- the building -------------------------------------------------------------------------------------
    async def starts(self, visit_id: str) -> tuple[PlaceView, ...]:
        def work() -> tuple[PlaceView, ...]:
            visit, _now = self._mine(visit_id)
            return tuple(PlaceView(p.code, p.name, p.kind) for p in maps.entrances(hospital_id=visit.hospital_id))

        return await asking(work)

    async def find_place(self, visit_id: str, text: str) -> PlaceView | None:
        def work() -> PlaceView | None:
            visit, _now = self._mine(visit_id)
            found = maps.find_place(hospital_id=visit.hospital_id, text=text)
            return PlaceView(found.code, found.name, found.kind) if found else None

        return await asking(work)

    async def scanned(self, visit_id: str, code: str) -> PlaceView:
        def work() -> PlaceView:
            visit, _now = self._mine(visit_id)
            found = maps.scanned(hospital_id=visit.hospital_id, code=code)
            return PlaceView(found.code, found.name, found.kind)

        return await asking(work)

    async def route(self, *, visit_id: str, start: str, goal: str, lift_only: bool, covered: bool = False) -> RouteView:
        def work() -> RouteView:
            visit, _now = self._mine(visit_id)
            way = maps.route(
                hospital_id=visit.hospital_id, start=start, goal=goal, lift_only=lift_only, covered=covered
            )
            return RouteView(
                steps=tuple(RouteStepView(s.text, s.building, s.floor, s.distance_m) for s in way.steps),
                start=start,
                goal=goal,
                goal_name=way.goal_name,
                total_m=way.total_m,
                minutes=way.minutes,
                lift_only=lift_only,
                floors=tuple(maps.drawings(hospital_id=visit.hospital_id, way=way)),
                covered=covered,
                uncovered_m=way.uncovered_m,
                notice=way.notice,
            )

        return await asking(work)

    # --- people and help ----------------------------------------------------------------------------------
    async def people(self) -> tuple[PersonView, ...]:
        def work() -> tuple[PersonView, ...]:
            links = FamilyLink.objects.filter(resident_id=self.resident_id, withdrawn_at=None).select_related("patient")
            now = timezone.now()
            return tuple(
                PersonView(
                    patient_id=str(link.patient_id),
                    name=link.patient.name,
                    relation=str(link.get_relation_display()),
                    current=link.patient_id == self.patient_id,
                    age_years=cards.age_of(link.patient),
                    sex=link.patient.sex,
                    mine=link.patient.keeper_id == self.resident_id,
                    consent_id=None if link.patient.keeper_id == self.resident_id else link.id,
                )
                for link in links.order_by("id")
                if link.consented_at and (link.expires_at is None or link.expires_at > now)
            )

        return await asking(work)

    async def looks(self) -> tuple[LookView, ...]:
        def work() -> tuple[LookView, ...]:
            return tuple(
                LookView(look.at, look.by, looks.who(look), looks.what(look), look.why)
                for look in looks.about_her(self.resident_id)
            )

        return await asking(work)

    async def request_human(self) -> HumanView:
        def work() -> HumanView:
            mine, _created = HumanRequest.objects.get_or_create(conversation_id=self.conversation_id, answered_at=None)
            ahead = HumanRequest.objects.filter(answered_at=None, requested_at__lt=mine.requested_at).count()
            return HumanView(phone=settings.HUMAN_PHONE, hours=settings.HUMAN_HOURS, queue_position=ahead + 1)

        return await asking(work)

    async def report_incident(
        self, kind: Literal["emergency", "self_harm", "guard", "injection", "complaint"], codes: tuple[str, ...]
    ) -> None:
        def work() -> None:
            conversation = Conversation.objects.filter(id=self.conversation_id).first()
            Incident.objects.create(kind=kind, codes=list(codes), conversation=conversation)

        await asking(work)

    async def nearest_emergency(self) -> tuple[EmergencyPlaceView, ...]:
        def work() -> tuple[EmergencyPlaceView, ...]:
            found = directory.emergency_departments(near_city=settings.HOME_CITY, limit=3)
            return tuple(EmergencyPlaceView(hospital=h.name, phone=h.phone, distance_text=h.city) for h in found)

        return await asking(work)


def _card(patient: Patient) -> PatientCard:
    """The real-name card a hospital asks for. Raises ``NotNow`` while it is not filled."""
    if not people.complete(patient):
        raise NotNow("挂号要实名。请先填好姓名、证件号和手机号。", code="card_incomplete")
    return PatientCard(
        name=patient.name,
        id_number=patient.id_number,
        phone=patient.phone,
        birth_date=date.fromisoformat(patient.birth_date),
        sex=patient.sex or "unknown",
    )


def _room_of(visit: Visit, now: Journey, step: NextStep) -> str:
    """Where the next step is done: the examination's room, the pharmacy, or the room she is queued for."""
    for part in now.examinations:
        if part.examination.id == step.part_id:
            return part.examination.room_code
    for sheet in now.prescriptions:
        if sheet.prescription.id == step.part_id:
            return sheet.prescription.pickup_room_code
    return visit.where[1]
