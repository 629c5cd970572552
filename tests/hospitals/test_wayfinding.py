"""The way through a hospital: lifts and roofs, what is closed, and that no way is quicker than the one found."""

import copy
import math
import random
import time as clock
from datetime import time
from itertools import pairwise
from typing import Any

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hospitals import directions, floor_layout, map_graph, wayfinding
from hospitals.exceptions import NoRoute, UnknownPlace
from tests.hospitals.drawn_maps import Map, changed, example, feature, index_of


@pytest.fixture
def plan() -> map_graph.Plan:
    return map_graph.read(example())


def walk(plan: map_graph.Plan, start: str, goal: str, **how: Any) -> directions.Route:
    return directions.route(plan, start, goal, **how)


def words(way: directions.Route) -> str:
    return "".join(step.text for step in way.steps)


NIGHT, DAY = time(22, 30), time(10, 0)


class TestTheWay:
    def test_it_turns_at_what_one_sees(self, plan: map_graph.Plan) -> None:
        way = walk(plan, "D-1-201", "GATE")
        assert "到大钟左转" in words(way)
        split = walk(plan, "GATE", "1-201", lift_only=True)
        assert [step.landmark for step in split.steps] == ["", "大钟", "", ""]

    def test_a_landmark_on_another_floor_is_not_seen(self) -> None:
        drawn = example()
        changed(drawn, {"kind": "landmark"}, floor=2)
        assert "大钟" not in words(walk(map_graph.read(drawn), "D-1-201", "GATE"))

    def test_an_escalator_goes_one_way(self, plan: map_graph.Plan) -> None:
        assert "坐自动扶梯到2楼" in words(walk(plan, "GATE", "1-201"))
        assert "扶梯" not in words(walk(plan, "1-201", "GATE"))

    def test_an_escalator_both_ways_and_one_that_goes_down(self) -> None:
        for direction, up, down in (("both", True, True), ("down", False, True)):
            drawn = example()
            for floor in (1, 2):
                changed(drawn, {"kind": "escalator", "floor": floor}, direction=direction)
            plan = map_graph.read(drawn)
            assert ("自动扶梯" in words(walk(plan, "GATE", "1-201"))) is up
            assert ("自动扶梯" in words(walk(plan, "1-201", "GATE"))) is down

    def test_a_lift_and_stairs_may_be_drawn_at_one_point(self) -> None:
        drawn = example()
        for item in drawn["features"]:
            if item["properties"]["kind"] == "stairs":
                item["geometry"]["coordinates"] = [30, 5]
        plan = map_graph.read(drawn)
        assert map_graph.faults(plan) == []
        assert "1号电梯" in words(walk(plan, "1-201", "1-101", lift_only=True))
        assert "东楼梯" in words(walk(plan, "1-201", "1-101", at=NIGHT))

    def test_by_lift_only_there_are_no_stairs(self, plan: map_graph.Plan) -> None:
        way = walk(plan, "GATE", "1-201", lift_only=True)
        assert "1号电梯" in words(way) and "扶梯" not in words(way)
        assert way.total_m > walk(plan, "GATE", "1-201").total_m

    def test_out_of_the_rain_it_goes_under_the_roof(self, plan: map_graph.Plan) -> None:
        plain, dry = walk(plan, "GATE", "1-201"), walk(plan, "GATE", "1-201", covered=True)
        assert (plain.uncovered_m, dry.uncovered_m) == (20.0, 0.0)
        assert dry.total_m > plain.total_m and "西门" in words(dry)

    def test_a_roof_is_not_worth_any_detour(self) -> None:
        drawn = example()
        drawn["features"][index_of(drawn, name="连廊")]["geometry"]["coordinates"] = [[20, 40], [0, 400], [0, 5]]
        assert walk(map_graph.read(drawn), "GATE", "1-201", covered=True).uncovered_m == 20.0

    def test_it_begins_at_the_door_whose_code_was_scanned(self, plan: map_graph.Plan) -> None:
        way = walk(plan, "D-1-101", "1-201")
        assert way.start_name == "药房" and way.steps[0].text.startswith("从药房出来")
        assert words(walk(plan, "D-1-101", "1-101")) == "您已经在药房了。"

    def test_nobody_is_sent_through_a_door_only_to_begin_or_end_in_it(self, plan: map_graph.Plan) -> None:
        out = walk(plan, "E-S", "GATE")
        assert len(out.steps) == 1 and out.steps[0].text.startswith("从南门出来")
        assert words(walk(plan, "GATE", "E-S")) == "从正门进来,直行约20米,南门就在前面,到了。"

    def test_places_nobody_knows(self, plan: map_graph.Plan) -> None:
        with pytest.raises(UnknownPlace):
            walk(plan, "GATE", "nowhere")

    def test_lifts_of_two_buildings_may_have_one_name(self) -> None:
        drawn = example()
        for item in copy.deepcopy(drawn["features"]):
            if item["properties"].get("building"):
                item["properties"]["building"] = "2"
                for name in ("code", "room"):
                    if name in item["properties"]:
                        item["properties"][name] = f"2.{item['properties'][name]}"
                drawn["features"].append(item)
        plan = map_graph.read(drawn)
        assert map_graph.faults(plan) == []
        assert not any(a[0] and b[0] and a[0] != b[0] for a, b, _key in plan.graph.edges)

    def test_stairs_go_on_through_a_floor_where_they_do_not_stop_and_below_ground(self) -> None:
        drawn = example()
        for item in drawn["features"]:
            if item["properties"].get("floor") == 1 and item["properties"]["kind"] != "entrance":
                continue
            if item["properties"].get("floor") == 2:
                item["properties"]["floor"] = -1
        drawn["features"] = [f for f in drawn["features"] if f["properties"]["kind"] != "escalator"]
        plan = map_graph.read(drawn)
        assert map_graph.faults(plan) == []
        one_floor = map_graph.LIFT_WAIT_S + map_graph.LIFT_FLOOR_S
        lift = next(e for _a, _b, e in plan.graph.edges(data=True) if e["kind"] == "lift")
        stairs = {e["s"] for _a, _b, e in plan.graph.edges(data=True) if e["kind"] == "stairs"}
        assert lift["s"] == one_floor and stairs == set(map_graph.STAIRS_FLOOR_S.values())


