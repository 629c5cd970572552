"""The way through a hospital: an indoor map as GeoJSON becomes a graph, a shortest path becomes steps one can follow.

Pure: no Django, no I/O. Coordinates are metres on the hospital's own plan, x to the right and y *down*, the same for all
buildings; outdoors is building "" and floor 0. Features by ``properties.kind``:

    floor      Polygon     building, building_name, floor, floor_name
    room       Polygon     code, name, category, building, floor, area
    way        LineString  building, floor; covered (outdoors); closed: [["22:00", "06:00"], ...]
    door       Point       code, room (the room's code), building, floor; lies on a way
    entrance   Point       code, name, building, floor; lies on a way of that floor and on one outdoors
    gate       Point       code, name; lies on a way outdoors
    lift | stairs | escalator  Point  id (the same on every floor it serves), name, building, floor;
               escalator: direction "up" | "down" | "both"
    landmark   Point       name, building, floor

Walking speed is 0.94 m/s, the comfortable gait of people of 80 and over (Bohannon & Andrews 2011, Physiotherapy 97:182).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import time
from itertools import combinations, pairwise
from typing import Any

import networkx

from hospitals.exceptions import InvalidInput, NoRoute, UnknownPlace

Point = tuple[float, float]
Node = tuple[str, int, float, float]  # building, floor, x, y

OUTDOORS = ("", 0)
WALK_M_PER_S = 0.94
LIFT_WAIT_S, LIFT_FLOOR_S = 35.0, 4.0
STAIRS_FLOOR_S = {"up": 32.0, "down": 26.0}
ESCALATOR_FLOOR_S = 22.0
UNCOVERED_PENALTY = 4.0
VERTICAL = ("lift", "stairs", "escalator")
KINDS = ("floor", "room", "way", "door", "entrance", "gate", *VERTICAL, "landmark")
# Categories that are services of the whole hospital: places one asks for.
SERVICES = ("service", "nurse", "pharmacy", "cashier", "laboratory", "imaging", "lift", "escalator", "toilet")


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere a way can begin or end. ``kind``: gate | entrance | door | room | service."""

    code: str
    name: str
    kind: str
    building: str
    floor: int
    node: Node
    category: str = ""


