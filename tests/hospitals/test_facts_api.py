"""What a hospital writes as a whole: its facts and rules, its lexicon, its map."""

import pytest
import yaml
from django.core.cache import cache

from hospitals import seed
from hospitals.models import Hospital
from hospitals.services import directory
from tests.hospitals.joining import Joined, code_of, joined

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_counters() -> None:
    cache.clear()


def test_its_rules_are_its_own_but_not_its_name(river: Joined) -> None:
    answer = river.call("PATCH", "/hospital/", {"hold_min": 5, "name": "别家医院", "state": "live"})
    assert (answer.json()["hold_min"], answer.json()["name"]) == (5, "river医院")
    assert Hospital.objects.get(code="river").state == "sandbox"
    stale = river.call("PATCH", "/hospital/", {"hold_min": 6}, if_match='"old"')
    assert code_of(stale, 412) == "outdated"


def test_its_level_is_the_commission_s_word(river: Joined) -> None:
    before = river.get("/hospital/").json()["level"]
    assert river.call("PATCH", "/hospital/", {"level": "三级甲等"}).json()["level"] == before


def test_it_says_who_speaks_for_it(river: Joined) -> None:
    answer = river.call("PATCH", "/hospital/", {"avatar": "river-nurse", "voice": "zh-CN-XiaoyiNeural"}).json()
    assert (answer["avatar"], answer["voice"]) == ("river-nurse", "zh-CN-XiaoyiNeural")
    found = directory.speaker(hospital_id=river.hospital_id)
    assert (found.avatar, found.voice) == ("river-nurse", "zh-CN-XiaoyiNeural")
    assert river.call("PATCH", "/hospital/", {"avatar": "../etc"}).status_code == 400


@pytest.mark.parametrize("nickname", ["hill医院", "山医", "hill"])
def test_a_nickname_means_one_hospital(river: Joined, nickname: str) -> None:
    joined("hill").call("PATCH", "/hospital/", {"nicknames": ["山医"]})
    answer = river.call("PATCH", "/hospital/", {"nicknames": ["江医", nickname]})
    assert code_of(answer, 400) == "nickname_taken"
    assert answer.json()["errors"][0]["pointer"] == "/nicknames/1"
    mended = river.call("PATCH", "/hospital/", {"nicknames": ["江医", "river"]})
    assert mended.json()["nicknames"] == ["江医", "river"]


@pytest.mark.parametrize("nicknames", [["江"], ["江" * 13], [f"江医{n}" for n in range(6)], ["江医", "江医"]])
def test_nicknames_are_few_and_short(river: Joined, nicknames: list[str]) -> None:
    assert river.call("PATCH", "/hospital/", {"nicknames": nicknames}).status_code == 400
    assert river.get("/hospital/").json()["nicknames"] == []


def test_the_lexicon_is_replaced_as_a_whole(river: Joined) -> None:
    entries = [{"written": "岚州", "spoken": "lán zhōu"}]
    tag = river.put("/directory/lexicon/", {"entries": entries})["ETag"]
    assert river.get("/directory/lexicon/").json() == {"entries": entries}
    assert directory.speaker(hospital_id=river.hospital_id).lexicon == (("岚州", "lán zhōu"),)
    assert river.put("/directory/lexicon/", {"entries": []}, if_match=tag).json() == {"entries": []}


def test_a_map_with_faults_is_refused_with_all_of_them(river: Joined) -> None:
    empty = {"type": "FeatureCollection", "features": []}
    assert river.get("/directory/map/").json() == empty
    assert (
        river.put("/directory/map/", {"type": "FeatureCollection", "features": [{"type": "Feature"}]}).status_code
        == 400
    )


def test_a_good_map_gets_a_version(river: Joined) -> None:
    from hospitals import floor_layout

    province = yaml.safe_load((seed.DATA / "province.yaml").read_text(encoding="utf-8"))
    drawn = floor_layout.geojson(seed._description(province["hospitals"][0], province))
    first = river.put("/directory/map/", drawn)
    assert first.json() == {"version": 1}
    assert code_of(river.put("/directory/map/", drawn, if_match='"old"'), 412) == "outdated"
    assert river.put("/directory/map/", drawn, if_match=first["ETag"]).json() == {"version": 2}
    assert river.get("/directory/map/").json()["type"] == "FeatureCollection"
