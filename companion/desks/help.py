"""Help by people: the human desk, the commission, the nearest emergency department."""

from typing import Literal

from django.conf import settings
from django.db import transaction

from companion.asking import asking
from companion.desks.desk import Desk
from companion.models import Conversation, HumanRequest, Incident
from companion.ports.help import EmergencyPlaceView, HumanView
from hospitals.services import directory


class HelpDesk(Desk):
    """One conversation's ``companion.ports.help.HelpPort``."""

    async def request_human(self) -> HumanView:
        def work() -> HumanView:
            with transaction.atomic():  # a second tap at the same moment finds the first one's
                Conversation.objects.select_for_update().get(id=self.conversation_id)
                hers = HumanRequest.objects.filter(conversation_id=self.conversation_id, answered_at=None)
                mine = hers.first() or HumanRequest.objects.create(conversation_id=self.conversation_id)
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
