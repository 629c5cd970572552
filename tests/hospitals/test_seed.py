"""The demo province: whole, repeatable, and every room can be walked to."""

from datetime import timedelta

import pytest
from django.utils import timezone

from hospitals import map_graph, seed, tenancy
from hospitals.models import Department, Hospital, HospitalCredential, IndoorMap, Practitioner, SandboxClinic, Slot
from hospitals.services import directory, maps

FIRST = seed.hospital_id("lanzhou-first")


@pytest.fixture(scope="module")
def province(django_db_setup, django_db_blocker):
    """Seeded once for this module, inside a transaction that is undone."""
    from django.db import transaction

    with django_db_blocker.unblock():
        atomic = transaction.atomic()
        atomic.__enter__()
        seed.seed_province(timezone.now())
        yield
        transaction.set_rollback(True)
        atomic.__exit__(None, None, None)


@pytest.mark.django_db
@pytest.mark.usefixtures("province")
class TestProvince:
    def test_twelve_hospitals_of_three_tiers_in_several_cities(self) -> None:
        rows = list(Hospital.objects.all())
        assert len(rows) == 12 and {h.state for h in rows} == {"live"}
        assert {h.level[0] for h in rows} == {"一", "二", "三"}
        assert len({h.city for h in rows}) >= 4
        first = Hospital.objects.get(id=FIRST)
        assert {"市一医院", "市一院", "一院"} <= set(first.nicknames)

    def test_running_it_again_adds_nothing(self) -> None:
        models = (Hospital, Department, Practitioner, Slot, IndoorMap, SandboxClinic)
        before = [model.objects.count() for model in models]
        with tenancy.scope(FIRST):
            secret = HospitalCredential.objects.get().secret
        seed.seed_province(timezone.now())
        assert [model.objects.count() for model in models] == before
        with tenancy.scope(FIRST):
            assert HospitalCredential.objects.get().secret == secret

    def test_tomorrow_brings_one_more_day(self) -> None:
        before = Slot.objects.count()
        seed.seed_province(timezone.now() + timedelta(days=1))
        assert before < Slot.objects.count() < before * 1.2

    def test_the_eye_clinic_is_where_the_story_has_it(self) -> None:
        eyes = Department.objects.get(hospital_id=FIRST, standard_name="眼科")
        assert eyes.place + eyes.room_name == "7号楼1楼B区眼科检查一区"
        assert eyes.national_code == "10"

    def test_every_map_is_without_fault(self) -> None:
        drawn = IndoorMap.objects.all()
        assert drawn
        for row in drawn:
            plan = map_graph.read(row.geojson)
            assert map_graph.faults(plan) == [], row.hospital_id
            rooms = set(Department.objects.filter(hospital_id=row.hospital_id).values_list("room_code", flat=True))
            assert rooms <= set(plan.rooms)

    def test_eye_slots_tomorrow_morning_at_the_first_hospital(self) -> None:
        day = timezone.localdate() + timedelta(days=1)
        start = timezone.make_aware(timezone.datetime.combine(day, timezone.datetime.min.time()))
        offers = directory.search_slots(
            departments=("眼科",), start=start, end=start + timedelta(hours=12), near_city="岚州市", limit=6
        )
        assert offers and offers[0].city == "岚州市" and offers[0].place.endswith(("诊区", "眼科检查一区"))
        mine = directory.search_slots(
            departments=("眼科",), start=start, end=start + timedelta(hours=12), hospital_id=FIRST
        )
        assert mine and {o.hospital for o in mine} == {"岚州市第一人民医院"}
        assert (
            directory.search_slots(
                department_codes=("10",), start=start, end=start + timedelta(hours=12), hospital_id=FIRST
            )
            == mine
        )

    def test_hospitals_are_found_by_nickname_and_nearness(self) -> None:
        assert directory.find_hospitals(text="市一院")[0].id == FIRST
        assert directory.find_hospitals(near_city="云泽市")[0].city == "云泽市"
        near = directory.emergency_departments(near_city="岚州市")
        assert near and all(h.has_emergency for h in near)
        name = Practitioner.objects.filter(hospital_id=FIRST).values_list("name", flat=True)[0]
        assert name in directory.find_practitioners(surname=name[0], limit=100)
        assert ("岚州", "lán zhōu") in directory.speaker(hospital_id=FIRST).lexicon

    def test_places_are_found_as_people_say_them(self) -> None:
        def find(text: str) -> str:
            found = maps.find_place(hospital_id=FIRST, text=text)
            return found.code if found else ""

        assert find("眼科检查一区") == "7-1-B01"
        assert find("d-7-1-b01") == "D-7-1-B01"
        assert find("7号楼南门") == "E7-S"
        assert find("7号楼的药房在哪") == "7-1-A02"
        assert find("抽血的地方") == "1-1-07"
        assert find("3楼厕所") in ("1-3-WC", "7-3-WC")
        assert find("火星") == ""
        kinds = [p.kind for p in maps.entrances(hospital_id=FIRST)]
        assert kinds[0] == "gate" and "entrance" in kinds

    def test_the_way_is_drawn_floor_by_floor(self) -> None:
        way = maps.route(hospital_id=FIRST, start="GATE-S", goal="1-3-01", lift_only=True)
        drawn = list(maps.drawings(hospital_id=FIRST, way=way))
        assert [d["building"] for d in drawn] == ["院区", "1号楼", "1号楼"]
        assert drawn[-1]["floor"] == "3楼"
        assert any(r["code"] == "1-3-01" for r in drawn[-1]["geometry"]["rooms"])
        assert all(len(d["path"]) > 1 for d in drawn)
