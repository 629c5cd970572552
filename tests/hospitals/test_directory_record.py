"""What a hospital's clients change in its directory one at a time is on the audit log: which row, which columns, no values."""

from typing import Any

import pytest
from django.core.cache import cache

from hospitals import floor_layout
from hospitals.audit import proof
from hospitals.models import AuditEvent
from tests.hospitals.joining import Joined, fill, joined, rows

GATE = {"at": [0, 0], "code": "G1", "name": "南门"}
WAY = {"points": [[0, 0], [100, 0]]}
pytestmark = pytest.mark.django_db


@pytest.fixture
def river() -> Joined:
    cache.clear()
    made = joined("river")
    fill(made)
    return made


def on_record(river: Joined) -> list[tuple[str, str, str, str]]:
    seen = AuditEvent.objects.filter(chain_id=river.hospital_id, action__startswith="directory.").order_by("number")
    assert {row.actor for row in seen} == {river.client_id}
    return [(row.action, row.entity, row.entity_id, row.detail) for row in seen]


def body(kind: str) -> dict[str, Any]:
    row = next(row for row in rows() if row["kind"] == kind)
    return {k: v for k, v in row.items() if k not in ("kind", "identifier")}


def test_each_row_made_is_on_record_once(river: Joined) -> None:
    assert on_record(river) == [("directory.created", row["kind"], row["identifier"], "") for row in rows()]
    fill_again = river.put("/directory/campuses/main/", body("campuses"))
    assert fill_again.status_code == 200
    assert len(on_record(river)) == len(rows())


def test_a_change_is_on_record_by_the_columns_names(river: Joined) -> None:
    river.call("PATCH", "/directory/practitioners/P1/", {"title": "医师", "specialty": "白内障"})
    river.put("/directory/schedules/S1/", body("schedules") | {"stopped": True})
    assert on_record(river)[len(rows()) :] == [
        ("directory.updated", "practitioners", "P1", "specialty,title"),
        ("directory.updated", "schedules", "S1", "stopped_at"),
    ]


def test_how_many_places_are_left_does_not_fill_the_log(river: Joined) -> None:
    for free in (4, 3, 2):
        assert river.put("/directory/slots/T1/", body("slots") | {"free": free}).status_code == 200
    assert len(on_record(river)) == len(rows())
    river.put("/directory/slots/T1/", body("slots") | {"free": 1, "fee_fen": 9900})
    assert on_record(river)[-1] == ("directory.updated", "slots", "T1", "fee_fen")


def test_what_is_taken_out_is_on_record_once_and_so_is_its_return(river: Joined) -> None:
    for _ in range(2):
        assert river.call("DELETE", "/directory/notices/N1/").status_code == 204
    river.put("/directory/notices/N1/", body("notices"))
    assert on_record(river)[len(rows()) :] == [
        ("directory.withdrawn", "notices", "N1", ""),
        ("directory.updated", "notices", "N1", "withdrawn_at"),
    ]


def test_what_is_refused_is_not(river: Joined) -> None:
    assert river.put("/directory/campuses/main/", {"name": "x" * 99}).status_code == 400
    assert river.put("/directory/campuses/main/", {"name": "东院区"}, if_match='"x"').status_code == 412
    assert len(on_record(river)) == len(rows())


def test_map_lexicon_and_fee_are_on_record(river: Joined) -> None:
    drawn = floor_layout.geojson({"buildings": [], "outdoors": {"gates": [GATE], "ways": [WAY]}})
    assert river.put("/directory/map/", drawn).status_code == 200
    assert river.put("/directory/lexicon/", {"entries": [{"written": "岚", "spoken": "兰"}]}).status_code == 200
    for _ in range(2):
        assert river.put("/directory/practitioners/P1/fee/", {"fee_fen": 5000}).status_code == 200
    assert on_record(river)[len(rows()) :] == [
        ("directory.map", "map", "v1", ""),
        ("directory.lexicon", "hospital", str(river.hospital_id), ""),
        ("directory.fee", "practitioners", "P1", ""),
    ]
    assert list(proof.whole()) == []
