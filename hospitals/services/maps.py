"""Indoor maps: where one can start, where things are, the way there, and the floors to draw. Public data."""

import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from hospitals import directions, map_graph, wayfinding
from hospitals.directions import Route, RouteStep
from hospitals.exceptions import InvalidInput, UnknownPlace
from hospitals.map_graph import Place, Plan
from hospitals.models import Hospital, IndoorMap

__all__ = [
    "PlaceInfo",
    "Route",
    "RouteStep",
    "doors",
    "drawings",
    "entrances",
    "find_place",
    "floor_plan",
    "route",
    "scanned",
    "upload",
]

KEPT_PLANS = 64
FAULTS_TOLD = 50
DEEPEST = 50  # objects and lists inside each other; GeoJSON needs seven
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")  # NUL, and halves of a character
_plans: OrderedDict[UUID, tuple[int, Plan]] = OrderedDict()
_lock = Lock()

# What people call places that a map names otherwise.
_SAID = {
    "药房": "pharmacy",
    "取药": "pharmacy",
    "拿药": "pharmacy",
    "收费": "cashier",
    "缴费": "cashier",
    "交费": "cashier",
    "挂号": "cashier",
    "检验": "laboratory",
    "化验": "laboratory",
    "抽血": "laboratory",
    "采血": "laboratory",
    "放射": "imaging",
    "拍片": "imaging",
    "影像": "imaging",
    "厕所": "toilet",
    "卫生间": "toilet",
    "洗手间": "toilet",
    "护士站": "nurse",
    "导诊": "service",
    "服务台": "service",
    "电梯": "lift",
    "楼梯": "stairs",
}


@dataclass(frozen=True, slots=True)
class PlaceInfo:
    """``code`` is what ``route`` takes. ``kind``: gate | entrance | door | room | service; ``where``: 7号楼1楼B区."""

    code: str
    name: str
    kind: str
    where: str
    building: str = ""


def _plan(hospital_id: UUID) -> Plan:
    """The hospital's map, read once a version. Raises ``UnknownPlace`` when it has none."""
    version = IndoorMap.objects.filter(hospital_id=hospital_id).values_list("version", flat=True).first()
    if version is None:
        raise UnknownPlace("这家医院还没有院内地图。", code="no_map")
    with _lock:
        kept = _plans.get(hospital_id)
        if kept is not None and kept[0] == version:
            _plans.move_to_end(hospital_id)
            return kept[1]
    plan = map_graph.read(IndoorMap.objects.get(hospital_id=hospital_id).geojson)
    with _lock:
        _plans[hospital_id] = (version, plan)
        while len(_plans) > KEPT_PLANS:
            _plans.popitem(last=False)
    return plan


def _info(plan: Plan, place: Place) -> PlaceInfo:
    return PlaceInfo(place.code, place.name, place.kind, plan.where(place), place.building)


def entrances(*, hospital_id: UUID) -> tuple[PlaceInfo, ...]:
    """Where a way can begin: gates first, then the buildings' doors; those that are closed now only where all are."""
    plan, now = _plan(hospital_id), timezone.localtime().time()
    found = [p for p in plan.places.values() if p.kind in ("gate", "entrance")]
    found = [p for p in found if not (p.bar and p.bar.closes(now))] or found
    return tuple(_info(plan, p) for p in sorted(found, key=lambda p: (p.kind != "gate", p.building, p.code)))


def doors(*, hospital_id: UUID) -> tuple[PlaceInfo, ...]:
    """Whatever a code can hang at: gates, then each building's doors from the lowest floor up."""
    plan = _plan(hospital_id)
    found = [p for p in plan.places.values() if p.kind in ("gate", "entrance", "door")]
    return tuple(_info(plan, p) for p in sorted(found, key=lambda p: (p.building, p.floor, p.kind == "door", p.code)))


def find_place(*, hospital_id: UUID, text: str) -> PlaceInfo | None:
    """The place that these words name: a room's or door's code, its name, or what people call it."""
    plan = _plan(hospital_id)
    words = re.sub(r"\s+", "", text)
    upper = words.upper()
    for code in sorted(plan.places, key=len, reverse=True):
        if code.upper() == upper or (len(code) >= 4 and code.upper() in upper):
            return _info(plan, plan.places[code])
    named = [p for p in plan.places.values() if p.kind != "door" and p.name in words]
    if not named and len(words) >= 2:
        named = [p for p in plan.places.values() if p.kind != "door" and words in p.name]
    if not named:
        category = next((category for word, category in _SAID.items() if word in words), "")
        named = [p for p in plan.places.values() if category and p.category == category and p.kind != "door"]
    building = re.search(r"(\d+)号楼", words)
    floor = re.search(r"(\d+)[楼层](?!号)", words.replace(building.group(), "") if building else words)

    def fit(place: Place) -> tuple[bool, bool, bool, int, str]:
        wrong_building = building is not None and place.building != building.group(1)
        wrong_floor = floor is not None and place.floor != int(floor.group(1))
        # the emergency department's own desks are for those who name it
        elsewhere = "急诊" in place.name and "急诊" not in words
        return wrong_building, wrong_floor, elsewhere, -len(place.name), place.code

    return _info(plan, min(named, key=fit)) if named else None


