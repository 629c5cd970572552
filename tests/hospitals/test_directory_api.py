"""The directory over HTTP: written by the hospital's own identifiers, read back in the order of change, never lost or mixed."""

from typing import Any
from uuid import uuid4

import pytest
import yaml
from django.core.cache import cache
from django.db import IntegrityError

from hospitals import seed, tenancy
from hospitals.models import Appointment, Department, Hospital, IdempotentAnswer, Slot
from hospitals.services import directory, feed, standard_departments
from tests.hospitals.joining import Joined, at, code_of, fill, joined, rows, upload
from tests.hospitals.own_rows import change

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_counters() -> None:
    cache.clear()


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

    @pytest.mark.parametrize(
        ("path", "changes", "words"),
        [
            ("slots/T1", {"capacity": "5"}, "整数"),
            ("slots/T1", {"capacity": 1001}, "1000"),
            ("slots/T1", {"fee_fen": -1}, "0"),
            ("slots/T1", {"start": "tomorrow"}, "2026-03-02T09:00:00+08:00"),
            ("slots/T1", {"stopped": "no"}, "true"),
            ("schedules/S1", {"period": "noon"}, "morning"),
            ("schedules/S1", {"day": "2026/12/01"}, "2026-03-02"),
            ("campuses/main", {"name": "x" * 99}, "60"),
            ("campuses/main", {"name": 5}, "文字"),
        ],
    )
    def test_a_faulty_value_is_told_how_it_is_written(
        self, river: Joined, path: str, changes: dict[str, Any], words: str
    ) -> None:
        fill(river)
        answer = river.call("PATCH", f"/directory/{path}/", changes)
        assert answer.status_code == 400 and words in answer.json()["errors"][0]["detail"]

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

    def test_the_document_lists_all_that_may_be_written(self, river: Joined) -> None:
        shapes = river.get("/openapi.json").json()["components"]["schemas"]
        told = shapes["DepartmentRow"]["properties"]["standard_name"]["description"]
        assert all(department.name in told for department in standard_departments.listed())

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


def test_a_reading_token_does_not_write() -> None:
    weak = joined(scopes=["directory:read"])
    for method, path in (
        ("PUT", "/directory/campuses/x/"),
        ("DELETE", "/directory/campuses/x/"),
        ("PUT", f"/imports/{uuid4()}/"),
    ):
        assert code_of(weak.call(method, path, {}), 403) == "insufficient_scope"
    assert weak.get("/directory/campuses/").status_code == 200
