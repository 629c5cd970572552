"""An indoor map as GeoJSON becomes a graph of places and ways, with the seconds that each takes and the hours it is closed.

Pure: no Django, no I/O. Coordinates are metres on the hospital's own plan, x to the right and y *down*, the same for all
buildings; outdoors is building "" and floor 0. hospitals.map_features reads the features; docs/maps.md tells their properties.

Walking speed is 0.94 m/s, the comfortable gait of people of 80 and over (Bohannon & Andrews 2011, Physiotherapy 97:182).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import time
from itertools import combinations, pairwise
from typing import Any

import networkx

from hospitals import map_features
from hospitals.exceptions import InvalidInput
from hospitals.map_features import DAY_MIN, VERTICAL, Fault, Feature, Hours

Node = tuple[str, int, float, float]  # building, floor, x, y

OUTDOORS = ("", 0)
WALK_M_PER_S = 0.94
LIFT_WAIT_S, LIFT_FLOOR_S = 35.0, 4.0
STAIRS_FLOOR_S = {"up": 32.0, "down": 26.0}
ESCALATOR_FLOOR_S = 22.0
DOOR_S = 2.0
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
    area: str = ""
    bar: "Bar | None" = None


@dataclass(frozen=True, slots=True)
class Bar:
    """Hours in which a way, a lift, stairs, an escalator, an entrance or a gate cannot be used, in the hospital's time."""

    kind: str
    name: str
    hours: Hours

    def closes(self, at: time | None) -> tuple[int, int] | None:
        """The hours that ``at`` falls into; None while it is open."""
        if at is None:
            return None
        now = at.hour * 60 + at.minute
        return next(
            ((a, b) for a, b in self.hours if ((a <= now < b) if a < b else (now >= a or now < b))),
            None,
        )

    def said(self, at: time) -> str:
        """东侧电梯22:00后停运; nothing while it is open."""
        hours = self.closes(at)
        if hours is None:
            return ""
        (begin, end), now = hours, at.hour * 60 + at.minute
        if begin < end < DAY_MIN:
            when = f"{_clock(begin)}到{_clock(end)}"
        else:
            when = f"{_clock(begin)}后" if now >= begin else f"{_clock(end)}前"
        return f"{self.name or '有一段路'}{when}{'停运' if self.kind in ('lift', 'escalator') else '关闭'}"


def said(bars: Iterable[Bar], at: time) -> str:
    """What is closed at that time, in words, each thing once."""
    return "、".join(dict.fromkeys(bar.said(at) for bar in bars))


def _clock(minute: int) -> str:
    return f"{minute // 60}:{minute % 60:02}"


@dataclass(slots=True)
class Plan:
    """One hospital's map, read. ``faults``: what was wrong with it on the way."""

    graph: networkx.MultiDiGraph = field(default_factory=networkx.MultiDiGraph)
    places: dict[str, Place] = field(default_factory=dict)
    rooms: dict[str, dict[str, Any]] = field(default_factory=dict)
    floors: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    landmarks: list[tuple[Node, str, str]] = field(default_factory=list)  # node, name, category
    faults: list[Fault] = field(default_factory=list)
    indexes: dict[str, int] = field(default_factory=dict)  # of the features that codes stand for

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
        return f"{self.building_name(place.building)}{self.floor_name(place.building, place.floor)}{place.area}"


def read(geojson: Mapping[str, Any]) -> Plan:
    """The map as a plan; what is not right in it is left out and stands in ``faults``.

    Raises ``InvalidInput`` when it is no feature collection at all.
    """
    features = geojson.get("features") if isinstance(geojson, Mapping) else None
    if not isinstance(features, list):
        raise InvalidInput("地图不是 GeoJSON FeatureCollection。", code="bad_map")
    plan = Plan()
    right, plan.faults = map_features.read(features)
    by_kind: dict[str, list[Feature]] = {kind: [] for kind in map_features.KINDS}
    for feature in right:
        by_kind[feature.kind].append(feature)
    for feature in by_kind["floor"]:
        if feature.level in plan.floors:
            plan.faults.append(feature.fault("duplicate_floor"))
        plan.floors[feature.level] = {**feature.properties, "outline": feature.points}
    for feature in right:
        if feature.level != OUTDOORS and feature.level not in plan.floors:
            plan.faults.append(feature.fault("unknown_floor", "/properties/floor"))
    for feature in by_kind["room"]:
        if _new_code(plan, feature):
            plan.rooms[feature.id] = {"area": "", "category": "", **feature.properties, "polygon": feature.points}
    for feature in by_kind["way"]:
        _add_way(plan, feature)
    for kind in ("gate", "entrance", "door"):
        for feature in by_kind[kind]:
            if not _new_code(plan, feature):
                continue
            if _node(feature) not in plan.graph:
                plan.faults.append(feature.fault("not_on_a_way", "/geometry"))
            elif kind == "door":
                _add_door(plan, feature)
            else:
                _add_way_in(plan, feature)
    _add_vertical(plan, [feature for kind in VERTICAL for feature in by_kind[kind]])
    for feature in by_kind["landmark"]:
        plan.landmarks.append((_node(feature), feature.name, "landmark"))
    for code in plan.rooms:
        if code not in plan.places:
            plan.faults.append(Fault("room_without_door", plan.indexes[code], code))
    return plan


def _new_code(plan: Plan, feature: Feature) -> bool:
    if feature.id in plan.indexes:
        plan.faults.append(feature.fault("duplicate_code", "/properties/code"))
        return False
    plan.indexes[feature.id] = feature.index
    return True


def _node(feature: Feature) -> Node:
    return (*feature.level, *feature.points[0])


