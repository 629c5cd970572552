"""All desks as one."""

from uuid import UUID

from companion.desks.booking import BookingDesk
from companion.desks.encounter import EncounterDesk
from companion.desks.help import HelpDesk
from companion.desks.people import PeopleDesk
from companion.desks.wayfinding import WayfindingDesk
from companion.exceptions import NotAllowed


class VisitDesk(BookingDesk, EncounterDesk, WayfindingDesk, HelpDesk, PeopleDesk):
    """One resident's ``companion.ports.visit.VisitPort``, for one patient, within one conversation."""

    def for_patient(self, patient_id: str) -> "VisitDesk":
        try:
            return VisitDesk(self.resident_id, UUID(patient_id), self.conversation_id, self.sign_in)
        except ValueError as error:
            raise NotAllowed from error
