"""Places in the hospital of a visit, and the way between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class PlaceView:
    """A place on the hospital's indoor map. ``kind``: entrance | door | room | service."""

    code: str
    name: str  # 7号楼1楼南门
    kind: str = "room"


@dataclass(frozen=True, slots=True)
class RouteStepView:
    text: str
    building: str = ""
    floor: str = ""
    distance_m: float = 0.0


@dataclass(frozen=True, slots=True)
class RouteView:
    """``floors``: drawing data of each floor walked, passed through to the page unread; ``uncovered_m``: without a roof;
    ``notice``: what is closed now and what is taken instead."""

    steps: tuple[RouteStepView, ...]
    start: str
    goal: str
    goal_name: str
    total_m: float
    minutes: int
    lift_only: bool
    floors: tuple[Mapping[str, Any], ...] = ()
    covered: bool = False
    uncovered_m: float = 0.0
    notice: str = ""


class WayfindingPort(Protocol):
    """The building of a visit's hospital."""

    async def starts(self, visit_id: str) -> tuple[PlaceView, ...]:
        """Entrances of the visit's hospital, where a way can begin."""
        ...

    async def find_place(self, visit_id: str, text: str) -> PlaceView | None:
        """The place in that hospital that these words name: a room or door code, 药房, 检验科, 7号楼南门, 厕所."""
        ...

    async def scanned(self, visit_id: str, code: str) -> PlaceView:
        """The place whose code (``HOSPITAL.CODE``) hangs at a door. Raises when it is not one of the visit's hospital."""
        ...

    async def route(
        self, *, visit_id: str, start: str, goal: str, lift_only: bool, covered: bool = False
    ) -> RouteView: ...
