"""Places in the hospital of a visit, and the way between them, on the map that the hospital uploaded."""

from companion.asking import asking
from companion.desks.desk import Desk
from companion.ports.wayfinding import PlaceView, RouteStepView, RouteView
from hospitals.services import maps


class WayfindingDesk(Desk):
    """One resident's ``companion.ports.wayfinding.WayfindingPort``."""

    async def starts(self, visit_id: str) -> tuple[PlaceView, ...]:
        def work() -> tuple[PlaceView, ...]:
            visit, _now = self.visit(visit_id)
            return tuple(PlaceView(p.code, p.name, p.kind) for p in maps.entrances(hospital_id=visit.hospital_id))

        return await asking(work)

    async def find_place(self, visit_id: str, text: str) -> PlaceView | None:
        def work() -> PlaceView | None:
            visit, _now = self.visit(visit_id)
            found = maps.find_place(hospital_id=visit.hospital_id, text=text)
            return PlaceView(found.code, found.name, found.kind) if found else None

        return await asking(work)

    async def scanned(self, visit_id: str, code: str) -> PlaceView:
        def work() -> PlaceView:
            visit, _now = self.visit(visit_id)
            found = maps.scanned(hospital_id=visit.hospital_id, code=code)
            return PlaceView(found.code, found.name, found.kind)

        return await asking(work)

    async def route(self, *, visit_id: str, start: str, goal: str, lift_only: bool, covered: bool = False) -> RouteView:
        def work() -> RouteView:
            visit, _now = self.visit(visit_id)
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
