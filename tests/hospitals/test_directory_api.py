"""The directory over HTTP: written by the hospital's own identifiers, read back in the order of change, never lost or mixed."""

import json
from typing import Any
from uuid import uuid4

import pytest
import yaml
from django.core.cache import cache
from django.db import IntegrityError

from hospitals import seed, tenancy
from hospitals.models import Appointment, Department, Hospital, IdempotentAnswer, ImportRun, Practitioner, Slot
from hospitals.services import directory, feed, importing, standard_departments
from tests.hospitals.joining import Joined, at, fill, joined, rows
from tests.hospitals.own_rows import change

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_counters() -> None:
    cache.clear()


@pytest.fixture
def river() -> Joined:
    return joined("river")


def code_of(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.content
    return answer.json()["code"]


def upload(
    hospital: Joined, lines: list[Any], *, query: str = "", media: str = "application/x-ndjson", run: Any = None
) -> Any:
    body = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines) or "\n"
    return hospital.call("PUT", f"/imports/{run or uuid4()}/{query}", body, media=media)


class TestOneRow:
    def test_it_is_made_changed_and_read_back_by_its_own_identifier(self, river: Joined) -> None:
        fill(river)
        again = river.put("/directory/campuses/main/", {"name": "东院区"})
        assert again.status_code == 200
        body = river.get("/directory/campuses/main/").json()
        assert (body["identifier"], body["name"], body["address"]) == ("main", "东院区", "")

    def test_a_patch_touches_only_what_it_names_and_null_takes_back(self, river: Joined) -> None:
        fill(river)
        path = "/directory/practitioners/P1/"
        river.call("PATCH", path, {"specialty": "白内障"}, media="application/merge-patch+json")
        body = river.call("PATCH", path, {"title": None}).json()
        assert (body["name"], body["title"], body["specialty"], body["department"]) == ("高明", "", "白内障", "D1")
        assert code_of(river.call("PATCH", "/directory/practitioners/P9/", {"title": "x"}), 404) == "not_found"

    @pytest.mark.parametrize("row", rows(), ids=lambda row: row["kind"])
    def test_writing_the_same_again_changes_nothing(self, river: Joined, row: dict[str, Any]) -> None:
        fill(river)
        path = f"/directory/{row['kind']}/{row['identifier']}/"
        before = river.get(path)
        body = {k: v for k, v in row.items() if k not in ("kind", "identifier")}
        again = river.put(path, body)
        assert again.status_code == 200 and again["ETag"] == before["ETag"]
        assert again.json() == before.json()

    def test_a_stale_picture_is_412_and_nothing_is_written(self, river: Joined) -> None:
        fill(river)
        path = "/directory/campuses/main/"
        tag = river.get(path)["ETag"]
        assert river.put(path, {"name": "一院区"}, if_match=tag).status_code == 200
        assert code_of(river.put(path, {"name": "二院区"}, if_match=tag), 412) == "outdated"
        assert code_of(river.call("DELETE", path, if_match=tag), 412) == "outdated"
        assert river.get(path).json()["name"] == "一院区"
        assert code_of(river.put(path, {"name": "三院区"}, if_none_match="*"), 412) == "already_exists"
        assert code_of(river.put("/directory/campuses/new/", {"name": "新"}, if_match='"x"'), 412) == "outdated"

    def test_what_is_unchanged_is_not_sent_again(self, river: Joined) -> None:
        fill(river)
        tag = river.get("/directory/campuses/main/")["ETag"]
        answer = river.get("/directory/campuses/main/", if_none_match=tag)
        assert (answer.status_code, answer.content) == (304, b"")

    def test_a_faulty_row_names_the_place_and_quotes_nothing(self, river: Joined) -> None:
        answer = river.put("/directory/campuses/main/", {"name": "x" * 99, "secret-field": 1})
        assert code_of(answer, 400) == "string_too_long"
        fault = answer.json()["errors"][0]
        assert fault["pointer"] == "/name" and fault["also"][0]["code"] == "extra_forbidden"
        assert b"xxx" not in answer.content

    def test_what_it_names_must_be_there_and_its_own(self, river: Joined) -> None:
        hill = joined("hill")
        fill(hill)
        answer = river.put("/directory/buildings/B1/", {"campus": "main", "name": "门诊楼"})
        assert code_of(answer, 400) == "unknown_reference"
        assert answer.json()["errors"][0]["kind"] == "campuses"

    @pytest.mark.parametrize("identifier", ["-x", "a b", "楼", "x" * 65])
    def test_an_identifier_has_a_form(self, river: Joined, identifier: str) -> None:
        assert code_of(river.put(f"/directory/campuses/{identifier}/", {"name": "院"}), 400) == "bad_identifier"

    def test_the_body_is_an_object(self, river: Joined) -> None:
        for body in ("[]", '"x"', "3", "[" * 100_000):
            assert river.put("/directory/campuses/main/", body).status_code == 400