def _bars(feature: Feature) -> tuple[Bar, ...]:
    return (Bar(feature.kind, feature.name, feature.closed),) if feature.closed else ()


def _add_way(plan: Plan, feature: Feature) -> None:
    covered = bool(feature.properties.get("covered", feature.level != OUTDOORS))
    bars = _bars(feature)
    for one, other in pairwise((*feature.level, *point) for point in feature.points):
        length = math.dist(one[2:], other[2:])
        drawn = plan.graph.get_edge_data(one, other, key="walk")
        if drawn and (drawn["covered"], drawn["bars"]) != (covered, bars):
            plan.faults.append(feature.fault("duplicate_way", "/geometry"))
        for a, b in ((one, other), (other, one)):
            edge = {"kind": "walk", "m": length, "s": length / WALK_M_PER_S, "covered": covered, "bars": bars}
            plan.graph.add_edge(a, b, key="walk", **edge)


def _add_door(plan: Plan, feature: Feature) -> None:
    room = plan.rooms.get(str(feature.properties["room"]))
    if room is None:
        plan.faults.append(feature.fault("door_without_room", "/properties/room"))
        return
    node, category = _node(feature), str(room["category"])
    if node[:2] != (str(room["building"]), int(room["floor"])):
        plan.faults.append(feature.fault("door_elsewhere", "/properties/floor"))
        return
    kind = "service" if category in SERVICES else "room"
    door = Place(feature.id, room["name"], "door", *node[:2], node, category, room["area"])
    plan.places[door.code] = door
    plan.places.setdefault(room["code"], replace(door, code=room["code"], kind=kind))
    plan.landmarks.append((node, room["name"], category))


def _add_way_in(plan: Plan, feature: Feature) -> None:
    """A gate or an entrance. A gate that is closed closes the ways that meet in it."""
    node, bars, graph = _node(feature), _bars(feature), plan.graph
    bar = bars[0] if bars else None
    plan.places[feature.id] = Place(feature.id, feature.name, feature.kind, *node[:2], node, feature.kind, bar=bar)
    if feature.kind == "gate":
        for _a, _b, edge in [*graph.in_edges(node, data=True), *graph.out_edges(node, data=True)]:
            edge["bars"] = (*edge["bars"], *bars)
        return
    outside: Node = (*OUTDOORS, *node[2:])
    if outside not in graph:
        plan.faults.append(feature.fault("leads_nowhere", "/geometry"))
        return
    for a, b, kind in ((outside, node, "enter"), (node, outside, "leave")):
        edge = {"kind": kind, "m": 0.0, "s": DOOR_S, "covered": True, "bars": bars, "name": feature.name}
        graph.add_edge(a, b, key=feature.id, **edge)


def _add_vertical(plan: Plan, features: Iterable[Feature]) -> None:
    groups: dict[tuple[str, str, str], dict[int, Feature]] = {}
    for feature in features:
        if _node(feature) not in plan.graph:
            plan.faults.append(feature.fault("not_on_a_way", "/geometry"))
            continue
        building, floor = feature.level
        stops = groups.setdefault((feature.kind, building, feature.id), {})
        if floor in stops:
            plan.faults.append(feature.fault("duplicate_stop"))
            continue
        stops[floor] = feature
        plan.landmarks.append((_node(feature), feature.name, feature.kind))
    for (kind, _building, _id), by_floor in groups.items():
        stops_up = [by_floor[floor] for floor in sorted(by_floor)]
        if len(stops_up) < 2:
            plan.faults.append(stops_up[0].fault("serves_one_floor"))
        if len({stop.properties.get("direction", "both") for stop in stops_up}) > 1:
            plan.faults.append(stops_up[0].fault("mixed_direction", "/properties/direction"))
        # stairs and escalators are walked floor by floor
        for low, high in combinations(stops_up, 2) if kind == "lift" else pairwise(stops_up):
            _join(plan, kind, low, high)


def _join(plan: Plan, kind: str, low: Feature, high: Feature) -> None:
    floors = high.level[1] - low.level[1] - (low.level[1] < 0 < high.level[1])  # there is no floor 0
    direction = low.properties.get("direction", "both")
    for a, b, way in ((low, high, "up"), (high, low, "down")):
        if direction in (way, "both"):
            edge = {"kind": kind, "m": 0.0, "s": _vertical_s(kind, floors, way), "covered": True, "name": low.name}
            plan.graph.add_edge(_node(a), _node(b), key=(kind, low.id), bars=_bars(low) + _bars(high), **edge)


def _vertical_s(kind: str, floors: int, way: str) -> float:
    if kind == "lift":
        return LIFT_WAIT_S + LIFT_FLOOR_S * floors
    return (STAIRS_FLOOR_S[way] if kind == "stairs" else ESCALATOR_FLOOR_S) * floors


def faults(plan: Plan) -> list[Fault]:
    """Everything a hospital must mend before its map is used. Empty when all rooms can be reached by lift."""
    found = list(plan.faults)
    entries = [p for p in plan.places.values() if p.kind in ("entrance", "gate")]
    if not entries:
        return [*found, Fault("no_entrance")]
    by_lift = networkx.subgraph_view(
        plan.graph, filter_edge=lambda a, b, key: plan.graph.edges[a, b, key]["kind"] not in ("stairs", "escalator")
    )
    reached, lifted = ({*networkx.descendants(g, entries[0].node), entries[0].node} for g in (plan.graph, by_lift))
    for place in plan.places.values():
        if place.kind in ("door", "entrance", "gate") and place.node not in lifted:
            code = "unreachable_by_lift" if place.node in reached else "unreachable"
            found.append(Fault(code, plan.indexes[place.code], place.code))
    return found
