"""Help by people: the human desk, the commission, the nearest emergency department."""

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class HumanView:
    phone: str
    hours: str
    queue_position: int = 0


@dataclass(frozen=True, slots=True)
class EmergencyPlaceView:
    hospital: str
    phone: str = ""
    distance_text: str = ""


class HelpPort(Protocol):
    """Whom to turn to when the companion is not enough."""

    async def request_human(self) -> HumanView: ...

    async def report_incident(
        self, kind: Literal["emergency", "self_harm", "guard", "injection", "complaint"], codes: tuple[str, ...]
    ) -> None:
        """For the commission. ``codes`` are rule ids, never her words."""
        ...

    async def nearest_emergency(self) -> tuple[EmergencyPlaceView, ...]: ...
