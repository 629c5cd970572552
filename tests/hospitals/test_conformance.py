"""The scripted visit: a hospital that does everything right passes every point; each fault is named with what to mend."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.utils import timezone

from hospitals import seed, tenancy
from hospitals.connectors.sandbox.models import SandboxSystem
from hospitals.exceptions import Conflict, Forbidden, NotFound
from hospitals.models import Appointment, ConformanceRun, Hospital, InboxEvent, Slot
from hospitals.services import conformance, connecting, inbox, onboarding, rehearsal
from hospitals.services.conformance_checks import Answer
from tests.hospitals.joining import OFFICER
from tests.hospitals.own_rows import a_hospital, change

pytestmark = pytest.mark.django_db
CODE = "lanzhou-first"
ID = seed.hospital_id(CODE)


@pytest.fixture(scope="module")
def province(django_db_setup: Any, django_db_blocker: Any) -> Iterator[None]:
    """Seeded once for this module, inside a transaction that is undone."""
    from django.db import transaction

    with django_db_blocker.unblock():
        atomic = transaction.atomic()
        atomic.__enter__()
        found = seed._load("province")
        with tenancy.scope(ID):
            seed._hospital(found["hospitals"][0], found, 0, timezone.localdate())
        change(Hospital, ID, state="sandbox")
        yield
        transaction.set_rollback(True)
        atomic.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def _ready(province: None) -> Iterator[None]:
    cache.clear()
    connecting._made.cache_clear()
    yield
    connecting._made.cache_clear()


@pytest.fixture
def run(django_capture_on_commit_callbacks: Any) -> Callable[..., ConformanceRun]:
    """Go through it to the end, the hospital's events coming in between two looks."""

    def whole(*, looks: int = 40, **options: Any) -> ConformanceRun:
        with django_capture_on_commit_callbacks(execute=True):
            found = conformance.start(hospital_id=ID, actor=OFFICER)
        for _ in range(looks):
            if found.finished_at is not None:
                break
            with django_capture_on_commit_callbacks(execute=True):
                found = conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER, **options)
        return found

    return whole


def failed(found: ConformanceRun) -> set[str]:
    assert found.finished_at is not None, found.points
    return {point["id"] for point in found.points if not point["passed"]}


def free() -> int:
    return sum(Slot.objects.filter(hospital_id=ID).values_list("free", flat=True))


def test_a_hospital_that_does_everything_right_passes_and_may_go_live(run: Callable[..., ConformanceRun]) -> None:
    found = run()
    assert failed(found) == set() and found.passed
    assert len(found.points) >= 25
    assert Hospital.objects.get(id=ID).state == "conformance_passed"
    onboarding.go_live(hospital_id=ID, actor=OFFICER, reason="同意")
    with pytest.raises(Forbidden):
        conformance.start(hospital_id=ID, actor=OFFICER)


def test_a_failed_run_closes_the_way_again(run: Callable[..., ConformanceRun]) -> None:
    assert run().passed
    SandboxSystem.objects.filter(hospital_id=ID).update(broken="refuse")
    assert run().passed is False
    assert Hospital.objects.get(id=ID).state == "sandbox"


def test_a_run_gives_its_places_back_when_it_ends(
    run: Callable[..., ConformanceRun], django_capture_on_commit_callbacks: Any
) -> None:
    """Once each: the cancelled one gave its own back with the hospital's event, the other is finished by then."""
    before = free()
    found = run(looks=0)
    assert free() == before - 2
    for _ in range(40):
        with django_capture_on_commit_callbacks(execute=True):
            found = conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER)
        with tenancy.scope(ID):
            for row in InboxEvent.objects.filter(state="received").order_by("sequence"):
                assert inbox.handle(ID, row.id)
    assert found.passed and free() == before


def test_going_live_ends_every_test_appointment_and_open_run(run: Callable[..., ConformanceRun]) -> None:
    before = free()
    assert run().passed
    with tenancy.scope(ID):
        rehearsal.create(hospital_id=ID, actor=OFFICER)
    left_open = conformance.start(hospital_id=ID, actor=OFFICER)
    assert free() == before - 3
    onboarding.go_live(hospital_id=ID, actor=OFFICER, reason="同意")
    assert free() == before
    assert conformance.read(hospital_id=ID, run_id=left_open.id).finished_at is not None


def test_a_run_is_ended_at_once_and_what_was_not_decided_has_failed(run: Callable[..., ConformanceRun]) -> None:
    before = free()
    found = run(looks=1)
    ended = conformance.abort(hospital_id=ID, run_id=found.id, actor=OFFICER)
    assert ended.passed is False and free() == before
    details = {point["id"]: point["detail"] for point in ended.points}
    assert details["book_accepted"] == "通过" and "测试中止了" in details.values()
    assert conformance.abort(hospital_id=ID, run_id=found.id, actor=OFFICER).finished_at == ended.finished_at
    assert free() == before
    assert conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER).points == ended.points
    conformance.start(hospital_id=ID, actor=OFFICER)