class TestDepartments:
    @pytest.mark.parametrize(
        ("own", "standard"),
        [("耳鼻喉科", "耳鼻咽喉科"), ("心内科", "心血管内科"), ("眼科", "眼科"), ("骨科门诊", "骨科")],
    )
    def test_its_own_name_is_mapped(self, river: Joined, own: str, standard: str) -> None:
        body = river.put("/directory/departments/D1/", {"name": own}).json()
        assert (body["name"], body["standard_name"]) == (own, standard)
        assert body["national_code"] == Department.objects.get().national_code != ""

    def test_what_cannot_be_mapped_is_refused_with_the_nearest(self, river: Joined) -> None:
        answer = river.put("/directory/departments/D1/", {"name": "心脏中心"})
        assert code_of(answer, 400) == "unmapped_department"
        assert "心血管内科" in answer.json()["errors"][0]["suggestions"]
        mended = river.put("/directory/departments/D1/", {"name": "心脏中心", "standard_name": "心血管内科"})
        assert mended.json()["standard_name"] == "心血管内科"

    def test_a_new_own_name_means_its_own_department(self, river: Joined) -> None:
        river.put("/directory/departments/D1/", {"name": "眼科"})
        body = river.call("PATCH", "/directory/departments/D1/", {"name": "牙科"}).json()
        assert (body["standard_name"], body["national_code"]) == ("口腔科", "12")

    def test_the_demo_province_uses_the_same_list(self) -> None:
        province = yaml.safe_load((seed.DATA / "province.yaml").read_text(encoding="utf-8"))
        assert {(d.name, d.code) for d in standard_departments.listed()} == set(map(tuple, province["departments"]))

    def test_no_name_means_two_departments(self) -> None:
        names = [n for d in standard_departments.listed() for n in (d.name, *d.also)]
        assert len(names) == len(set(names))


