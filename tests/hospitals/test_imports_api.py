"""Uploads over HTTP: one file of many rows, each faulty line told by its number, hindering no other."""

from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache

from hospitals import tenancy
from hospitals.models import ImportRun, Practitioner
from hospitals.services import importing
from tests.hospitals.joining import Joined, at, code_of, fill, rows, upload

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_counters() -> None:
    cache.clear()


def test_one_file_of_all_kinds(river: Joined) -> None:
    run = uuid4()
    answer = upload(river, rows(), run=run)
    assert answer.status_code == 201, answer.content
    report = answer.json()
    assert (report["state"], report["read"], report["written"], report["refused"]) == ("finished", 8, 8, 0)
    assert river.get(f"/imports/{run}/").json() == report
    assert upload(river, [], run=run).json() == report  # the same address again does nothing
    assert upload(river, rows()).json()["unchanged"] == 8


def test_each_faulty_line_is_told_and_hinders_no_other(river: Joined) -> None:
    lines = [*rows(), "{nonsense", {"kind": "moons", "identifier": "x"}, {"kind": "campuses", "identifier": "-"}]
    lines += [
        "",
        [1],
        {"kind": "campuses", "identifier": "c2", "name": ""},
        {"kind": "campuses", "identifier": "c3", "name": "院"},
    ]
    report = upload(river, lines).json()
    assert (report["written"], report["refused"]) == (9, 5)
    assert [(f["line"], f["code"]) for f in report["faults"]] == [
        (9, "bad_json"),
        (10, "unknown_kind"),
        (11, "bad_identifier"),
        (13, "not_an_object"),
        (14, "string_too_short"),
    ]


def test_a_dry_run_finds_the_same_faults_and_writes_nothing(river: Joined) -> None:
    orphan = {"kind": "buildings", "identifier": "B9", "campus": "nowhere", "name": "楼"}
    report = upload(river, [*rows(), orphan], query="?dry_run=true").json()
    assert (report["dry_run"], report["written"], report["refused"]) == (True, 8, 1)
    assert report["faults"][0]["code"] == "unknown_reference"
    assert not Practitioner.objects.exists()


def test_csv_has_one_kind_a_file(river: Joined) -> None:
    fill(river)
    lines = [
        "\ufeffidentifier,name,department,title",
        "P2,白露,D1,",
        '"P3","青山, 远",D1,医师',
        "P4,无科,D9,",
        "P5,x",
    ]
    report = upload(river, lines, query="?kind=practitioners", media="text/csv").json()
    assert (report["written"], [(f["line"], f["code"]) for f in report["faults"]]) == (
        2,
        [(5, "wrong_number_of_cells"), (4, "unknown_reference")],
    )
    assert river.get("/directory/practitioners/P3/").json()["name"] == "青山, 远"
    slots = [f"T{n},S1,{at(10, n)},{at(11, n)},3,,no" for n in range(2)]
    report = upload(
        river,
        ["identifier,schedule,start,end,capacity,fee_fen,stopped", *slots],
        query="?kind=slots",
        media="text/csv",
    ).json()
    assert (report["written"], report["faults"]) == (2, [])


def test_a_csv_may_give_what_a_row_need_not_have(river: Joined) -> None:
    fill(river)
    lines = ["identifier,schedule,start,end,capacity,free", f"T1,S1,{at(9)},{at(9, 30)},5,3"]
    assert upload(river, lines, query="?kind=slots", media="text/csv").json()["faults"] == []
    assert river.get("/directory/slots/T1/").json()["free"] == 3
    day = at(9)[:10]
    lines = ["identifier,department,practitioner,day,period,stopped", f"S1,D1 ,P1,{day},morning,是"]
    assert upload(river, lines, query="?kind=schedules", media="text/csv").json()["faults"] == []
    assert river.get("/directory/schedules/S1/").json()["stopped"] is True


@pytest.mark.parametrize(
    ("kind", "header", "cells", "shown"),
    [
        ("slots", "schedule,start,end,capacity,free", f"S1,{at(10)},{at(11)},3,2", {"free": 2}),
        (
            "schedules",
            "department,practitioner,day,period,stopped",
            "D1,P1,2031-05-06,morning,是",
            {"stopped": True},
        ),
        (
            "schedules",
            "department,practitioner,day,period,stopped",
            "D1,P1,2031-05-06,morning,否",
            {"stopped": False},
        ),
    ],
)
def test_a_csv_cell_is_read_as_what_its_column_holds(
    river: Joined, kind: str, header: str, cells: str, shown: dict[str, Any]
) -> None:
    """Also where a column may be left out altogether."""
    fill(river)
    report = upload(river, [f"identifier,{header}", f"X1,{cells}"], query=f"?kind={kind}", media="text/csv").json()
    assert report["faults"] == []
    assert river.get(f"/directory/{kind}/X1/").json().items() >= shown.items()