def test_what_is_ended_during_a_look_stays_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    found = conformance.start(hospital_id=ID, actor=OFFICER)
    sent: list[str] = []

    def ends_it(run: ConformanceRun, due: conformance.Due, attempt: int, now_s: object) -> Answer:
        sent.append(due.name)
        conformance.abort(hospital_id=ID, run_id=run.id, actor=OFFICER)
        return Answer(True, "R", "", 0)

    monkeypatch.setattr(conformance, "_execute", ends_it)
    looked = conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER)
    assert sent == ["book"] and looked.passed is False and looked.finished_at is not None


def test_a_look_begins_nothing_more_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "SEND_FOR_S", -1.0)
    found = conformance.start(hospital_id=ID, actor=OFFICER)
    for count in (1, 2, 3):
        found = conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER)
        assert len(found.record["answers"]) == count


def test_an_old_run_that_nobody_ended_does_not_stand_in_the_way() -> None:
    before = free()
    old = conformance.start(hospital_id=ID, actor=OFFICER)
    with tenancy.scope(ID):
        ConformanceRun.objects.update(started_at=timezone.now() - timedelta(hours=3))
    conformance.start(hospital_id=ID, actor=OFFICER)
    assert conformance.read(hospital_id=ID, run_id=old.id).passed is False
    assert free() == before - 2


def test_a_hospital_that_refuses_everything_is_told_at_once(run: Callable[..., ConformanceRun]) -> None:
    SandboxSystem.objects.filter(hospital_id=ID).update(broken="refuse")
    found = run(looks=1)
    assert "book_accepted" in failed(found) and "booked_event" in failed(found)


def test_what_never_comes_fails_when_the_time_is_up(
    run: Callable[..., ConformanceRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "_let_the_sandbox_live", lambda run, facts: None)
    found = run(looks=3)
    assert found.finished_at is None and found.passed is None
    with tenancy.scope(ID):
        ConformanceRun.objects.update(started_at=timezone.now() - timedelta(hours=3))
    found = conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER)
    assert {"called_event", "closed_event", "late_cancel"} <= failed(found)
    assert not {"book_accepted", "checked_in_event", "cancelled_event"} & failed(found)


def test_one_run_at_a_time_and_one_look_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = conformance.start(hospital_id=ID, actor=OFFICER)
    with pytest.raises(Conflict):
        conformance.start(hospital_id=ID, actor=OFFICER)
    cache.add(f"conformance:{found.id}", 1)
    with pytest.raises(Conflict):
        conformance.look(hospital_id=ID, run_id=found.id, actor=OFFICER)


def test_another_hospitals_run_is_not_there(run: Callable[..., ConformanceRun]) -> None:
    found = run(looks=0)
    other = a_hospital(code="hill", name="山麓医院", city="岚州市", state="sandbox")
    with pytest.raises(NotFound):
        conformance.read(hospital_id=other.id, run_id=found.id)


def test_test_patients_are_nobody_and_their_numbers_check(run: Callable[..., ConformanceRun]) -> None:
    card = rehearsal.invented_card(7)
    weights = [2 ** (17 - n) % 11 for n in range(17)]
    rest = sum(int(d) * w for d, w in zip(card.id_number, weights, strict=False)) % 11
    assert card.id_number[17] == "10X98765432"[rest] and card.id_number.startswith("990101")
    run(looks=0)
    with tenancy.scope(ID):
        assert {row.card["name"] for row in Appointment.objects.all()} == {"测试患者"}


def test_the_command_prints_the_report_and_fails_when_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    SandboxSystem.objects.filter(hospital_id=ID).update(broken="refuse")
    with pytest.raises(CommandError):
        call_command("conformance", CODE, "--wait", "0")
    out = capsys.readouterr().out
    assert "[未过] 预约被接受" in out and "收到 book 命令后" in out
    with pytest.raises(CommandError):
        call_command("conformance", "nobody")


def test_the_command_ends_runs_and_test_appointments(capsys: pytest.CaptureFixture[str]) -> None:
    before = free()
    conformance.start(hospital_id=ID, actor=OFFICER)
    with tenancy.scope(ID):
        rehearsal.create(hospital_id=ID, actor=OFFICER)
    call_command("conformance", CODE, "--abort", "--clear")
    assert capsys.readouterr().out == "结束了 1 次测试。\n结束了 1 个测试预约。\n"
    assert free() == before


def test_nothing_is_rehearsed_for_an_unknown_uuid() -> None:
    with pytest.raises(NotFound):
        conformance.look(hospital_id=ID, run_id=UUID(int=1), actor=OFFICER)