class TestClosed:
    def test_it_is_gone_round_and_told(self, plan: map_graph.Plan) -> None:
        way = walk(plan, "1-201", "1-101", at=NIGHT)
        assert way.notice == "1号电梯22:00后停运,改走东楼梯。" and "走东楼梯到1楼" in words(way)
        assert walk(plan, "1-201", "1-101", at=DAY).notice == ""

    def test_the_other_lift_is_named_rather_than_a_door(self) -> None:
        drawn = example()
        for floor in (1, 2):
            drawn["features"].append(feature("lift", [10, 5], id="L2", name="2号电梯", building="1", floor=floor))
            changed(drawn, {"id": "L1", "floor": floor}, closed=None)
            changed(drawn, {"id": "L2", "floor": floor}, closed=[["22:00", "06:00"]])
        way = walk(map_graph.read(drawn), "GATE", "1-201", lift_only=True, at=NIGHT)
        assert way.notice == "2号电梯22:00后停运,改走1号电梯。"

    @pytest.mark.parametrize(
        ("closed", "at", "said"),
        [
            ([["22:00", "06:00"]], time(22, 0), "1号电梯22:00后停运"),
            ([["22:00", "06:00"]], time(5, 59), "1号电梯6:00前停运"),
            ([["22:00", "06:00"]], time(6, 0), ""),
            ([["22:00", "06:00"]], time(21, 59), ""),
            ([["12:00", "14:00"]], time(12, 30), "1号电梯12:00到14:00停运"),
            ([["12:00", "14:00"]], time(14, 0), ""),
            ([["18:00", "24:00"]], time(23, 59), "1号电梯18:00后停运"),
            ([["18:00", "24:00"]], time(0, 0), ""),
            ([["12:00", "14:00"], ["22:00", "06:00"]], time(23, 0), "1号电梯22:00后停运"),
            ([], time(23, 0), ""),
        ],
    )
    def test_the_hours(self, closed: Any, at: time, said: str) -> None:
        drawn = example()
        for floor in (1, 2):
            changed(drawn, {"kind": "lift", "floor": floor}, closed=closed)
        notice = walk(map_graph.read(drawn), "1-201", "1-101", at=at).notice
        assert notice == (f"{said},改走东楼梯。" if said else "")

    def test_a_lift_that_does_not_stop_at_one_floor(self) -> None:
        drawn = example()
        changed(drawn, {"kind": "lift", "floor": 2}, closed=None)
        assert "东楼梯" in words(walk(map_graph.read(drawn), "1-201", "1-101", at=NIGHT))

    @pytest.mark.parametrize(
        ("which", "route", "said"),
        [
            ({"kind": "escalator"}, ("GATE", "1-201"), "自动扶梯20:00后停运,改走东楼梯。"),
            ({"kind": "entrance", "code": "E-S"}, ("GATE", "1-101"), "南门20:00后关闭,改走西门。"),
            ({"kind": "way", "covered": False}, ("GATE", "1-101"), "有一段路20:00后关闭,改走西门。"),
            ({"kind": "stairs"}, ("1-201", "1-101"), "1号电梯22:00后停运、东楼梯20:00后关闭"),
            ({"kind": "gate"}, ("GATE", "1-101"), "正门20:00后关闭"),
            ({"kind": "gate"}, ("1-101", "GATE"), "正门20:00后关闭"),
        ],
    )
    def test_every_kind_that_can_be_closed(self, which: Map, route: tuple[str, str], said: str) -> None:
        drawn = example()
        for item in drawn["features"]:
            if which.items() <= item["properties"].items():
                item["properties"]["closed"] = [["20:00", "05:00"]]
        if which["kind"] == "stairs":
            which, said = {}, said.split("、")[0]  # only the lift is on the quickest way; no way is left
        plan = map_graph.read(drawn)
        assert walk(plan, *route, at=DAY).notice == ""
        try:
            told = walk(plan, *route, at=NIGHT).notice
        except NoRoute as error:
            told = error.detail
            assert told.startswith(f"{said},现在没有别的路可走")
        else:
            assert told == said

    def test_all_that_is_in_the_way_is_named(self, plan: map_graph.Plan) -> None:
        with pytest.raises(NoRoute) as caught:
            walk(plan, "1-201", "GATE", at=time(23, 30))
        assert caught.value.detail.startswith("1号电梯22:00后停运、正门23:00后关闭,")

    def test_for_a_wheelchair_stairs_are_no_other_way(self, plan: map_graph.Plan) -> None:
        with pytest.raises(NoRoute, match="no_route"):
            walk(plan, "1-201", "1-101", at=NIGHT, lift_only=True)

    def test_small_hospitals_can_say_it_in_their_description(self) -> None:
        row = [{"lift": "L", "name": "电梯", "closed": [["22:00", "06:00"]]}, {"code": "A", "name": "内科"}]
        floors = [{"number": n, "name": f"{n}楼", "north": [{**x, "code": f"{x.get('code')}{n}"} if "code" in x else x for x in row], "south": []} for n in (1, 2)]  # fmt: skip
        drawn = floor_layout.geojson(
            {
                "buildings": [
                    {
                        "id": "1",
                        "name": "楼",
                        "origin": [0, 0],
                        "size": [20, 12],
                        "columns": 2,
                        "floors": floors,
                        "entrances": [{"side": "west", "code": "W", "name": "西门", "closed": [["00:00", "05:00"]]}],
                    }
                ],
                "outdoors": {"gates": [], "ways": [{"points": [[-9, 6], [0, 6]]}]},
            }
        )
        plan = map_graph.read(drawn)
        assert map_graph.faults(plan) == []
        with pytest.raises(NoRoute):
            walk(plan, "A1", "A2", at=NIGHT)