@pytest.mark.parametrize("cell", ["--5", "5-", "1e3", "٣"])
def test_a_csv_cell_that_is_no_number_is_a_fault_of_its_line(river: Joined, cell: str) -> None:
    fill(river)
    lines = ["identifier,schedule,start,end,capacity"]
    lines += [f"{name},S1,{at(10)},{at(11)},{capacity}" for name, capacity in (("T1", cell), ("T2", "3"))]
    report = upload(river, lines, query="?kind=slots", media="text/csv").json()
    assert (report["written"], [(f["line"], f["pointer"]) for f in report["faults"]]) == (1, [(2, "/capacity")])


@pytest.mark.parametrize(
    ("query", "media", "status"),
    [
        ("", "text/csv", 400),
        ("?kind=moons", "text/csv", 400),
        ("", "application/xml", 415),
        ("?dry_run=1", "text/csv", 400),
    ],
)
def test_what_cannot_be_read_is_refused(river: Joined, query: str, media: str, status: int) -> None:
    assert upload(river, [], query=query, media=media).status_code == status


def test_a_csv_without_identifiers_fails_as_a_whole(river: Joined) -> None:
    run = uuid4()
    answer = upload(river, ["name", "x"], query="?kind=campuses", media="text/csv", run=run)
    assert code_of(answer, 400) == "bad_header"
    assert river.get(f"/imports/{run}/").json()["state"] == "failed"


def test_a_line_or_a_file_without_end_is_refused(river: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(upload(river, ["x" * 200_000]), 413) == "too_large"
    monkeypatch.setattr(importing, "MOST_BYTES", 100)
    assert code_of(upload(river, rows()), 413) == "too_large"


def test_the_same_identifier_twice_means_the_later_one(river: Joined) -> None:
    lines = [{"kind": "campuses", "identifier": "c", "name": name} for name in ("先", "后")]
    assert upload(river, lines).json()["written"] == 2
    assert river.get("/directory/campuses/c/").json()["name"] == "后"


def test_two_floors_that_take_one_number_are_a_fault_of_the_later_line(river: Joined) -> None:
    fill(river)
    floor = {"kind": "floors", "building": "B1", "name": "楼上"}
    upload(river, [{**floor, "identifier": f"U{n}", "number": n} for n in (11, 12)])
    lines = [{**floor, "identifier": name, "number": 20} for name in ("U11", "U12", "U13")]
    report = upload(river, [*lines, {"kind": "campuses", "identifier": "new", "name": "新院"}]).json()
    assert [(f["line"], f["code"]) for f in report["faults"]] == [(2, "floor_taken"), (3, "floor_taken")]
    assert (report["state"], report["written"]) == ("finished", 2)


def test_it_is_read_as_a_stream_in_batches(river: Joined) -> None:
    lines = importing.ndjson(piece for piece in [b'{"a"', b":1}\r\n\n", b'{"a":2}', b"\n[", b"]"])
    assert list(lines) == [(1, {"a": 1}), (3, {"a": 2}), (4, [])]
    many = [{"kind": "campuses", "identifier": f"c{n}", "name": "院"} for n in range(1200)]
    assert upload(river, many).json()["written"] == 1200


def test_an_upload_under_way_is_not_begun_again(river: Joined) -> None:
    run = uuid4()
    with tenancy.scope(river.hospital_id):
        ImportRun.objects.create(id=run, hospital_id=river.hospital_id)
    assert code_of(upload(river, rows(), run=run), 409) == "in_progress"


@pytest.mark.parametrize("charset", ["gbk", "GB2312", "gb18030"])
def test_a_file_as_excel_saves_it_is_read_in_the_encoding_it_is_said_to_have(river: Joined, charset: str) -> None:
    """Not guessed: 隆 in GBK is ¡ in UTF-8."""
    body = "identifier,name\r\nc1,隆\r\nc2,本部\r\n".encode("gbk")
    path, media = f"/imports/{uuid4()}/?kind=campuses", f"text/csv; charset={charset}"
    assert river.call("PUT", path, body, media=media).json()["faults"] == []
    assert [river.get(f"/directory/campuses/{name}/").json()["name"] for name in ("c1", "c2")] == ["隆", "本部"]


def test_an_encoding_that_is_not_so_is_a_fault_of_its_line(river: Joined) -> None:
    body = b"identifier,name\nc1,\xc4\xcf\nc2,\xff\n"
    for charset, faults in (("", [(2, "not_utf8"), (3, "not_utf8")]), ("; charset=gbk", [(3, "bad_encoding")])):
        report = river.call("PUT", f"/imports/{uuid4()}/?kind=campuses", body, media=f"text/csv{charset}").json()
        assert [(fault["line"], fault["code"]) for fault in report["faults"]] == faults


def test_an_encoding_that_nobody_here_reads_is_refused(river: Joined) -> None:
    answer = river.call("PUT", f"/imports/{uuid4()}/?kind=campuses", "identifier\n", media="text/csv; charset=utf-16")
    assert code_of(answer, 400) == "unknown_charset"


def test_a_rehearsal_is_followed_by_the_upload_itself_at_the_same_address(river: Joined) -> None:
    run = uuid4()
    assert upload(river, rows(), query="?dry_run=true", run=run).json()["dry_run"] is True
    report = upload(river, rows(), run=run).json()
    assert (report["dry_run"], report["written"]) == (False, 8)
    assert Practitioner.objects.count() == 1
    assert upload(river, [], query="?dry_run=true", run=run).json() == report
