"""Finding a place and booking it, at the hospitals of the directory."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, ParamSpec
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from companion import acting, booked, journey, people, visits
from companion.asking import asking
from companion.desks.desk import Desk, visit_view
from companion.exceptions import NotFound, NotNow
from companion.fanout import fanout
from companion.journey import OwnEvent
from companion.models import Patient, Visit, VisitPrompt
from companion.ports.booking import HospitalNews, HospitalView, OfferQuery, SlotOffer, VisitView
from hospitals.connectors.base import PatientCard, Reason
from hospitals.services import booking, directory, waiting
from hospitals.services.booking import AppointmentInfo

P = ParamSpec("P")

BOOKING_DAYS = 14


class BookingDesk(Desk):
    """One resident's ``companion.ports.booking.BookingPort``, for one patient."""

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
        return visit_view(visit)

    def book_now(self, slot_id: str, key: str) -> VisitView:
        """The same for those who are off the loop already."""
        patient = acting.may_act_for(self.resident_id, self.patient_id)
        try:
            wanted = UUID(slot_id)
        except ValueError as error:
            raise NotFound("没有找到这个号,请重新选一个。") from error
        wish = booking.wish(
            slot_id=wanted,
            patient=_card(patient),
            subject=patient.id,
            keeper=patient.keeper_id,
            idempotency_key=f"{self.resident_id}:{key}",
        )
        begun: list[Visit] = []

        def begin(made: AppointmentInfo) -> None:
            assert made.place is not None
            begun.append(_visit_of(made, made.place, self.resident_id, patient))
            booked.begin(begun[0])

        with transaction.atomic():
            made = booking.book(wish, actor=self.actor, along=begin)
        if not begun:  # asked again with the same key
            return visit_view(visits.visit_for(self.resident_id, made.appointment_id))
        return visit_view(begun[0], awaits="book")

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
            return visit_view(visit)

        return await self._settled("cancel_confirmed", work)


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


def _visit_of(made: AppointmentInfo, place: directory.SlotOffer, resident_id: UUID, patient: Patient) -> Visit:
    return Visit(
        id=made.appointment_id,
        resident_id=resident_id,
        patient=patient,
        hospital_id=place.hospital_id,
        hospital_name=place.hospital,
        department=place.department,
        practitioner=place.practitioner,
        place=place.place,
        room_code=place.room_code,
        start=place.start,
        fee_fen=place.fee_fen,
    )
