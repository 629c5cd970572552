"""The codes at the doors: each can be read again, says where it hangs, and opens the page there."""

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from hospitals import qr
from hospitals.api import facts
from hospitals.exceptions import InvalidInput, UnknownPlace
from hospitals.services import door_codes, maps
from tests.hospitals.drawn_maps import example, feature
from tests.hospitals.joining import Joined, joined

CODES = ["GATE", "E-S", "E-W", "D-1-101", "D-1-201"]


def read(dark: Any) -> str:
    """What a camera reads, from one of several distances."""
    for size in (8, 6, 10, 5):
        picture = np.where(np.kron(dark, np.ones((size, size), bool)), 0, 255).astype(np.uint8)
        if said := str(cv2.QRCodeDetector().detectAndDecode(picture)[0]):
            return said
    return ""


@pytest.fixture
def river(db: None) -> Iterator[Joined]:
    made = joined()
    made.put("/directory/map/", example())
    yield made


def test_a_code_is_read_as_it_was_written(settings: LazySettings) -> None:
    settings.PUBLIC_URL = "https://health.example.org/"
    said = door_codes.address("spring-river", "D-7:1.b_01")
    assert said == "https://health.example.org/?door=spring-river.D-7:1.b_01"
    assert read(qr.modules(said)) == said
    assert parse_qs(urlsplit(said).query) == {"door": ["spring-river.D-7:1.b_01"]}


@pytest.mark.parametrize("length", [30, 62, 84, 106, 107, 120, 134])
def test_no_length_makes_a_code_that_cannot_be_read(length: int) -> None:
    said = ("https://health.example.org/?door=" + "river.D-1-101-" * 8)[:length]
    dark = qr.modules(said)
    assert read(dark) == said and len(dark) <= 41 + 2 * qr.QUIET


def test_it_stands_on_white() -> None:
    dark = qr.modules("https://health.example.org/?door=river.GATE")
    assert not dark[: qr.QUIET].any() and not dark[:, -qr.QUIET :].any()
    assert dark[qr.QUIET, qr.QUIET] and dark.shape[0] == dark.shape[1]


def test_what_is_too_long_is_refused_rather_than_printed() -> None:
    with pytest.raises(InvalidInput) as caught:
        qr.modules("x" * 135)
    assert caught.value.code == "code_too_long"


class TestTheSheet:
    def test_every_door_is_on_it_once_with_its_name_and_floor(self, river: Joined) -> None:
        page = door_codes.sheet(hospital_id=river.hospital_id)
        assert re.findall(r'aria-label="([^"]+)"', page) == CODES
        assert page.count("<svg") == len(CODES)
        spot = page[page.index('aria-label="D-1-101"') :]
        assert "<strong>药房</strong>" in spot and "门诊楼1楼A区" in spot

    def test_what_is_drawn_can_be_read(self, river: Joined, settings: LazySettings) -> None:
        page = door_codes.sheet(hospital_id=river.hospital_id)
        for code, (side, path) in zip(CODES, re.findall(r'viewBox="0 0 (\d+) .*?d="([^"]+)"', page), strict=True):
            dark = np.zeros((int(side), int(side)), bool)
            for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", path):
                dark[int(y), int(x)] = True
            assert read(dark) == f"{settings.PUBLIC_URL}/?door=river.{code}"

    def test_a_name_is_never_markup(self, river: Joined) -> None:
        drawn = example()
        drawn["features"].append(feature("gate", [0, 40], code="G2", name="<script>alert(1)</script>"))
        assert river.put("/directory/map/", drawn).status_code == 200
        page = door_codes.sheet(hospital_id=river.hospital_id)
        assert "<script>" not in page and "&lt;script&gt;" in page

    def test_one_buildings_doors(self, river: Joined) -> None:
        page = door_codes.sheet(hospital_id=river.hospital_id, building="1")
        assert re.findall(r'aria-label="([^"]+)"', page) == CODES[1:]

    def test_it_is_fetched_with_the_hospitals_own_token(self, river: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = river.get("/directory/map/doors/")
        assert (answer.status_code, answer["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "attachment" in answer["Content-Disposition"] and answer.content.decode().count("<svg") == len(CODES)
        assert river.get("/directory/map/doors/?building=1").content.decode().count("<svg") == len(CODES) - 1
        monkeypatch.setattr(facts, "DOOR_CODES_MOST", 3)
        assert river.get("/directory/map/doors/").json()["code"] == "too_large"
        other = joined("spy")
        assert other.get("/directory/map/doors/").json()["code"] == "no_map"

    def test_the_command_prints_it(self, river: Joined) -> None:
        printed = StringIO()
        call_command("door_codes", "river", stdout=printed)
        assert printed.getvalue().count("<svg") == len(CODES)
        with pytest.raises(CommandError):
            call_command("door_codes", "nowhere")


class TestScanned:
    def test_each_code_is_a_place_to_begin(self, river: Joined) -> None:
        for code in CODES:
            found = maps.scanned(hospital_id=river.hospital_id, code=f"river.{code}")
            assert found.code == code and found.kind in ("gate", "entrance", "door")

    @pytest.mark.parametrize("code", ["spy.GATE", "GATE", "", ".GATE", "nowhere.GATE", "\ud800.GATE", "\0.GATE"])
    def test_a_code_of_another_hospital(self, river: Joined, code: str) -> None:
        joined("spy")
        with pytest.raises(UnknownPlace) as caught:
            maps.scanned(hospital_id=river.hospital_id, code=code)
        assert caught.value.code == "other_hospital"

    def test_a_door_that_is_gone(self, river: Joined) -> None:
        with pytest.raises(UnknownPlace) as caught:
            maps.scanned(hospital_id=river.hospital_id, code="river.D-9")
        assert caught.value.code == "unknown_place"
