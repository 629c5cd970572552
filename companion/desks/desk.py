"""For whom a desk works, and one of her visits as a value."""

from uuid import UUID

from django.utils import timezone

from companion import cards, journey, visits
from companion.journey import Journey, VisitState
from companion.models import Visit
from companion.ports.booking import VisitView
from hospitals.audit import Actor


class Desk:
    """For whom a port works: one resident, one patient, one conversation; ``sign_in``: of the page that asks."""

    def __init__(self, resident_id: UUID, patient_id: UUID, conversation_id: UUID, sign_in: UUID | None = None) -> None:
        self.resident_id = resident_id
        self.patient_id = patient_id
        self.conversation_id = conversation_id
        self.sign_in = sign_in

    @property
    def actor(self) -> Actor:
        """The resident, as the audit log knows her."""
        return Actor("resident", str(self.resident_id))

    def visit(self, visit_id: str) -> tuple[Visit, Journey]:
        """One of her visits and where it stands. Raises ``NotFound``."""
        visit = visits.visit_for(self.resident_id, visit_id)
        return visit, visits.journey_of(visit)


def visit_view(visit: Visit, awaits: str | None = None) -> VisitView:
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
        awaits=_awaits(visit) if awaits is None else awaits,
    )


def _awaits(visit: Visit) -> str:
    """As ``Journey.awaits``, without folding where the state alone tells."""
    waits = VisitState(visit.state) in journey.BEFORE_CHECK_IN | {VisitState.CANCELLING}
    return visits.journey_of(visit).awaits if waits else ""
