"""The features of an indoor map, each checked by itself: docs/maps.md tells every kind, property and fault.

Pure: no Django, no I/O. A feature that is not right is left out and told as a ``Fault``; the others are read, so that an
engineer hears of everything at once. hospitals.map_graph joins what is right into a plan.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Point = tuple[float, float]
Hours = tuple[tuple[int, int], ...]  # minutes of the day, from and to; from > to goes over midnight

DAY_MIN = 24 * 60
FARTHEST_M = 100_000.0
VERTICAL = ("lift", "stairs", "escalator")

# What is wrong and what to do, by code.
FAULTS = {
    "not_a_feature": "这一项不是 GeoJSON 要素:要有 properties 和 geometry。",
    "unknown_kind": "kind 不认识:请用文档里列出的种类。",
    "missing_property": "缺这个属性,请补上。",
    "bad_value": "这个属性的值不对:请看文档里它的写法。",
    "bad_geometry": "图形或坐标不对:种类要求点、线或面各一,坐标用米,不用经纬度;线至少两个不同的点,面至少三个。",
    "bad_time": '关闭时间要写成 [["22:00","06:00"]]:当地时间,两位数,不带时区;到半夜写 "24:00"。',
    "not_for_kind": "这个种类没有这个属性:关闭时间写在路、电梯、楼梯、扶梯、楼门或院门上,方向只写在扶梯上。",
    "duplicate_code": "这个代码已经用过:房间、门、楼门、院门的代码都不能重复。",
    "duplicate_floor": "这一层画了两次,请只留一个。",
    "duplicate_stop": "同一部电梯、楼梯或扶梯在这一层写了两次,请只留一个。",
    "duplicate_way": "这段路和前面的一段重合,是否遮雨或关闭时间却不同,请只留一段。",
    "unknown_floor": "没有画这一层:请加一个 floor 要素,或改正 building 和 floor。",
    "door_without_room": "没有这扇门所写的房间:请改正 room,或补上房间。",
    "door_elsewhere": "门和它的房间不在同一层,请改正。",
    "room_without_door": "房间没有门:请加一个 door,room 写这个房间的代码。",
    "not_on_a_way": "这个点不在路上:请让同一层的一条路经过它的坐标。",
    "leads_nowhere": "楼门外面没有路:请让一条室外的路经过同样的坐标。",
    "serves_one_floor": "只到一层:在它到的每一层各写一个点,id 相同。",
    "mixed_direction": "同一部扶梯在各层写的方向不同,请写成一样。",
    "no_entrance": "没有院门也没有楼门:至少要有一个 gate 或 entrance。",
    "unreachable": "从入口走不到这里:路只在共同的点相连,请检查路是否接上。",
    "unreachable_by_lift": "坐轮椅到不了这里:请画上电梯,或让路绕开楼梯和扶梯。",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to mend. ``index``: the feature's place in the file, from 0, or None for the whole map; ``id``: its own
    code; ``part``: the JSON Pointer inside the feature."""

    code: str
    index: int | None = None
    id: str = ""
    part: str = ""

    def told(self) -> dict[str, str]:
        """As the problem document has it."""
        pointer = "/features" if self.index is None else f"/features/{self.index}{self.part}"
        return {"pointer": pointer, "code": self.code, "id": self.id, "detail": FAULTS[self.code]}


@dataclass(frozen=True, slots=True)
class Feature:
    """One that is right. ``points``: the point, the line, or the polygon's outer ring, in metres to the decimetre."""

    index: int
    kind: str
    properties: Mapping[str, Any]
    points: tuple[Point, ...]
    closed: Hours = ()

    @property
    def level(self) -> tuple[str, int]:
        return str(self.properties.get("building", "")), int(self.properties.get("floor", 0))

    @property
    def id(self) -> str:
        return str(self.properties.get("code", self.properties.get("id", "")))

    @property
    def name(self) -> str:
        return str(self.properties.get("name", ""))

    def fault(self, code: str, part: str = "") -> Fault:
        return Fault(code, self.index, self.id, part)


@dataclass(frozen=True, slots=True)
class Kind:
    geometry: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


_LEVEL = ("building", "floor")
_STOP = Kind("Point", ("id", "name", *_LEVEL), ("closed",))
KINDS = {
    "floor": Kind("Polygon", (*_LEVEL, "building_name", "floor_name")),
    "room": Kind("Polygon", ("code", "name", *_LEVEL), ("category", "area")),
    "way": Kind("LineString", (), (*_LEVEL, "name", "covered", "closed")),
    "door": Kind("Point", ("code", "room", *_LEVEL)),
    "entrance": Kind("Point", ("code", "name", *_LEVEL), ("closed",)),
    "gate": Kind("Point", ("code", "name"), ("closed",)),
    "lift": _STOP,
    "stairs": _STOP,
    "escalator": Kind("Point", _STOP.required, ("closed", "direction")),
    "landmark": Kind("Point", ("name",), _LEVEL),
}

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")


