"""A hospital's map through its API: taken whole or not at all, read once a version, and used at once."""

import json
from collections.abc import Iterator

import pytest
from django.utils import timezone

from hospitals import map_graph
from hospitals.map_features import FAULTS
from hospitals.services import maps
from tests.hospitals.drawn_maps import PAGES, changed, example
from tests.hospitals.joining import Joined, joined

LIFT_1 = {"kind": "lift", "floor": 1}


@pytest.fixture
def river(db: None) -> Iterator[Joined]:
    yield joined()


class TestUpload:
    @pytest.mark.parametrize("page", PAGES)
    def test_the_pages_example_is_taken_as_it_stands(self, river: Joined, page: str) -> None:
        assert river.put("/directory/map/", example(page)).json() == {"version": 1}
        way = maps.route(hospital_id=river.hospital_id, start="E-S", goal="1-101")
        assert way.goal_name == "药房"
        assert [d["floor"] for d in maps.drawings(hospital_id=river.hospital_id, way=way)] == ["1楼"]

    def test_a_refused_map_leaves_the_one_before(self, river: Joined) -> None:
        river.put("/directory/map/", example())
        worse = example()
        index = changed(worse, LIFT_1, closed=[["22:00Z", "06:00Z"]])
        answer = river.put("/directory/map/", worse)
        told = answer.json()
        assert (answer.status_code, told["code"]) == (400, "bad_map")
        first = told["errors"][0]
        assert first["pointer"] == f"/features/{index}/properties/closed" and first["id"] == "L1"
        assert (first["code"], first["detail"]) == ("bad_time", FAULTS["bad_time"])
        assert river.get("/directory/map/").json() == example()

    @pytest.mark.parametrize("member", ['"\\u0000"', '"\\ud800"', '{"\\u0000": 1}', "1e999", "[" * 60 + "]" * 60])
    def test_what_the_database_cannot_keep_is_refused_also_where_no_rule_names_it(
        self, river: Joined, member: str
    ) -> None:
        drawn = json.dumps(example()).replace(
            '"type": "FeatureCollection"', f'"type": "FeatureCollection", "own": {member}'
        )
        answer = river.put("/directory/map/", drawn)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_map")
        assert river.get("/directory/map/").json()["features"] == []

    def test_many_faults_are_counted_and_the_first_fifty_told(self, river: Joined) -> None:
        told = river.put("/directory/map/", {"type": "FeatureCollection", "features": [{}] * 70}).json()
        assert (told["faults"], len(told["errors"])) == (71, 50)
        assert "71" in told["detail"]

    def test_a_map_is_read_once_a_version(self, river: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
        river.put("/directory/map/", example())
        times: list[int] = []
        read = map_graph.read
        monkeypatch.setattr(map_graph, "read", lambda drawn: times.append(1) or read(drawn))
        for _again in range(3):
            maps.route(hospital_id=river.hospital_id, start="E-S", goal="1-101")
        assert len(times) == 1
        river.put("/directory/map/", example())
        maps.route(hospital_id=river.hospital_id, start="E-S", goal="1-101")
        assert len(times) == 3  # once to check it, once to use it

    def test_a_gate_that_is_closed_is_no_place_to_begin(self, river: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
        river.put("/directory/map/", example())
        night = timezone.make_aware(timezone.datetime(2026, 11, 24, 23, 30))
        monkeypatch.setattr(maps.timezone, "localtime", lambda: night)
        assert [p.code for p in maps.entrances(hospital_id=river.hospital_id)] == ["E-S", "E-W"]
        monkeypatch.setattr(maps.timezone, "localtime", lambda: night.replace(hour=12))
        assert [p.code for p in maps.entrances(hospital_id=river.hospital_id)] == ["GATE", "E-S", "E-W"]
