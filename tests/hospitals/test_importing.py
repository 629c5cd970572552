"""Uploads that end in the middle: a killed process is taken over from, a failure can be mended, and nothing is written twice."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.cache import cache
from django.utils import timezone

from hospitals import tenancy
from hospitals.audit import Actor
from hospitals.exceptions import Conflict
from hospitals.models import AuditEvent, Campus, Hospital, ImportRun
from hospitals.services import importing, upsert
from tests.hospitals.joining import Joined, fill, rows

pytestmark = pytest.mark.django_db
ENGINEER = Actor("hospital", "client")


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(importing, "BATCH", 3)


def lines(count: int, *, name: str = "院区", killed: bool = False) -> Iterator[importing.Line]:
    for n in range(1, count + 1):
        yield n, {"kind": "campuses", "identifier": f"c{n}" if n % 4 else "-", "name": name}
    if killed:
        raise Killed


def begins(river: Joined, run_id: UUID, *, dry_run: bool = False) -> tuple[ImportRun, bool]:
    return importing.begin(run_id=run_id, hospital_id=river.hospital_id, dry_run=dry_run)


def killed_in_the_middle(river: Joined, run_id: UUID, *, dry_run: bool = False) -> None:
    """Seven lines are read, the first six are written: the row stays as the process left it."""
    run, _new = begins(river, run_id, dry_run=dry_run)
    with pytest.raises(Killed):
        importing.perform(run, lines(7, killed=True), actor=ENGINEER)
    ImportRun.objects.filter(id=run_id).update(
        state="running", finished_at=None, progress_at=timezone.now() - importing.STALE_AFTER
    )


def report(river: Joined, run_id: UUID) -> dict[str, Any]:
    return river.get(f"/imports/{run_id}/").json()


def test_how_far_it_is_can_be_read_while_it_runs(river: Joined) -> None:
    run_id = uuid4()
    with tenancy.scope(river.hospital_id):
        killed_in_the_middle(river, run_id)
    seen = report(river, run_id)
    assert (seen["state"], seen["line"], seen["read"], seen["written"], seen["refused"]) == ("running", 6, 6, 5, 1)


def test_a_killed_upload_goes_on_behind_its_last_batch(river: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, written = uuid4(), []
    with tenancy.scope(river.hospital_id):
        killed_in_the_middle(river, run_id)
        write = upsert.write
        monkeypatch.setattr(
            upsert, "write", lambda **given: written.extend(i for i, _row in given["rows"]) or write(**given)
        )
        run, again = begins(river, run_id)
        assert again
        done = importing.perform(run, lines(10), actor=ENGINEER)
    assert written == ["c7", "c9", "c10"]
    assert (done.state, done.read, done.written, done.refused, done.unchanged) == ("finished", 10, 8, 2, 0)
    assert [fault["line"] for fault in done.faults] == [4, 8]


def test_an_upload_that_ended_in_the_middle_is_on_the_audit_log(river: Joined) -> None:
    run_id = uuid4()
    with tenancy.scope(river.hospital_id):
        killed_in_the_middle(river, run_id)
    assert AuditEvent.objects.filter(action="directory.import", entity_id=str(run_id)).count() == 1


def test_a_rehearsal_is_not_on_the_audit_log(river: Joined) -> None:
    with tenancy.scope(river.hospital_id):
        run, _new = begins(river, uuid4(), dry_run=True)
        importing.perform(run, lines(10), actor=ENGINEER)
    assert not AuditEvent.objects.filter(action="directory.import").exists()


def test_one_that_still_makes_progress_is_not_taken_over(river: Joined) -> None:
    run_id = uuid4()
    with tenancy.scope(river.hospital_id):
        killed_in_the_middle(river, run_id)
        ImportRun.objects.update(progress_at=timezone.now() - importing.STALE_AFTER + timedelta(minutes=1))
        with pytest.raises(Conflict) as caught:
            begins(river, run_id)
    assert caught.value.code == "in_progress"


def test_a_slow_process_writes_nothing_once_another_took_over(river: Joined) -> None:
    run_id = uuid4()
    with tenancy.scope(river.hospital_id):
        slow, _new = begins(river, run_id)
        ImportRun.objects.update(progress_at=timezone.now() - importing.STALE_AFTER)
        mine, again = begins(river, run_id)
        assert again
        with pytest.raises(Conflict) as caught:
            importing.perform(slow, lines(3, name="慢"), actor=ENGINEER)
        assert caught.value.code == "taken_over" and not Campus.objects.exists()
        assert importing.perform(mine, lines(3), actor=ENGINEER).state == "finished"


@pytest.mark.parametrize("other", [lines(10, name="别的"), lines(2)], ids=["other rows", "shorter"])
def test_another_file_does_not_go_on_where_the_first_one_ended(river: Joined, other: Iterator[importing.Line]) -> None:
    run_id = uuid4()
    with tenancy.scope(river.hospital_id):
        killed_in_the_middle(river, run_id)
        run, _again = begins(river, run_id)
        with pytest.raises(Conflict) as caught:
            importing.perform(run, other, actor=ENGINEER)
        assert caught.value.code == "another_file"
        run, again = begins(river, run_id)  # it failed: the next one begins anew
        assert again and importing.perform(run, lines(10), actor=ENGINEER).read == 10


def test_a_rehearsal_that_was_killed_begins_anew(river: Joined) -> None:
    run_id = uuid4()
    with tenancy.scope(river.hospital_id):
        killed_in_the_middle(river, run_id, dry_run=True)
        run, _again = begins(river, run_id, dry_run=True)
        done = importing.perform(run, lines(10), actor=ENGINEER)
    assert (done.read, done.written, done.refused) == (10, 8, 2) and not Campus.objects.exists()


def test_a_failed_upload_is_sent_again_to_the_same_address(river: Joined) -> None:
    run_id = uuid4()
    path = f"/imports/{run_id}/?kind=campuses"
    assert river.call("PUT", path, "name\nx\n", media="text/csv").status_code == 400
    assert report(river, run_id)["state"] == "failed"
    again = river.call("PUT", path, "identifier,name\nc1,本部\n", media="text/csv")
    assert (again.status_code, again.json()["state"], again.json()["written"]) == (201, "finished", 1)
    assert Hospital.objects.get(code="river").campuses.count() == 1
    assert river.call("PUT", path, "identifier,name\nc2,x\n", media="text/csv").json() == again.json()


def _floor(identifier: str, number: int, name: str = "楼层") -> dict[str, Any]:
    return {"kind": "floors", "identifier": identifier, "building": "B1", "number": number, "name": name}


_NOTHING_NEW = [{"kind": "campuses", "identifier": "main", "name": "本部"}] * 3  # a batch for each


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        ([_floor("U11", 20), *_NOTHING_NEW, _floor("U12", 20)], [5]),
        ([_floor("U11", 20), *_NOTHING_NEW, _floor("U12", 11), _floor("new", 12)], [6]),
        ([_floor("U12", 12, "改名"), *_NOTHING_NEW, _floor("U12", 20), _floor("U11", 12)], [6]),
        ([_floor("U11", 20), *_NOTHING_NEW, _floor("U11", 11), _floor("U12", 20)], [6]),
        ([_floor("U11", 20), *_NOTHING_NEW, _floor("U11", 20, "改名")], []),
    ],
    ids=["takes a new number", "takes what was left", "left in the same batch", "goes back", "stays"],
)
def test_a_rehearsal_says_of_floors_what_the_upload_then_does(
    river: Joined, sent: list[dict[str, Any]], refused: list[int]
) -> None:
    fill(river)
    _uploaded(river, [_floor("U11", 11), _floor("U12", 12)])
    rehearsed = _uploaded(river, sent, dry_run=True)
    assert _uploaded(river, sent) == rehearsed
    assert [fault["line"] for fault in rehearsed["faults"]] == refused


def test_a_withdrawn_floor_leaves_its_number_and_does_not_come_back_to_it_when_it_is_taken(river: Joined) -> None:
    fill(river)
    _uploaded(river, [_floor("U11", 11)])
    assert river.call("DELETE", "/directory/floors/U11/").status_code == 204
    for sent, refused in (([_floor("new", 11)], []), ([_floor("U11", 11)], [1]), ([_floor("U11", 12)], [])):
        rehearsed = _uploaded(river, sent, dry_run=True)
        assert _uploaded(river, sent) == rehearsed
        assert [fault["line"] for fault in rehearsed["faults"]] == refused


def test_a_rehearsed_half_day_takes_its_slots_along(river: Joined) -> None:
    fill(river)
    half_day, slot = (row for row in rows() if row["kind"] in ("schedules", "slots"))
    other = {"kind": "departments", "identifier": "D2", "name": "骨科"}
    sent = [other, half_day | {"department": "D2"}, *_NOTHING_NEW, slot]
    rehearsed = _uploaded(river, sent, dry_run=True)
    assert _uploaded(river, sent) == rehearsed


def _uploaded(river: Joined, records: list[dict[str, Any]], *, dry_run: bool = False) -> dict[str, Any]:
    """The report, but for what is one upload's own."""
    with tenancy.scope(river.hospital_id):
        run, _new = begins(river, uuid4(), dry_run=dry_run)
        done = importing.perform(run, enumerate(records, 1), actor=ENGINEER)
    return {name: getattr(done, name) for name in ("state", "read", "written", "unchanged", "refused", "faults")}