class TestSlots:
    @pytest.fixture(autouse=True)
    def _filled(self, river: Joined) -> None:
        fill(river)

    def slot(self, river: Joined, **changes: Any) -> Any:
        body = {"schedule": "S1", "start": at(9), "end": at(9, 30), "capacity": 5, "fee_fen": 2500}
        return river.put("/directory/slots/T1/", body | changes)

    def test_a_new_capacity_moves_the_free_places_with_it(self, river: Joined) -> None:
        change(Slot, Slot.objects.get().id, free=2)  # three were booked
        assert self.slot(river, capacity=8).json()["free"] == 5
        assert self.slot(river, capacity=1).json()["free"] == 0

    def test_places_the_hospital_cannot_know_of_are_not_sold_twice(self, river: Joined) -> None:
        slot = Slot.objects.get()
        with tenancy.scope(river.hospital_id):
            common = {"hospital_id": river.hospital_id, "slot": slot, "card": {}, "id_number_index": "0" * 64}
            Appointment.objects.create(**common, subject=uuid4(), idempotency_key="a", state="pending")
            Appointment.objects.create(**common, subject=uuid4(), idempotency_key="b", state="booked")
        assert self.slot(river, free=4).json()["free"] == 3

    def test_bookings_do_not_make_the_hospitals_picture_stale(self, river: Joined) -> None:
        tag = river.get("/directory/slots/T1/")["ETag"]
        change(Slot, Slot.objects.get().id, free=1)
        assert self.slot(river, fee_fen=3000).status_code == 200
        assert river.get("/directory/slots/T1/")["ETag"] != tag

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"end": at(9)}, "not_after_start"),
            ({"free": 6}, "more_than_capacity"),
            ({"capacity": -1}, "greater_than_equal"),
            ({"start": "2026-01-01T09:00:00+08:00", "end": "2026-01-01T09:30:00+08:00"}, "another_day"),
            ({"start": "0001-01-01T00:00:00+14:00"}, "value_error"),
            ({"start": "2026-01-01T09:00:00"}, "timezone_aware"),
            ({"schedule": "S9"}, "unknown_reference"),
        ],
    )
    def test_impossible_slots_are_refused(self, river: Joined, changes: dict[str, Any], code: str) -> None:
        assert code_of(self.slot(river, **changes), 400) == code

    def test_a_stopped_clinic_stops_its_slots_and_back(self, river: Joined) -> None:
        path = "/directory/schedules/S1/"
        river.call("PATCH", path, {"stopped": True})
        slot = river.get("/directory/slots/T1/").json()
        assert (slot["stopped"], slot["on_sale"]) == (False, False)
        assert self.slot(river).json()["on_sale"] is False  # written again as it is, it stays off sale
        river.call("PATCH", path, {"stopped": False})
        slot = river.get("/directory/slots/T1/").json()
        assert (slot["stopped"], slot["on_sale"]) == (False, True)

    def test_a_fee_for_all_coming_slots_of_a_practitioner(self, river: Joined) -> None:
        path = "/directory/practitioners/P1/fee/"
        assert river.put(path, {"fee_fen": 900}).json() == {"slots_changed": 1}
        assert river.put(path, {"fee_fen": 900}).json() == {"slots_changed": 0}
        assert river.get("/directory/slots/T1/").json()["fee_fen"] == 900
        assert code_of(river.put("/directory/practitioners/P9/fee/", {"fee_fen": 1}), 404) == "not_found"
        assert code_of(river.put("/directory/practitioners/P%00/fee/", {"fee_fen": 1}), 400) == "bad_identifier"

    @pytest.mark.services
    @pytest.mark.parametrize("identifier", ["%00", "P1%00", "x" * 65, "a%20b"])
    def test_what_is_no_identifier_is_looked_for_nowhere(self, river: Joined, identifier: str) -> None:
        for method, path, body in (
            ("PUT", f"/directory/practitioners/{identifier}/fee/", {"fee_fen": 1}),
            ("GET", f"/directory/practitioners/{identifier}/", None),
            ("PUT", f"/directory/practitioners/{identifier}/", {"name": "高明", "department": "D1"}),
            ("DELETE", f"/directory/practitioners/{identifier}/", None),
        ):
            assert code_of(river.call(method, path, body), 400) == "bad_identifier", (method, path)

    def test_residents_find_it_once_the_hospital_is_live(self, river: Joined) -> None:
        from datetime import timedelta

        from django.utils import timezone

        def search() -> list[Any]:
            now = timezone.now()
            return directory.search_slots(departments=("眼科",), start=now, end=now + timedelta(days=3))

        assert search() == []
        change(Hospital, river.hospital_id, state="live")
        assert [(o.practitioner, o.free) for o in search()] == [("高明", 5)]