@dataclass(frozen=True, slots=True)
class Leg:
    """The part of the way on one floor."""

    building: str
    floor: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """From one leg to the next. ``kind``: lift | stairs | escalator | enter | leave; ``name`` of the lift, of the door."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Path:
    """The way itself, before words: ``crossings[n]`` leads from ``legs[n]`` to ``legs[n + 1]``."""

    start: Place
    goal: Place
    legs: tuple[Leg, ...]
    crossings: tuple[Crossing, ...]
    total_m: float
    seconds: float


@dataclass(slots=True)
class Plan:
    """One hospital's map, read. ``faults``: (feature's code or id, what is wrong) found while reading."""

    graph: networkx.DiGraph = field(default_factory=networkx.DiGraph)
    places: dict[str, Place] = field(default_factory=dict)
    rooms: dict[str, dict[str, Any]] = field(default_factory=dict)
    floors: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    landmarks: list[tuple[Node, str, str]] = field(default_factory=list)  # node, name, category
    faults: list[tuple[str, str]] = field(default_factory=list)

    def building_name(self, building: str) -> str:
        if not building:
            return "院区"
        return next((f["building_name"] for (b, _n), f in self.floors.items() if b == building), building)

    def floor_name(self, building: str, floor: int) -> str:
        if not building:
            return "室外"
        known = self.floors.get((building, floor))
        return known["floor_name"] if known else f"{floor}楼"

    def where(self, place: Place) -> str:
        """7号楼1楼B区, as people say it."""
        if not place.building:
            return ""
        area = self.rooms.get(place.code, {}).get("area", "")
        return f"{self.building_name(place.building)}{self.floor_name(place.building, place.floor)}{area}"


# --- reading ------------------------------------------------------------------------------------------------


def read(geojson: Mapping[str, Any]) -> Plan:
    """The map as a plan. Raises ``InvalidInput`` when it is no feature collection of these kinds."""
    plan = Plan()
    features = geojson.get("features") if isinstance(geojson, Mapping) else None
    if not isinstance(features, list):
        raise InvalidInput("地图不是 GeoJSON FeatureCollection。", code="bad_map")
    try:
        by_kind: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        for feature in features:
            properties = feature["properties"]
            by_kind.setdefault(properties["kind"], []).append((properties, feature["geometry"]["coordinates"]))
        for properties, rings in by_kind.get("floor", []):
            plan.floors[_level(properties)] = {**properties, "outline": _ring(rings)}
        for properties, rings in by_kind.get("room", []):
            if properties["code"] in plan.rooms:
                plan.faults.append((properties["code"], "duplicate_code"))
            plan.rooms[properties["code"]] = {**properties, "polygon": _ring(rings)}
        for properties, line in by_kind.get("way", []):
            _add_way(plan, properties, line)
        for kind in ("gate", "entrance", "door"):
            for properties, point in by_kind.get(kind, []):
                _add_place(plan, kind, properties, point)
        _add_vertical(plan, [(p, c) for kind in VERTICAL for p, c in by_kind.get(kind, [])])
        for properties, point in by_kind.get("landmark", []):
            plan.landmarks.append((_node(properties, point), properties["name"], "landmark"))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidInput("地图里有缺字段或坐标不对的要素。", code="bad_map") from error
    for code in plan.rooms:
        if code not in plan.places:
            plan.faults.append((code, "room_without_door"))
    return plan


def _ring(rings: Any) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in rings[0])


def _level(properties: Mapping[str, Any]) -> tuple[str, int]:
    return str(properties.get("building", "")), int(properties.get("floor", 0))


def _node(properties: Mapping[str, Any], point: Any) -> Node:
    building, floor = _level(properties)
    return building, floor, round(float(point[0]), 1), round(float(point[1]), 1)


def _add_way(plan: Plan, properties: Mapping[str, Any], line: Any) -> None:
    closed = tuple((time.fromisoformat(a), time.fromisoformat(b)) for a, b in properties.get("closed", []))
    covered = bool(properties.get("covered", _level(properties) != OUTDOORS))
    for one, other in pairwise(_node(properties, point) for point in line):
        length = math.dist(one[2:], other[2:])
        for a, b in ((one, other), (other, one)):
            plan.graph.add_edge(a, b, kind="walk", m=length, s=length / WALK_M_PER_S, covered=covered, closed=closed)


def _add_place(plan: Plan, kind: str, properties: Mapping[str, Any], point: Any) -> None:
    node = _node(properties, point)
    code = str(properties["code"])
    if node not in plan.graph:
        plan.faults.append((code, "not_on_a_way"))
        return
    if kind == "door":
        room = plan.rooms.get(str(properties["room"]))
        if room is None:
            plan.faults.append((code, "door_without_room"))
            return
        category = str(room.get("category", ""))
        place = Place(code, room["name"], "door", node[0], node[1], node, category)
        plan.places[code] = place
        plan.places.setdefault(
            room["code"],
            Place(room["code"], room["name"], "service" if category in SERVICES else "room", *node[:2], node, category),
        )
        plan.landmarks.append((node, room["name"], category))
        return
    plan.places[code] = Place(code, str(properties["name"]), kind, node[0], node[1], node, kind)
    if kind == "entrance":
        outside = (*OUTDOORS, *node[2:])
        if outside in plan.graph:
            plan.graph.add_edge(
                outside, node, kind="enter", m=0.0, s=2.0, covered=True, closed=(), name=properties["name"]
            )
            plan.graph.add_edge(
                node, outside, kind="leave", m=0.0, s=2.0, covered=True, closed=(), name=properties["name"]
            )
        else:
            plan.faults.append((code, "leads_nowhere"))


def _add_vertical(plan: Plan, points: Iterable[tuple[Mapping[str, Any], Any]]) -> None:
    groups: dict[tuple[str, str], list[tuple[Mapping[str, Any], Node]]] = {}
    for properties, point in points:
        node = _node(properties, point)
        if node not in plan.graph:
            plan.faults.append((str(properties["id"]), "not_on_a_way"))
            continue
        groups.setdefault((str(properties["kind"]), str(properties["id"])), []).append((properties, node))
        plan.landmarks.append((node, str(properties["name"]), str(properties["kind"])))
    for (kind, name), stops in groups.items():
        if len(stops) < 2:
            plan.faults.append((name, "serves_one_floor"))
        for (properties, one), (_other, other) in combinations(sorted(stops, key=lambda s: s[1][1]), 2):
            low, high = (one, other) if one[1] < other[1] else (other, one)
            floors = high[1] - low[1]
            if kind != "lift" and floors > 1:
                continue  # stairs and escalators are walked floor by floor
            label = str(properties["name"])
            direction = properties.get("direction", "both")
            for a, b, way in ((low, high, "up"), (high, low, "down")):
                if kind == "escalator" and direction not in (way, "both"):
                    continue
                plan.graph.add_edge(
                    a, b, kind=kind, m=0.0, s=_vertical_s(kind, floors, way), covered=True, closed=(), name=label
                )


def _vertical_s(kind: str, floors: int, way: str) -> float:
    if kind == "lift":
        return LIFT_WAIT_S + LIFT_FLOOR_S * floors
    return (STAIRS_FLOOR_S[way] if kind == "stairs" else ESCALATOR_FLOOR_S) * floors


def faults(plan: Plan) -> list[tuple[str, str]]:
    """Everything a hospital must mend before its map is used: (code, what). Empty when all rooms can be reached by lift."""
    found = list(plan.faults)
    entries = [p for p in plan.places.values() if p.kind in ("entrance", "gate")]
    if not entries:
        return [*found, ("", "no_entrance")]
    reached = set(networkx.descendants(plan.graph, entries[0].node)) | {entries[0].node}
    by_lift = _usable(plan, lift_only=True, covered_only=False, at=None)
    lifted = set(networkx.descendants(by_lift, entries[0].node)) | {entries[0].node}
    for place in plan.places.values():
        if place.kind in ("door", "entrance", "gate"):
            if place.node not in reached:
                found.append((place.code, "unreachable"))
            elif place.node not in lifted:
                found.append((place.code, "unreachable_by_lift"))
    return found


# --- routing ------------------------------------------------------------------------------------------------


def _open(closed: tuple[tuple[time, time], ...], at: time | None) -> bool:
    if at is None:
        return True
    return not any((a <= at < b) if a <= b else (at >= a or at < b) for a, b in closed)


def _usable(plan: Plan, *, lift_only: bool, covered_only: bool, at: time | None) -> networkx.DiGraph:
    """A view of the graph without what must not be walked."""

    def keep(a: Node, b: Node) -> bool:
        edge = plan.graph.edges[a, b]
        if lift_only and edge["kind"] in ("stairs", "escalator"):
            return False
        if covered_only and not edge["covered"]:
            return False
        return _open(edge["closed"], at)

    return networkx.subgraph_view(plan.graph, filter_edge=keep)


def find(plan: Plan, code: str) -> Place:
    """Raises ``UnknownPlace``."""
    place = plan.places.get(code)
    if place is None:
        raise UnknownPlace
    return place


def shortest(
    plan: Plan, start: str, goal: str, *, lift_only: bool = False, covered: bool = False, at: time | None = None
) -> Path:
    """The quickest way between two codes. ``covered`` prefers ways under a roof. Raises ``UnknownPlace``, ``NoRoute``."""
    begin, end = find(plan, start), find(plan, goal)
    usable = _usable(plan, lift_only=lift_only, covered_only=False, at=at)

    def weight(_a: Node, _b: Node, edge: Mapping[str, Any]) -> float:
        seconds = float(edge["s"])
        return seconds * UNCOVERED_PENALTY if covered and not edge["covered"] else seconds

    try:
        nodes: list[Node] = networkx.shortest_path(usable, begin.node, end.node, weight=weight)
    except (networkx.NetworkXNoPath, networkx.NodeNotFound) as error:
        raise NoRoute from error
    edges = [(a, b, plan.graph.edges[a, b]) for a, b in pairwise(nodes)]
    return Path(
        start=begin,
        goal=end,
        legs=tuple(_legs(nodes)),
        crossings=tuple(Crossing(edge["kind"], edge["name"]) for a, b, edge in edges if a[:2] != b[:2]),
        total_m=round(sum(edge["m"] for _a, _b, edge in edges), 1),
        seconds=sum(edge["s"] for _a, _b, edge in edges),
    )


def _legs(nodes: list[Node]) -> Iterator[Leg]:
    level = nodes[0][:2]
    points: list[Point] = []
    for node in nodes:
        if node[:2] != level:
            yield Leg(level[0], level[1], tuple(points))
            level, points = node[:2], []
        points.append(node[2:])
    yield Leg(level[0], level[1], tuple(points))