def _text(longest: int, *, empty: bool = False) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        if not isinstance(value, str) or len(value) > longest or _CONTROL.search(value):
            return False
        return empty or bool(value.strip())

    return holds


def _identifier(value: Any) -> bool:
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -20 <= value <= 200


_HOLDS: dict[str, Callable[[Any], bool]] = {
    "code": _identifier,
    "id": _identifier,
    "room": _identifier,
    "name": _text(60),
    "building": _text(40, empty=True),
    "building_name": _text(40),
    "floor": _whole,
    "floor_name": _text(20),
    "category": _text(20, empty=True),
    "area": _text(20, empty=True),
    "covered": lambda value: isinstance(value, bool),
    "direction": lambda value: value in ("up", "down", "both"),
}
_MISPLACED = ("closed", "direction")  # what is left out silently would be believed


def read(features: list[Any]) -> tuple[list[Feature], list[Fault]]:
    """Every feature that is right, and what is wrong with the others, in the file's order."""
    right: list[Feature] = []
    faults: list[Fault] = []
    for index, item in enumerate(features):
        found = list(_faults(index, item))
        faults += found
        if not found:
            properties = _given(item)
            points = _points(properties["kind"], item["geometry"])
            closed = _hours(properties.get("closed", []))
            right.append(Feature(index, properties["kind"], properties, points or (), closed or ()))
    return right, faults


def _given(item: Mapping[str, Any]) -> dict[str, Any]:
    """Drawing programs write null for what was left empty, and a number for a building that is called 7."""
    given = {name: value for name, value in item["properties"].items() if value is not None}
    if _whole(given.get("building")):
        given["building"] = str(given["building"])
    return given


def _faults(index: int, item: Any) -> Iterator[Fault]:
    if not isinstance(item, Mapping) or not isinstance(item.get("properties"), Mapping):
        yield Fault("not_a_feature", index)
        return
    given = _given(item)
    named = given.get("code", given.get("id"))
    name = str(named) if _identifier(named) else ""
    kind = KINDS.get(given["kind"]) if isinstance(given.get("kind"), str) else None
    if kind is None:
        code = "unknown_kind" if "kind" in given else "missing_property"
        yield Fault(code, index, name, "/properties/kind")
        return
    for wanted in kind.required:
        if wanted not in given or (wanted == "building" and given[wanted] == ""):
            yield Fault("missing_property", index, name, f"/properties/{wanted}")
    for known in (*kind.required, *kind.optional):
        if known in given and known != "closed" and not _HOLDS[known](given[known]):
            yield Fault("bad_value", index, name, f"/properties/{known}")
    if "closed" in kind.optional and _hours(given.get("closed", [])) is None:
        yield Fault("bad_time", index, name, "/properties/closed")
    for misplaced in _MISPLACED:
        if given.get(misplaced) and misplaced not in kind.optional:
            yield Fault("not_for_kind", index, name, f"/properties/{misplaced}")
    if _points(given["kind"], item.get("geometry")) is None:
        yield Fault("bad_geometry", index, name, "/geometry")


def _points(kind: str, geometry: Any) -> tuple[Point, ...] | None:
    """None where they are not what the kind asks for."""
    if not isinstance(geometry, Mapping) or geometry.get("type") != KINDS[kind].geometry:
        return None
    given: Any = geometry.get("coordinates")
    if geometry["type"] == "Point":
        given = [given]
    elif geometry["type"] == "Polygon":
        given = given[0] if isinstance(given, list | tuple) and given else None
    if not isinstance(given, list | tuple):
        return None
    points: list[Point] = []
    for pair in given:
        if not isinstance(pair, list | tuple) or len(pair) not in (2, 3) or not all(map(_metres, pair[:2])):
            return None
        points.append((round(float(pair[0]), 1), round(float(pair[1]), 1)))
    if geometry["type"] == "LineString" and all(a == b for a, b in pairwise(points)):
        return None
    if geometry["type"] == "Polygon" and len(set(points)) < 3:
        return None
    return tuple(points)


def _metres(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) <= FARTHEST_M
    )


def _hours(given: Any) -> Hours | None:
    """``[["22:00", "06:00"], ...]`` in minutes of the day; None where it is anything else."""
    if not isinstance(given, list | tuple):
        return None
    hours: list[tuple[int, int]] = []
    for pair in given:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return None
        if not all(isinstance(clock, str) and _CLOCK.fullmatch(clock) for clock in pair):
            return None
        begin, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in pair)
        if begin in (end, DAY_MIN):
            return None
        hours.append((begin, end))
    return tuple(hours)
