"""All ports as one."""

from typing import Protocol

from companion.ports.booking import BookingPort
from companion.ports.encounter import EncounterPort
from companion.ports.help import HelpPort
from companion.ports.people import PeoplePort
from companion.ports.wayfinding import WayfindingPort


class VisitPort(BookingPort, EncounterPort, WayfindingPort, HelpPort, PeoplePort, Protocol):
    """The visits of one resident, seen for one patient.

    Every method may raise a ``CompanionError`` whose ``detail`` can be said to the resident.
    """

    def for_patient(self, patient_id: str) -> "VisitPort":
        """The same resident's port for another person she may act for (checked on first use)."""
        ...