# --- nothing is quicker -------------------------------------------------------------------------------------


def grid(size: int, floors: int, seed: int) -> tuple[Map, networkx.MultiGraph]:
    """A random map, and beside it the same as a plain graph of seconds, made without the code under test."""
    dice = random.Random(seed)
    oracle = networkx.MultiGraph()
    on_a_way = set()
    features = [feature("gate", [-10, 0], code="G", name="门"), feature("way", [[-10, 0], [0, 0]], covered=False)]
    features.append(feature("entrance", [0, 0], code="E", name="门", building="1", floor=1))
    oracle.add_edge("G", (1, 0, 0), s=10 / 0.94 + 2, wet=10 / 0.94, lift=True, closed=False)
    for floor in range(1, floors + 1):
        level = {"building": "1", "floor": floor}
        box = [[[0, 0], [size * 10, 0], [size * 10, size * 10], [0, 0]]]
        features.append(feature("floor", box, building_name="楼", floor_name=f"{floor}楼", **level))
        for x in range(size):
            for y in range(size):
                for ahead in ((x + 1, y), (x, y + 1)):
                    if max(ahead) >= size or dice.random() < 0.25:
                        continue
                    covered, shut = dice.random() < 0.6, dice.random() < 0.2
                    extra = {"closed": [["20:00", "07:00"]]} if shut else {}
                    line = [[x * 10, y * 10], [10 * ahead[0], 10 * ahead[1]]]
                    features.append(feature("way", line, covered=covered, **extra, **level))
                    on_a_way |= {(floor, x, y), (floor, *ahead)}
                    oracle.add_edge((floor, x, y), (floor, *ahead), s=10 / 0.94, wet=0 if covered else 10 / 0.94, lift=True, closed=shut)  # fmt: skip
        for n in range(3):
            x, y = dice.randrange(size), dice.randrange(size)
            code = f"R{floor}{n}"
            features.append(feature("room", [[[x, y], [x + 1, y], [x, y + 1]]], code=code, name=code, **level))
            features.append(feature("door", [x * 10, y * 10], code=f"D{code}", room=code, **level))
            oracle.add_edge(code, (floor, x, y), s=0.0, wet=0, lift=True, closed=False)
    for kind, seconds in (("lift", 0.0), ("escalator", 22.0)):
        x, y = dice.randrange(size), dice.randrange(size)
        for floor in range(1, floors + 1):
            features.append(feature(kind, [x * 10, y * 10], id="V", name=kind, building="1", floor=floor))
        stops = [floor for floor in range(1, floors + 1) if (floor, x, y) in on_a_way]
        for n, low in enumerate(stops):
            for high in stops[n + 1 :]:
                if kind == "lift" or not any(low < between < high for between in stops):
                    s = 35.0 + 4.0 * (high - low) if kind == "lift" else seconds * (high - low)
                    oracle.add_edge((low, x, y), (high, x, y), s=s, wet=0, lift=kind == "lift", closed=False)
    return {"features": features}, oracle


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(2, 6),
    floors=st.integers(1, 3),
    seed=st.integers(0, 10_000),
    lift_only=st.booleans(),
    covered=st.booleans(),
    at=st.sampled_from([None, time(12, 0), time(23, 0)]),
)
def test_no_way_is_quicker(size: int, floors: int, seed: int, lift_only: bool, covered: bool, at: time | None) -> None:
    drawn, oracle = grid(size, floors, seed)
    usable = networkx.MultiGraph()
    for a, b, edge in oracle.edges(data=True):
        if (edge["lift"] or not lift_only) and not (edge["closed"] and at == time(23, 0)):
            usable.add_edge(a, b, cost=edge["s"] + (3 * edge["wet"] if covered else 0), s=edge["s"])
    plan = map_graph.read(drawn)
    on_the_way = {code for code, place in plan.places.items() if place.kind in ("room", "gate")}
    for goal in sorted(on_the_way - {"G"}):
        try:
            best = networkx.dijkstra_path_length(usable, "G", goal, weight="cost")
        except (networkx.NetworkXNoPath, networkx.NodeNotFound):
            with pytest.raises(NoRoute):
                wayfinding.shortest(plan, "G", goal, lift_only=lift_only, covered=covered, at=at)
            continue
        path = wayfinding.shortest(plan, "G", goal, lift_only=lift_only, covered=covered, at=at)
        cost = path.seconds + (3 * path.uncovered_m / map_graph.WALK_M_PER_S if covered else 0)
        assert math.isclose(cost, best, abs_tol=0.5)
        for leg in path.legs:  # one can really walk it
            assert all(abs(a[0] - b[0]) + abs(a[1] - b[1]) == 10 for a, b in pairwise(leg.points))


def test_two_thousand_nodes_take_milliseconds() -> None:
    drawn, _oracle = grid(45, 1, 7)
    plan = map_graph.read(drawn)
    assert len(plan.graph) > 1900
    goals = [code for code, place in plan.places.items() if place.kind == "room"]
    spent = []
    for goal in goals * 5:
        began = clock.perf_counter()
        wayfinding.shortest(plan, "G", goal, covered=True)
        spent.append(clock.perf_counter() - began)
    assert min(spent) < 0.05  # a few milliseconds; the limit is for a busy machine