def scanned(*, hospital_id: UUID, code: str) -> PlaceInfo:
    """The place at which ``HOSPITAL.CODE`` hangs. Raises ``UnknownPlace``, also for another hospital's code."""
    hospital, _dot, place = code.partition(".")
    # Compared here: what a page sends may hold characters that PostgreSQL takes in no query.
    if Hospital.objects.filter(id=hospital_id).values_list("code", flat=True).first() != hospital:
        raise UnknownPlace("这个码不是您这次就诊的医院的。", code="other_hospital")
    plan = _plan(hospital_id)
    return _info(plan, wayfinding.find(plan, place))


def route(*, hospital_id: UUID, start: str, goal: str, lift_only: bool = False, covered: bool = False) -> Route:
    """The quickest way now, step by step. Raises ``UnknownPlace``, ``NoRoute``."""
    now = timezone.localtime().time()
    return directions.route(_plan(hospital_id), start, goal, lift_only=lift_only, covered=covered, at=now)


def floor_plan(*, hospital_id: UUID, building: str, floor: int) -> dict[str, Any]:
    """What one floor looks like: outline and rooms as polygons in metres. Raises ``UnknownPlace``."""
    return _geometry(_plan(hospital_id), building, floor)


def _geometry(plan: Plan, building: str, floor: int) -> dict[str, Any]:
    if not building:
        # outdoors: the buildings from above
        ground = [f for (_b, number), f in plan.floors.items() if number == 1]
        return {
            "outline": [],
            "rooms": [
                {"code": f["building"], "name": f["building_name"], "polygon": [list(p) for p in f["outline"]]}
                for f in ground
            ],
        }
    if (building, floor) not in plan.floors:
        raise UnknownPlace
    return {
        "outline": [list(p) for p in plan.floors[building, floor]["outline"]],
        "rooms": [
            {
                "code": code,
                "name": room["name"],
                "category": room.get("category", ""),
                "polygon": [list(p) for p in room["polygon"]],
            }
            for code, room in plan.rooms.items()
            if (room["building"], room["floor"]) == (building, floor)
        ],
    }


def drawings(*, hospital_id: UUID, way: Route) -> Iterator[dict[str, Any]]:
    """Each floor that is walked, with its geometry and the path over it, in the order of walking."""
    plan = _plan(hospital_id)
    for leg in way.legs:
        if len(leg.points) < 2:
            continue
        yield {
            "building": plan.building_name(leg.building),
            "floor": plan.floor_name(leg.building, leg.floor),
            "geometry": _geometry(plan, leg.building, leg.floor),
            "path": [list(p) for p in leg.points],
        }


def _can_be_kept(geojson: Mapping[str, Any]) -> bool:
    """Whether PostgreSQL's jsonb takes all of it: members that no rule of ours names are kept as well."""
    waiting: list[tuple[Any, int]] = [(geojson, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str) and _NO_TEXT.search(value):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if isinstance(value, Mapping | list):
            if depth > DEEPEST:
                return False
            inner = [*value, *value.values()] if isinstance(value, Mapping) else value
            waiting += ((one, depth + 1) for one in inner)
    return True


@transaction.atomic
def upload(*, hospital_id: UUID, geojson: Mapping[str, Any]) -> int:
    """Check a map and put it in place of the old one; returns its version. Raises ``InvalidInput`` with every fault."""
    if not _can_be_kept(geojson):
        raise InvalidInput("地图里有不能保存的字符或数字,或者嵌套太深。", code="bad_map")
    found = map_graph.faults(map_graph.read(geojson))
    if found:
        more = f",下面是前 {FAULTS_TOLD} 处" if len(found) > FAULTS_TOLD else ""
        raise InvalidInput(
            f"地图还有 {len(found)} 处要改{more}。",
            code="bad_map",
            errors=[fault.told() for fault in found[:FAULTS_TOLD]],
            faults=len(found),
        )
    row = IndoorMap.objects.select_for_update().filter(hospital_id=hospital_id).first()
    if row is None:
        row = IndoorMap(hospital_id=hospital_id, version=0)
    row.geojson = dict(geojson)
    row.version += 1
    row.save()
    return row.version
