"""A visit is written by two at the same moment, on PostgreSQL: each waits for the other, and neither undoes what the other wrote."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from companion import people, tasks, visits
from companion.models import Patient, Reminder, Resident, Visit
from hospitals.connectors.base import EventType
from tests.embedded import ON_SERVICES

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


def on_its_own(work: Callable[[], Any], process: "SimpleQueue[int]") -> Any:
    """``work`` on a connection of its own, whose process in the database is told first."""
    try:
        connection.ensure_connection()
        process.put(connection.connection.info.backend_pid)
        return work()
    finally:
        connection.close()


def until_it_waits(process: int) -> None:
    """Until that process waits for a lock."""
    with connection.cursor() as cursor:
        for _look in range(50_000):
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s))", [process])
            if cursor.fetchone()[0]:
                return
    pytest.fail("nobody holds it up")


@pytest.fixture()
def daughter(visit: Visit) -> Resident:
    """She booked the visit for her mother."""
    made = Resident(name="周敏")
    made.save()
    visit.snapshot, visit.resident = visit.snapshot, made
    visit.save()
    return made


def test_what_a_hospital_tells_while_a_visit_changes_hands_stands(
    daughter: Resident, patient: Patient, visit: Visit, happens: Callable[..., None], position: Callable[..., Any]
) -> None:
    process = SimpleQueue[int]()
    with ThreadPoolExecutor(1) as others:
        with transaction.atomic():
            happens(EventType.ENCOUNTER_CALLED, position(0))
            handed = others.submit(
                on_its_own, lambda: visits.hand_over(patient, from_resident=daughter.id, also_over=True), process
            )
            until_it_waits(process.get(timeout=30))
        handed.result(30)
    now = Visit.objects.get(id=visit.id)
    assert (now.resident_id, now.state, now.where) == (
        patient.keeper_id,
        "called",
        ("7号楼1楼B区眼科检查一区", "7-1-B-01"),
    )
    assert now.queue_as_of is not None


def test_who_holds_a_visit_holds_up_nothing_else_of_its_patient(patient: Patient, visit: Visit) -> None:
    """Whoever removes a card takes the card first and the visits after it: the other way round they would wait in a circle."""
    with ThreadPoolExecutor(1) as others, transaction.atomic():
        visits.locked(visit.id)
        cards = Patient.objects.select_for_update(nowait=True).filter(id=patient.id)
        assert others.submit(on_its_own, transaction.atomic(cards.get), SimpleQueue()).result(30) == patient


def test_a_reminder_waits_for_whoever_writes_its_visit(visit: Visit) -> None:
    """The other way round, who plans a visit's reminders anew and who sends one would wait in a circle."""
    due = Reminder.objects.create(visit=visit, kind=Reminder.Kind.FASTING, part_id="e1", due_at=timezone.now())
    process = SimpleQueue[int]()
    with ThreadPoolExecutor(1) as others:
        with transaction.atomic():
            visits.locked(visit.id)
            sent = others.submit(on_its_own, tasks.send_due_reminders, process)
            until_it_waits(process.get(timeout=30))
            Reminder.objects.filter(id=due.id).delete()
        assert sent.result(30) == 0


def test_her_own_card_is_made_once_when_page_and_people_ask_for_it_together(transactional_db: None) -> None:
    newcomer = Resident(name="周敏")
    newcomer.save()
    process = SimpleQueue[int]()
    with ThreadPoolExecutor(1) as others:
        with transaction.atomic():
            first = people.own_card(newcomer)
            second = others.submit(on_its_own, lambda: people.own_card(newcomer), process)
            until_it_waits(process.get(timeout=30))
        assert second.result(30) == first
    assert Patient.objects.count() == 1
