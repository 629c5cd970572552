"""What is wrong with an indoor map: each fault by itself, told with the feature that has it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hospitals import map_graph
from hospitals.api.facts import DOOR_CODES_MOST
from hospitals.directions import NEAR_M
from hospitals.exceptions import InvalidInput
from hospitals.map_features import FAULTS, KINDS
from hospitals.map_graph import WALK_M_PER_S
from hospitals.services.maps import FAULTS_TOLD
from hospitals.wayfinding import UNCOVERED_PENALTY
from tests.hospitals.drawn_maps import DOCS, PAGES, Map, changed, example, feature, index_of


def faults_of(drawn: Map) -> list[dict[str, str]]:
    return [fault.told() for fault in map_graph.faults(map_graph.read(drawn))]


LIFT_1 = {"kind": "lift", "floor": 1}
EYES = {"kind": "room", "code": "1-201"}
SQUARE = [[[0, 0], [9, 0], [9, 9], [0, 0]]]


# (what is done to the example, the code that tells it, where: the part of the feature it points to)
def no_geometry(drawn: Map) -> int:
    drawn["features"][3] = {"type": "Feature", "properties": {"kind": "floor"}}
    return 3


def geometry(index: int, **changes: Any) -> Callable[[Map], int]:
    def do(drawn: Map) -> int:
        drawn["features"][index]["geometry"] |= changes
        return index

    return do


def change(which: dict[str, Any], **properties: Any) -> Callable[[Map], int]:
    return lambda drawn: changed(drawn, which, **properties)


def add(*args: Any, **properties: Any) -> Callable[[Map], int]:
    def do(drawn: Map) -> int:
        drawn["features"].append(feature(*args, **properties))
        return len(drawn["features"]) - 1

    return do


def replace(index: int, item: Any) -> Callable[[Map], int]:
    def do(drawn: Map) -> int:
        drawn["features"][index] = item
        return index

    return do


LEVEL = {"building": "1", "floor": 1}
SHAPES: list[tuple[Callable[[Map], int], str, str]] = [
    (replace(9, "a room"), "not_a_feature", ""),
    (replace(9, {"type": "Feature", "properties": None}), "not_a_feature", ""),
    (change({"kind": "landmark"}, kind="fountain"), "unknown_kind", "/properties/kind"),
    (change({"kind": "landmark"}, kind=["landmark"]), "unknown_kind", "/properties/kind"),
    (change({"kind": "landmark"}, kind=None), "missing_property", "/properties/kind"),
    (change({"kind": "landmark"}, name=None), "missing_property", "/properties/name"),
    (change({"kind": "landmark"}, name=" "), "bad_value", "/properties/name"),
    (change({"kind": "landmark"}, name="钟" * 61), "bad_value", "/properties/name"),
    (change({"kind": "landmark"}, floor="1"), "bad_value", "/properties/floor"),
    (change({"kind": "landmark"}, floor=True), "bad_value", "/properties/floor"),
    (change({"kind": "way", "name": "连廊"}, covered="yes"), "bad_value", "/properties/covered"),
    (add("escalator", [20, 5], id="R2", name="梯", direction="left", **LEVEL), "bad_value", "/properties/direction"),
    (add("gate", [20, 40], code="正门", name="正门"), "bad_value", "/properties/code"),
    (geometry(0, type="LineString"), "bad_geometry", "/geometry"),
    (geometry(0, coordinates=["20", "40"]), "bad_geometry", "/geometry"),
    (geometry(0, coordinates=[20, float("nan")]), "bad_geometry", "/geometry"),
    (geometry(0, coordinates=[20]), "bad_geometry", "/geometry"),
    (geometry(0, coordinates=None), "bad_geometry", "/geometry"),
    (add("way", [[103.8301, 36.0611], [103.8302, 36.0612]]), "bad_geometry", "/geometry"),
    (add("way", [[1, 1]]), "bad_geometry", "/geometry"),
    (add("floor", [[[0, 0], [9, 0], [0, 0]]], building="1", building_name="楼", floor=3, floor_name="3楼"), "bad_geometry", "/geometry"),
    *(
        (change({"kind": "gate"}, closed=closed), "bad_time", "/properties/closed")
        for closed in (
            [["22:00Z", "06:00"]],
            [["22:00+08:00", "06:00"]],
            [["22:00", "6:00"]],
            [["22:00:00", "06:00"]],
            [["22:00", "25:00"]],
            [["22:00"]],
            ["22:00", "06:00"],
            "22:00-06:00",
            [["08:00", "08:00"]],
            [["24:00", "06:00"]],
            [[22, 6]],
        )
    ),
    (change(EYES, closed=[["22:00", "06:00"]]), "not_for_kind", "/properties/closed"),
    (change({"kind": "landmark"}, closed=[["22:00", "06:00"]]), "not_for_kind", "/properties/closed"),
    (change(LIFT_1, direction="up"), "not_for_kind", "/properties/direction"),
]  # fmt: skip
PLACES: list[tuple[Callable[[Map], int], str, str]] = [
    (add("gate", [0, 40], code="GATE", name="侧门"), "duplicate_code", "/properties/code"),
    (add("gate", [0, 40], code="1-201", name="侧门"), "duplicate_code", "/properties/code"),
    (add("door", [20, 5], code="D-1-101", room="1-101", **LEVEL), "duplicate_code", "/properties/code"),
    (add("floor", SQUARE, building_name="门诊楼", floor_name="1楼", **LEVEL), "duplicate_floor", ""),
    (add("lift", [10, 5], id="L1", name="1号电梯", **LEVEL), "duplicate_stop", ""),
    (add("way", [[20, 40], [20, 20]], covered=True), "duplicate_way", "/geometry"),
    (add("landmark", [20, 5], name="鱼缸", building="9", floor=1), "unknown_floor", "/properties/floor"),
    (add("landmark", [20, 5], name="鱼缸", building="1", floor=3), "unknown_floor", "/properties/floor"),
    (add("door", [20, 5], code="D-9", room="9", **LEVEL), "door_without_room", "/properties/room"),
    (add("door", [20, 5], code="D-9", room="1-201", **LEVEL), "door_elsewhere", "/properties/floor"),
    (add("room", SQUARE, code="1-109", name="库房", **LEVEL), "room_without_door", ""),
    (add("door", [21, 6], code="D-9", room="1-101", **LEVEL), "not_on_a_way", "/geometry"),
    (add("gate", [21, 6], code="GATE-2", name="侧门"), "not_on_a_way", "/geometry"),
    (add("lift", [21, 6], id="L2", name="2号电梯", **LEVEL), "not_on_a_way", "/geometry"),
    (add("entrance", [38, 5], code="E-E", name="东门", **LEVEL), "leads_nowhere", "/geometry"),
    (add("stairs", [20, 5], id="S2", name="西楼梯", **LEVEL), "serves_one_floor", ""),
    (change({"kind": "escalator", "floor": 2}, direction="both"), "mixed_direction", "/properties/direction"),
]


class TestFaults:
    @pytest.mark.parametrize("page", PAGES)
    def test_the_pages_example_has_none(self, page: str) -> None:
        assert faults_of(example(page)) == []
        assert example(page) == example()

    @pytest.mark.parametrize(("spoil", "code", "part"), SHAPES + PLACES)
    def test_each_is_told_with_the_feature_that_has_it(self, spoil: Callable[[Map], int], code: str, part: str) -> None:
        drawn = example()
        index = spoil(drawn)
        told = {(fault["pointer"], fault["code"]) for fault in faults_of(drawn)}
        if code == "mixed_direction":  # told once, with the first of its points
            index = index_of(drawn, kind="escalator")
        assert (f"/features/{index}{part}", code) in told

    @pytest.mark.parametrize(("spoil", "code", "_part"), PLACES)
    def test_what_is_wrong_once_is_told_once(self, spoil: Callable[[Map], int], code: str, _part: str) -> None:
        drawn = example()
        spoil(drawn)
        assert [fault["code"] for fault in faults_of(drawn)] == [code]

    def test_a_map_that_nobody_can_enter(self) -> None:
        drawn = example()
        drawn["features"] = [f for f in drawn["features"] if f["properties"]["kind"] not in ("gate", "entrance")]
        assert [(f["pointer"], f["code"]) for f in faults_of(drawn)] == [("/features", "no_entrance")]

    def test_ways_that_cross_without_a_common_point_lead_nowhere(self) -> None:
        drawn = example()
        index = index_of(drawn, kind="way", floor=2)
        drawn["features"][index]["geometry"]["coordinates"] = [[20, 5], [30, 5], [38, 5]]
        drawn["features"].append(feature("way", [[10, 9], [10, 5], [10, 1]], building="1", floor=2))
        told = faults_of(drawn)
        assert [(f["id"], f["code"]) for f in told] == [("D-1-201", "unreachable")]
        assert told[0]["pointer"] == f"/features/{index_of(drawn, code='D-1-201')}"

    def test_a_floor_that_only_stairs_lead_to(self) -> None:
        drawn = example()
        drawn["features"] = [f for f in drawn["features"] if f["properties"]["kind"] != "lift"]
        assert [(f["id"], f["code"]) for f in faults_of(drawn)] == [("D-1-201", "unreachable_by_lift")]

    def test_all_are_told_at_once_in_words(self) -> None:
        drawn = example()
        spoilt = [
            change(EYES, name=None)(drawn),
            change(LIFT_1, closed="night")(drawn),
            geometry(0, type="Nowhere")(drawn),
        ]
        told = faults_of(drawn)
        assert {f"/features/{n}" for n in spoilt} <= {"/".join(f["pointer"].split("/")[:3]) for f in told}
        assert all(fault["detail"] == FAULTS[fault["code"]] for fault in told)

    def test_every_fault_there_is_has_been_seen_here_and_stands_in_the_pages(self) -> None:
        seen = {code for _spoil, code, _part in SHAPES + PLACES} | {"no_entrance", "unreachable", "unreachable_by_lift"}
        assert seen == set(FAULTS)
        for page in PAGES:
            text = (DOCS / page).read_text(encoding="utf-8")
            assert set(re.findall(r"^\| `([a-z_]+)` \|", text.split("bad_time", 1)[1], re.M)) == set(FAULTS)

    def test_the_pages_numbers_are_the_code_s(self) -> None:
        english, chinese = (" ".join((DOCS / page).read_text(encoding="utf-8").split()) for page in PAGES)
        words = {4: "four", 7: "seven"}, {4: "四", 7: "七"}
        near, rain = int(NEAR_M), int(UNCOVERED_PENALTY)
        assert f"{WALK_M_PER_S} m/s" in english and f"每秒 {WALK_M_PER_S} 米" in chinese
        assert f"within {words[0][near]} metres" in english and f"{words[1][near]}米之内" in chinese
        assert f"a roof counts as {words[0][rain]}" in english and f"露天一米按{words[1][rain]}米算" in chinese
        assert f"at most {DOOR_CODES_MOST} codes" in english and f"一次最多 {DOOR_CODES_MOST} 个" in chinese
        assert f"the first {FAULTS_TOLD};" in english and f"列出前 {FAULTS_TOLD} 处" in chinese

    def test_the_pages_name_every_kind_with_its_properties(self) -> None:
        for page in PAGES:
            text = (DOCS / page).read_text(encoding="utf-8")
            for kind, shape in KINDS.items():
                row = next(line for line in text.splitlines() if line.startswith("| `") and f"`{kind}`" in line)
                if kind not in ("lift", "stairs", "escalator"):
                    assert set(re.findall(r"`([a-z_]+)`", row)) == {kind, *shape.required, *shape.optional}

    @pytest.mark.parametrize("drawn", [{}, {"features": None}, {"features": {}}, []])
    def test_what_is_no_collection_at_all(self, drawn: Any) -> None:
        with pytest.raises(InvalidInput) as caught:
            map_graph.read(drawn)
        assert caught.value.code == "bad_map"

    def test_what_drawing_programs_add_does_no_harm(self) -> None:
        drawn = example()
        for item in drawn["features"]:
            item["id"] = 7
            item["properties"] |= {"fid": 7, "closed": item["properties"].get("closed"), "note": None}
            if item["properties"].get("building"):
                item["properties"]["building"] = 1
        assert faults_of(drawn) == []

    @settings(max_examples=80, deadline=None)
    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "properties", "geometry", "coordinates", "kind", "floor", "closed", "building"]), inner), max_leaves=12))  # fmt: skip
    def test_anything_at_all_is_told_and_nothing_breaks(self, junk: Any) -> None:
        assert faults_of({"features": [junk, {"properties": junk, "geometry": junk}]})
