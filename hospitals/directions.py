"""A path through a hospital as steps one can follow: where to turn, by what one sees there, and which lift to take.

Pure: no Django, no I/O. hospitals.wayfinding finds the path.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import time

from hospitals.map_features import Point
from hospitals.map_graph import Plan, said
from hospitals.wayfinding import Crossing, Leg, Path, shortest

TURN_DEGREES = 35.0
NEAR_M = 7.0  # a landmark is seen from the corner at this distance
SPUR_M = 4.0  # from the corridor to a door or into a lift: too short to be spoken of
STRETCH_M = 12.0  # one step says no more than a stretch of this length and the turn at its end
# What people know a corner by, best first.
LANDMARKS = (
    "landmark",
    "service",
    "nurse",
    "pharmacy",
    "cashier",
    "laboratory",
    "imaging",
    "lift",
    "escalator",
    "toilet",
)
_OUT_OF = {"lift": "出电梯", "stairs": "出楼梯间", "escalator": "下扶梯", "enter": "进门", "leave": "出门"}
_SIDES = {"左转": "左手边", "右转": "右手边"}


@dataclass(frozen=True, slots=True)
class RouteStep:
    """One thing to do. ``points`` are metres on the plan of that building and floor; ``landmark``: what it turns at."""

    text: str
    building: str
    floor: str
    distance_m: float
    points: tuple[Point, ...] = ()
    landmark: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """``minutes``: for an old person, waiting for lifts included. ``notice``: what is closed now and what is taken instead."""

    steps: tuple[RouteStep, ...]
    total_m: float
    minutes: int
    start_name: str
    goal_name: str
    goal_code: str
    legs: tuple[Leg, ...]
    uncovered_m: float = 0.0
    notice: str = ""


def route(
    plan: Plan, start: str, goal: str, *, lift_only: bool = False, covered: bool = False, at: time | None = None
) -> Route:
    """The quickest way between two codes, in words. Raises ``UnknownPlace``, ``NoRoute``."""
    path = shortest(plan, start, goal, lift_only=lift_only, covered=covered, at=at)
    return Route(
        steps=tuple(_steps(plan, path)),
        total_m=path.total_m,
        minutes=max(1, math.ceil(path.seconds / 60)),
        start_name=path.start.name,
        goal_name=path.goal.name,
        goal_code=goal,
        legs=path.legs,
        uncovered_m=path.uncovered_m,
        notice=_notice(path, at),
    )


def _notice(path: Path, at: time | None) -> str:
    """东侧电梯22:00后停运,改走西侧电梯。"""
    if not path.closed or at is None:
        return ""
    return f"{said(path.closed, at)},{f'改走{path.instead}' if path.instead else '要绕一点路'}。"


def metres(length: float) -> str:
    """3 → 3米, 18 → 约20米: as precise as one walks."""
    return f"{max(1, round(length))}米" if length < 10 else f"约{round(length / 5) * 5}米"


def turn(before: Point, after: Point) -> str:
    """左转, 右转, 掉头 or nothing; y grows downwards, so a positive cross product is to the right."""
    cross = before[0] * after[1] - before[1] * after[0]
    dot = before[0] * after[0] + before[1] * after[1]
    angle = math.degrees(math.atan2(cross, dot))
    if abs(angle) < TURN_DEGREES:
        return ""
    if abs(angle) > 180 - TURN_DEGREES:
        return "掉头"
    return "右转" if angle > 0 else "左转"


def _minus(a: Point, b: Point) -> Point:
    return a[0] - b[0], a[1] - b[1]


def corners(points: tuple[Point, ...]) -> list[Point]:
    """The points where the direction changes, with both ends."""
    kept = [points[0]]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        if turn(_minus(here, before), _minus(after, here)):
            kept.append(here)
    if points[-1] != kept[-1]:
        kept.append(points[-1])
    return kept


def _landmark(plan: Plan, leg: Leg, at: Point, avoid: set[str]) -> str:
    """What one sees at this corner: known things before near things."""
    seen = []
    for node, name, category in plan.landmarks:
        if node[:2] == (leg.building, leg.floor) and name not in avoid and category in LANDMARKS:
            away = math.dist(node[2:], at)
            if away <= NEAR_M:
                seen.append((LANDMARKS.index(category), away, name))
    return min(seen)[2] if seen else ""


def _turns_away(path: Path) -> bool:
    """She stands at an entrance and does not go in."""
    return bool(path.crossings) and path.crossings[0].kind == "leave" and len(path.legs[0].points) == 1


def _trimmed(path: Path) -> Path:
    """Without going through a door only to begin or to end in it."""
    if _turns_away(path):
        path = replace(path, legs=path.legs[1:], crossings=path.crossings[1:])
    if path.crossings and path.crossings[-1].kind == "enter" and len(path.legs[-1].points) == 1:
        path = replace(path, legs=path.legs[:-1], crossings=path.crossings[:-1])
    return path


def _steps(plan: Plan, path: Path) -> Iterator[RouteStep]:
    if path.start.node == path.goal.node:
        leg = path.legs[0]
        where = plan.building_name(leg.building), plan.floor_name(leg.building, leg.floor)
        yield RouteStep(f"您已经在{path.goal.name}了。", *where, 0.0, leg.points)
        return
    lead = f"从{path.start.name}出来"
    if path.start.kind == "gate":
        lead = f"从{path.start.name}进来"
    elif path.start.kind == "entrance" and not _turns_away(path):
        lead = f"从{path.start.name}进去"
    path = _trimmed(path)
    came_by: Crossing | None = None
    number = 0
    while number < len(path.legs):
        leg = path.legs[number]
        last = number
        # stairs and escalators that go on are one thing to do
        while (
            last + 2 < len(path.legs)
            and path.crossings[last].kind in ("stairs", "escalator")
            and path.crossings[last + 1] == path.crossings[last]
            and len(corners(path.legs[last + 1].points)) <= 2
        ):
            last += 1
        crossing = path.crossings[last] if last < len(path.crossings) else None
        onto = path.legs[last + 1] if crossing else None
        yield from _Stretch(plan, path, leg, lead, came_by, crossing, onto).steps()
        if crossing:
            lead, came_by = _OUT_OF[crossing.kind], crossing
        number = last + 1


class _Stretch:
    """One floor's part of the way, on its way into words."""

    def __init__(
        self,
        plan: Plan,
        path: Path,
        leg: Leg,
        lead: str,
        came_by: Crossing | None,
        by: Crossing | None,
        onto: Leg | None,
    ) -> None:
        self.plan, self.path, self.leg, self.lead, self.by, self.onto = plan, path, leg, lead, by, onto
        self.where = plan.building_name(leg.building), plan.floor_name(leg.building, leg.floor)
        self.avoid = {path.start.name, path.goal.name, *(c.name for c in (came_by, by) if c)}
        self.points = corners(leg.points)

    def _direction(self, index: int) -> Point:
        return _minus(self.points[index], self.points[index - 1])

    def _turn_at(self, index: int) -> str:
        return turn(self._direction(index), self._direction(index + 1))

    def steps(self) -> Iterator[RouteStep]:
        count = len(self.points)
        lengths = [math.dist(self.points[n], self.points[n - 1]) for n in range(1, count)]
        indoors = bool(self.leg.building)
        first, end = 1, count  # segments spoken of: first..end-1
        parts = [self.lead]
        if count > 2 and lengths[0] <= SPUR_M and indoors:  # out of a door, a lift
            parts[0] += self._turn_at(1)
            first = 2
        into_door = indoors and (self.by is None or self.by.kind in ("lift", "stairs", "escalator"))
        spur = into_door and count - first >= 2 and lengths[-1] <= SPUR_M
        if spur:
            end = count - 1
        walked, begin = sum(lengths[: first - 1]), 0
        for n in range(first, end):
            mark = ""
            if n > first:
                mark = _landmark(self.plan, self.leg, self.points[n - 1], self.avoid)
                parts.append(f"到{mark}{self._turn_at(n - 1)}" if mark else self._turn_at(n - 1))
                if walked >= STRETCH_M:
                    yield self._step(parts, walked, begin, n, mark)
                    parts, walked, begin = [], 0.0, n - 1
            if lengths[n - 1] >= 1:
                parts.append(f"直行{metres(lengths[n - 1])}")
            walked += lengths[n - 1]
        if spur:
            walked += lengths[-1]
        side = self._turn_at(count - 2) if spur else ""
        parts.append(self._arrival(side))
        yield self._step(parts, walked, begin, count, "")

    def _step(self, parts: list[str], walked: float, begin: int, stop: int, mark: str) -> RouteStep:
        text = ",".join(part for part in parts if part) + "。"
        return RouteStep(text, *self.where, round(walked, 1), tuple(self.points[begin:stop]), mark)

    def _arrival(self, side: str) -> str:
        if self.by is None or self.onto is None:
            place = _SIDES.get(side, "前面")
            return f"{self.path.goal.name}就在{place},到了"
        if self.by.kind == "enter":
            return f"从{self.by.name}进入{self.plan.building_name(self.onto.building)}"
        if self.by.kind == "leave":
            return f"从{self.by.name}出楼"
        floor = self.plan.floor_name(self.onto.building, self.onto.floor)
        verb = "走" if self.by.kind == "stairs" else "坐"
        seen = f"{self.by.name}在{_SIDES[side]}," if side in _SIDES else ""
        return f"{seen}{verb}{'' if seen else self.by.name}到{floor}"
