"""A resident is erased while others are about her place in a line: nobody waits in a circle."""

import threading
import time
from collections.abc import Callable
from datetime import date, timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from hospitals import tenancy
from hospitals.models import Slot, SlotHold, WaitingEntry
from hospitals.services import erasure, waiting
from hospitals.services.copies import Kept
from tests.hospitals.appointments import an_appointment

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]


@pytest.fixture()
def hold() -> SlotHold:
    """A place that the waiting list keeps for her."""
    slot, soon = an_appointment("push").slot, timezone.now() + timedelta(minutes=5)
    with tenancy.scope(slot.hospital_id):
        Slot.objects.filter(id=slot.id).update(capacity=2)
        row = SlotHold.objects.create(slot=slot, subject=uuid4(), expires_at=soon)
        days = {"first_day": date(2026, 3, 2), "last_day": date(2026, 3, 9)}
        WaitingEntry.objects.create(
            department_id=slot.department_id, subject=row.subject, state="offered", hold=row, **days
        )
    return row


def erasing(hold: SlotHold) -> Callable[[], list[Exception]]:
    """Her lines are cleared in a process of its own, which waits for us by the time this returns; then for how it ended."""
    failed: list[Exception] = []

    def clear() -> None:
        try:
            with transaction.atomic():
                erasure._clear_lines(Kept(frozenset({hold.subject}), {}))
        except Exception as error:  # noqa: BLE001  told by the test
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=clear)
    thread.start()
    until = time.monotonic() + 10
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))")
            if cursor.fetchone()[0]:
                break
            assert thread.is_alive() and time.monotonic() < until, failed

    def ended() -> list[Exception]:
        thread.join()
        return failed

    return ended


def nothing_is_left(hold: SlotHold) -> None:
    with tenancy.scope(hold.hospital_id):
        assert not SlotHold.objects.exists() and not WaitingEntry.objects.exists()
        assert Slot.objects.get(id=hold.slot_id).free == 1


def test_with_one_who_ends_the_same_hold(hold: SlotHold) -> None:
    with tenancy.scope(hold.hospital_id), transaction.atomic():
        SlotHold.objects.select_for_update().get(id=hold.id)
        ended = erasing(hold)
        waiting.release(hold.id, now=timezone.now())
    assert ended() == []
    nothing_is_left(hold)


def test_with_one_who_counts_the_slot_s_places_and_goes_through_the_line(hold: SlotHold) -> None:
    with tenancy.scope(hold.hospital_id), transaction.atomic():
        Slot.objects.filter(id=hold.slot_id).update(changed_at=timezone.now())
        ended = erasing(hold)
        WaitingEntry.objects.filter(subject=hold.subject).update(told_at=timezone.now())
    assert ended() == []
    nothing_is_left(hold)