class TestReadingInStep:
    def pages(self, river: Joined, cursor: str = "", limit: int = 3) -> tuple[list[str], str]:
        seen: list[str] = []
        while True:
            body = river.get(f"/directory/campuses/?limit={limit}&cursor={cursor}").json()
            seen += [item["identifier"] for item in body["items"]]
            cursor = body["cursor"]
            if not body["more"]:
                return seen, cursor

    def test_paging_shows_every_row_once(self, river: Joined) -> None:
        upload(river, [{"kind": "campuses", "identifier": f"c{n}", "name": "院区"} for n in range(8)])
        seen, _cursor = self.pages(river)
        assert sorted(seen) == [f"c{n}" for n in range(8)]

    def test_the_last_cursor_brings_what_changed_and_what_was_withdrawn(
        self, river: Joined, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload(river, [{"kind": "campuses", "identifier": f"c{n}", "name": "院区"} for n in range(5)])
        monkeypatch.setattr(feed, "SETTLED_AFTER", feed.timedelta(0))
        _seen, cursor = self.pages(river)
        assert self.pages(river, cursor)[0] == []
        river.call("PATCH", "/directory/campuses/c3/", {"name": "新院区"})
        assert river.call("DELETE", "/directory/campuses/c1/").status_code == 204
        changed = river.get(f"/directory/campuses/?cursor={cursor}").json()["items"]
        assert [(c["identifier"], c["withdrawn_at"] is None) for c in changed] == [("c3", True), ("c1", False)]
        offered = river.get("/directory/campuses/?withdrawn=false").json()["items"]
        assert "c1" not in [c["identifier"] for c in offered]

    def test_a_write_under_way_while_the_last_page_was_read_is_not_missed(self, river: Joined) -> None:
        _seen, cursor = self.pages(river)
        river.put("/directory/campuses/late/", {"name": "院区"})
        assert self.pages(river, cursor)[0] == ["late"]
        assert self.pages(river, self.pages(river, cursor)[1])[0] == ["late"]  # again, rather than never

    def test_a_withdrawn_row_cannot_be_named_and_comes_back_when_written(self, river: Joined) -> None:
        fill(river)
        river.call("DELETE", "/directory/departments/D1/")
        refused = river.put("/directory/practitioners/P2/", {"department": "D1", "name": "白露"})
        assert code_of(refused, 400) == "unknown_reference"
        assert code_of(river.call("PATCH", "/directory/departments/D1/", {"bookable": False}), 404) == "not_found"
        river.put("/directory/departments/D1/", {"name": "眼科"})
        assert river.put("/directory/practitioners/P2/", {"department": "D1", "name": "白露"}).status_code == 201

    @pytest.mark.parametrize(
        "query", ["cursor=x", "cursor=WzFd", "limit=0", "limit=9999", "limit=x", "limit=000001999", "withdrawn=maybe"]
    )
    def test_what_cannot_be_read_is_400(self, river: Joined, query: str) -> None:
        assert river.get(f"/directory/campuses/?{query}").status_code == 400


class TestOnce:
    def test_the_same_key_does_it_once_and_answers_the_same(self, river: Joined) -> None:
        path, body = "/directory/campuses/main/", {"name": "本部"}
        first = river.put(path, body, idempotency_key="k1")
        river.put(path, {"name": "改过"})
        again = river.put(path, body, idempotency_key="k1")
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json() and again["ETag"] == first["ETag"]
        assert again["Idempotent-Replayed"] == "true"
        assert river.get(path).json()["name"] == "改过"

    def test_the_same_key_for_something_else_is_refused(self, river: Joined) -> None:
        river.put("/directory/campuses/main/", {"name": "本部"}, idempotency_key="k1")
        answer = river.put("/directory/campuses/main/", {"name": "东院"}, idempotency_key="k1")
        assert code_of(answer, 422) == "idempotency_conflict"

    @pytest.mark.parametrize("key", ["", "a b", "x" * 121, "键"])
    def test_a_key_that_is_none_is_said_and_nothing_is_done(self, river: Joined, key: str) -> None:
        answer = river.put("/directory/campuses/main/", {"name": "本部"}, idempotency_key=key)
        assert code_of(answer, 400) == "bad_idempotency_key"
        assert code_of(river.get("/directory/campuses/main/"), 404) == "not_found"

    def test_a_refused_write_leaves_the_key_free(self, river: Joined) -> None:
        path = "/directory/buildings/B1/"
        body = {"campus": "main", "name": "门诊楼"}
        assert river.put(path, body, idempotency_key="k1").status_code == 400
        river.put("/directory/campuses/main/", {"name": "本部"})
        assert river.put(path, body, idempotency_key="k1").status_code == 201

    def test_a_key_whose_first_request_is_refused_at_that_moment_is_a_conflict(
        self, river: Joined, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The row is in the way when it is to be made, and gone when it is to be read."""

        def refused_meanwhile(**_given: Any) -> None:
            raise IntegrityError

        monkeypatch.setattr(IdempotentAnswer.objects, "create", refused_meanwhile)
        answer = river.put("/directory/campuses/main/", {"name": "本部"}, idempotency_key="k1")
        assert code_of(answer, 409) == "in_progress"

    def test_two_hospitals_may_use_the_same_key(self, river: Joined) -> None:
        hill = joined("hill")
        for hospital in (river, hill):
            answer = hospital.put("/directory/campuses/main/", {"name": hospital.code}, idempotency_key="k1")
            assert (answer.status_code, answer.json()["name"]) == (201, hospital.code)


class TestImports:
    def test_one_file_of_all_kinds(self, river: Joined) -> None:
        run = uuid4()
        answer = upload(river, rows(), run=run)
        assert answer.status_code == 201, answer.content
        report = answer.json()
        assert (report["state"], report["read"], report["written"], report["refused"]) == ("finished", 8, 8, 0)
        assert river.get(f"/imports/{run}/").json() == report
        assert upload(river, [], run=run).json() == report  # the same address again does nothing
        assert upload(river, rows()).json()["unchanged"] == 8

    def test_each_faulty_line_is_told_and_hinders_no_other(self, river: Joined) -> None:
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

    def test_a_dry_run_finds_the_same_faults_and_writes_nothing(self, river: Joined) -> None:
        orphan = {"kind": "buildings", "identifier": "B9", "campus": "nowhere", "name": "楼"}
        report = upload(river, [*rows(), orphan], query="?dry_run=true").json()
        assert (report["dry_run"], report["written"], report["refused"]) == (True, 8, 1)
        assert report["faults"][0]["code"] == "unknown_reference"
        assert not Practitioner.objects.exists()

    def test_csv_has_one_kind_a_file(self, river: Joined) -> None:
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

    def test_a_csv_may_give_what_a_row_need_not_have(self, river: Joined) -> None:
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
        self, river: Joined, kind: str, header: str, cells: str, shown: dict[str, Any]
    ) -> None:
        """Also where a column may be left out altogether."""
        fill(river)
        report = upload(river, [f"identifier,{header}", f"X1,{cells}"], query=f"?kind={kind}", media="text/csv").json()
        assert report["faults"] == []
        assert river.get(f"/directory/{kind}/X1/").json().items() >= shown.items()

    @pytest.mark.parametrize("cell", ["--5", "5-", "1e3", "٣"])
    def test_a_csv_cell_that_is_no_number_is_a_fault_of_its_line(self, river: Joined, cell: str) -> None:
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
    def test_what_cannot_be_read_is_refused(self, river: Joined, query: str, media: str, status: int) -> None:
        assert upload(river, [], query=query, media=media).status_code == status

    def test_a_csv_without_identifiers_fails_as_a_whole(self, river: Joined) -> None:
        run = uuid4()
        answer = upload(river, ["name", "x"], query="?kind=campuses", media="text/csv", run=run)
        assert code_of(answer, 400) == "bad_header"
        assert river.get(f"/imports/{run}/").json()["state"] == "failed"

    def test_a_line_or_a_file_without_end_is_refused(self, river: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
        assert code_of(upload(river, ["x" * 200_000]), 413) == "too_large"
        monkeypatch.setattr(importing, "MOST_BYTES", 100)
        assert code_of(upload(river, rows()), 413) == "too_large"

    def test_the_same_identifier_twice_means_the_later_one(self, river: Joined) -> None:
        lines = [{"kind": "campuses", "identifier": "c", "name": name} for name in ("先", "后")]
        assert upload(river, lines).json()["written"] == 2
        assert river.get("/directory/campuses/c/").json()["name"] == "后"

    def test_two_floors_that_take_one_number_are_a_fault_of_the_later_line(self, river: Joined) -> None:
        fill(river)
        floor = {"kind": "floors", "building": "B1", "name": "楼上"}
        upload(river, [{**floor, "identifier": f"U{n}", "number": n} for n in (11, 12)])
        lines = [{**floor, "identifier": name, "number": 20} for name in ("U11", "U12", "U13")]
        report = upload(river, [*lines, {"kind": "campuses", "identifier": "new", "name": "新院"}]).json()
        assert [(f["line"], f["code"]) for f in report["faults"]] == [(2, "floor_taken"), (3, "floor_taken")]
        assert (report["state"], report["written"]) == ("finished", 2)

    def test_it_is_read_as_a_stream_in_batches(self, river: Joined) -> None:
        lines = importing.ndjson(piece for piece in [b'{"a"', b":1}\r\n\n", b'{"a":2}', b"\n[", b"]"])
        assert list(lines) == [(1, {"a": 1}), (3, {"a": 2}), (4, [])]
        many = [{"kind": "campuses", "identifier": f"c{n}", "name": "院"} for n in range(1200)]
        assert upload(river, many).json()["written"] == 1200

    def test_an_upload_under_way_is_not_begun_again(self, river: Joined) -> None:
        run = uuid4()
        with tenancy.scope(river.hospital_id):
            ImportRun.objects.create(id=run, hospital_id=river.hospital_id)
        assert code_of(upload(river, rows(), run=run), 409) == "in_progress"


class TestWholeThings:
    def test_its_rules_are_its_own_but_not_its_name(self, river: Joined) -> None:
        answer = river.call("PATCH", "/hospital/", {"hold_min": 5, "name": "别家医院", "state": "live"})
        assert (answer.json()["hold_min"], answer.json()["name"]) == (5, "river医院")
        assert Hospital.objects.get(code="river").state == "sandbox"
        stale = river.call("PATCH", "/hospital/", {"hold_min": 6}, if_match='"old"')
        assert code_of(stale, 412) == "outdated"

    def test_its_level_is_the_commission_s_word(self, river: Joined) -> None:
        before = river.get("/hospital/").json()["level"]
        assert river.call("PATCH", "/hospital/", {"level": "三级甲等"}).json()["level"] == before

    def test_it_says_who_speaks_for_it(self, river: Joined) -> None:
        answer = river.call("PATCH", "/hospital/", {"avatar": "river-nurse", "voice": "zh-CN-XiaoyiNeural"}).json()
        assert (answer["avatar"], answer["voice"]) == ("river-nurse", "zh-CN-XiaoyiNeural")
        found = directory.speaker(hospital_id=river.hospital_id)
        assert (found.avatar, found.voice) == ("river-nurse", "zh-CN-XiaoyiNeural")
        assert river.call("PATCH", "/hospital/", {"avatar": "../etc"}).status_code == 400

    @pytest.mark.parametrize("nickname", ["hill医院", "山医", "hill"])
    def test_a_nickname_means_one_hospital(self, river: Joined, nickname: str) -> None:
        joined("hill").call("PATCH", "/hospital/", {"nicknames": ["山医"]})
        answer = river.call("PATCH", "/hospital/", {"nicknames": ["江医", nickname]})
        assert code_of(answer, 400) == "nickname_taken"
        assert answer.json()["errors"][0]["pointer"] == "/nicknames/1"
        mended = river.call("PATCH", "/hospital/", {"nicknames": ["江医", "river"]})
        assert mended.json()["nicknames"] == ["江医", "river"]

    @pytest.mark.parametrize("nicknames", [["江"], ["江" * 13], [f"江医{n}" for n in range(6)], ["江医", "江医"]])
    def test_nicknames_are_few_and_short(self, river: Joined, nicknames: list[str]) -> None:
        assert river.call("PATCH", "/hospital/", {"nicknames": nicknames}).status_code == 400
        assert river.get("/hospital/").json()["nicknames"] == []

    def test_the_lexicon_is_replaced_as_a_whole(self, river: Joined) -> None:
        entries = [{"written": "岚州", "spoken": "lán zhōu"}]
        tag = river.put("/directory/lexicon/", {"entries": entries})["ETag"]
        assert river.get("/directory/lexicon/").json() == {"entries": entries}
        assert directory.speaker(hospital_id=river.hospital_id).lexicon == (("岚州", "lán zhōu"),)
        assert river.put("/directory/lexicon/", {"entries": []}, if_match=tag).json() == {"entries": []}

    def test_a_map_with_faults_is_refused_with_all_of_them(self, river: Joined) -> None:
        empty = {"type": "FeatureCollection", "features": []}
        assert river.get("/directory/map/").json() == empty
        assert (
            river.put("/directory/map/", {"type": "FeatureCollection", "features": [{"type": "Feature"}]}).status_code
            == 400
        )

    def test_a_good_map_gets_a_version(self, river: Joined) -> None:
        from hospitals import floor_layout

        province = yaml.safe_load((seed.DATA / "province.yaml").read_text(encoding="utf-8"))
        drawn = floor_layout.geojson(seed._description(province["hospitals"][0], province))
        first = river.put("/directory/map/", drawn)
        assert first.json() == {"version": 1}
        assert code_of(river.put("/directory/map/", drawn, if_match='"old"'), 412) == "outdated"
        assert river.put("/directory/map/", drawn, if_match=first["ETag"]).json() == {"version": 2}
        assert river.get("/directory/map/").json()["type"] == "FeatureCollection"


def test_a_reading_token_does_not_write() -> None:
    weak = joined(scopes=["directory:read"])
    for method, path in (
        ("PUT", "/directory/campuses/x/"),
        ("DELETE", "/directory/campuses/x/"),
        ("PUT", f"/imports/{uuid4()}/"),
    ):
        assert code_of(weak.call(method, path, {}), 403) == "insufficient_scope"
    assert weak.get("/directory/campuses/").status_code == 200
