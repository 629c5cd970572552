"""What the beat asks every minute is answered from an index, however many visits there have ever been."""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from companion import tasks, visits
from companion.models import Visit, VisitPrompt

pytestmark = pytest.mark.django_db

MORNING = timezone.make_aware(datetime.combine(timezone.localdate(), time(7, 30)))


def prompt(visit: Visit, key: str) -> None:
    due = MORNING - timedelta(hours=8)
    VisitPrompt.objects.create(visit=visit, key=key, name="report_issued", by_itself=True, due_at=due)


def test_the_morning_wakes_a_page_once_for_a_visit_however_much_waits(visit, monkeypatch) -> None:
    woken: list[object] = []
    monkeypatch.setattr(visits, "notify", lambda *about: woken.append(about))
    VisitPrompt.objects.all().delete()
    prompt(visit, "a")
    prompt(visit, "b")
    tasks._wake(MORNING)
    assert woken == [(visit.resident_id, visit.id)]


@pytest.mark.services
@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's plans")
@pytest.mark.parametrize(
    ("asked", "indexes"),
    [(tasks._waited, ("prompt_unsaid", "companion_resident_quiet_until")), (tasks._due, ("reminder_unsent",))],
)
def test_what_the_beat_asks_is_served_by_an_index(
    asked: Callable[[datetime], "QuerySet[Any]"], indexes: tuple[str, ...]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # so few rows would be read through
    plan = asked(MORNING).explain()
    assert "Seq Scan" not in plan
    assert any(index in plan for index in indexes)
