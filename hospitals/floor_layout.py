"""A short description of buildings becomes an indoor map: rooms in two rows along a corridor, doors, lifts, ways outdoors.

For demo hospitals and for small hospitals that have no plan to upload; the result is the GeoJSON that hospitals.map_graph
reads. A building is ``columns`` equal columns wide; each row lists what stands there, ``span`` columns wide.
"""

from collections.abc import Iterator, Mapping
from typing import Any

CORRIDOR_M = 4.0
VERTICAL = ("lift", "stairs", "escalator")


def geojson(description: Mapping[str, Any]) -> dict[str, Any]:
    """``{"buildings": [...], "outdoors": {"gates": [...], "ways": [...]}}`` → FeatureCollection."""
    features: list[dict[str, Any]] = []
    for building in description["buildings"]:
        for floor in building["floors"]:
            features += _floor(building, floor)
    outdoors = description.get("outdoors", {})
    for gate in outdoors.get("gates", []):
        features.append(_point("gate", gate["at"], code=gate["code"], name=gate["name"], **_extra(gate)))
    for way in outdoors.get("ways", []):
        features.append(_line(way["points"], covered=way.get("covered", False), **_extra(way)))
    return {"type": "FeatureCollection", "features": features}


def _extra(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("closed", "direction") if name in item}


def _feature(kind: str, geometry: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": {"kind": kind, **properties},
        "geometry": {"type": geometry, "coordinates": coordinates},
    }


def _point(kind: str, at: Any, **properties: Any) -> dict[str, Any]:
    return _feature(kind, "Point", [round(at[0], 1), round(at[1], 1)], **properties)


def _line(points: Any, **properties: Any) -> dict[str, Any]:
    return _feature("way", "LineString", [[round(x, 1), round(y, 1)] for x, y in points], **properties)


def _box(left: float, top: float, right: float, bottom: float) -> list[list[list[float]]]:
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return [[[round(x, 1), round(y, 1)] for x, y in corners]]


def _floor(building: Mapping[str, Any], floor: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    (left, top), (width, depth) = building["origin"], building["size"]
    level = {"building": str(building["id"]), "floor": int(floor["number"])}
    middle = top + depth / 2
    yield _feature(
        "floor",
        "Polygon",
        _box(left, top, left + width, top + depth),
        **level,
        building_name=building["name"],
        floor_name=floor["name"],
    )
    stops = set()
    for side, row in (("north", floor["north"]), ("south", floor["south"])):
        outer = top if side == "north" else top + depth
        inner = middle - CORRIDOR_M / 2 if side == "north" else middle + CORRIDOR_M / 2
        column = width / building["columns"]
        x = left
        for item in row:
            wide = item.get("span", 1) * column
            centre = x + wide / 2
            stops.add(round(centre, 1))
            box = _box(x, min(outer, inner), x + wide, max(outer, inner))
            yield from _item(item, box, (centre, inner), (centre, outer), (centre, middle), level)
            x += wide
    ends = []
    for entrance in building.get("entrances", []):
        if level["floor"] != 1:
            continue
        at = left if entrance["side"] == "west" else left + width
        ends.append(at)
        yield _point(
            "entrance", (at, middle), code=entrance["code"], name=entrance["name"], **level, **_extra(entrance)
        )
    yield _line([(x, middle) for x in sorted({*stops, *(round(e, 1) for e in ends)})], **level)


def _item(
    item: Mapping[str, Any], box: Any, inner: Any, outer: Any, corridor: Any, level: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """One thing in a row: a room with its door, a lift, stairs, an escalator, or the way out through an entrance."""
    kind = next((k for k in (*VERTICAL, "entrance") if k in item), "room")
    if kind == "entrance":
        yield _point("entrance", outer, code=item["entrance"], name=item["name"], **level, **_extra(item))
        yield _line([corridor, outer], **level)
        return
    if kind in VERTICAL:
        code = f"{level['building']}-{level['floor']}-{item[kind]}"
        yield _feature("room", "Polygon", box, code=code, name=item["name"], category=kind, area="", **level)
        yield _point(kind, inner, id=item[kind], name=item["name"], **level, **_extra(item))
        yield _point("door", inner, code=f"D-{code}", room=code, **level)
    else:
        yield _feature(
            "room",
            "Polygon",
            box,
            code=item["code"],
            name=item["name"],
            category=item.get("category", "clinic"),
            area=item.get("area", ""),
            **level,
        )
        yield _point("door", inner, code=f"D-{item['code']}", room=item["code"], **level)
    yield _line([corridor, inner], **level)
