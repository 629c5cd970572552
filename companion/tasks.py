"""What the companion does in the background: reminders that have come due. Due times live in rows, never in task ETAs."""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from celery import shared_task
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from companion import journey, paying, visits
from companion.journey import OwnEvent, VisitState
from companion.models import UNSAID, Invitation, Reminder, ResidentSession, Visit, VisitPrompt

log = structlog.get_logger(__name__)

# A reminder that could not be sent for this long has missed its point.
TOO_LATE = timedelta(hours=6)
FORGOTTEN_AT_ONCE = 5000
# Longer than beat's pace, so that no end of quiet hours falls between two runs.
JUST_NOW = timedelta(minutes=2)
# What waits longer than a night has had its morning: her page hears of it when it is opened.
ONE_NIGHT = timedelta(days=1) + TOO_LATE
_PROMPT_OF = {
    Reminder.Kind.FASTING: "fasting",
    Reminder.Kind.FOLLOW_UP: "follow_up_due",
    Reminder.Kind.MEDICINE: "medicine_due",
}


@shared_task(queue="default")
def refund_payments() -> int:
    return paying.refund_due()


@shared_task(queue="default")
def forget_old_sessions(now: datetime | None = None) -> int:
    """Sign-ins and invitations that ended long ago, and staff's that ran out; some at a time, and again at once
    while there may be more. Returns how many of the first."""
    before = (now or timezone.now()) - timedelta(days=settings.SESSIONS_KEPT_DAYS)
    count = 0
    for model in (ResidentSession, Invitation):
        found = model._default_manager.filter(expires_at__lt=before).order_by("expires_at")
        ids = list(found.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
        count += model._default_manager.filter(pk__in=ids).delete()[0]
    SessionStore.clear_expired()
    if count >= FORGOTTEN_AT_ONCE:
        forget_old_sessions.delay()
    return count


@shared_task(queue="default")
def ask_about_payments() -> int:
    return paying.ask_about_begun()


@shared_task(queue="default")
def close_payments() -> int:
    return paying.close_due()


@shared_task(queue="default")
def send_due_reminders() -> int:
    """Put down a prompt for each reminder that is due; safe to run twice and by several workers. Returns how many."""
    sent = 0
    now = timezone.now()
    for row in _due(now)[:500]:
        try:
            sent += _send_once(row, now)
        except Exception as error:  # noqa: BLE001  it stays due, and those behind it are not held up
            log.error("reminder_failed", visit=str(row.visit_id), exc_info=error)
    _wake(now)
    log.info("reminders_sent", count=sent)
    return sent


def _due(now: datetime) -> "QuerySet[Reminder]":
    return Reminder.objects.filter(sent_at=None, due_at__lte=now).order_by("due_at")


def _wake(now: datetime) -> None:
    """Where quiet hours have just ended, the open pages look what waited for the morning."""
    for resident_id, visit_id in _waited(now):
        visits.notify(resident_id, visit_id)


def _waited(now: datetime) -> "QuerySet[VisitPrompt, tuple[UUID, UUID]]":
    """(resident, visit) of what waited for quiet hours that have just ended, each once."""
    ended, local = timezone.localtime(now - JUST_NOW), timezone.localtime(now)
    if ended.date() != local.date():  # nobody's quiet hours end at midnight sharp
        return VisitPrompt.objects.none().values_list("visit__resident_id", "visit_id")
    waiting = VisitPrompt.objects.filter(
        UNSAID,
        due_at__gt=now - ONE_NIGHT,
        visit__resident__quiet_until__gt=ended.time(),
        visit__resident__quiet_until__lte=local.time(),
    )
    return waiting.order_by().values_list("visit__resident_id", "visit_id").distinct()


@transaction.atomic
def _send_once(row: Reminder, now: datetime) -> int:
    visit = visits.locked(row.visit_id)  # first, as whoever plans reminders does: else each would wait for the other
    if not Reminder.objects.filter(id=row.id, sent_at=None).update(sent_at=now):
        return 0
    sent = _send(row, visit) if now - row.due_at <= TOO_LATE else 0
    if row.kind == Reminder.Kind.MEDICINE:
        visits.plan_reminders([(visit, visits.journey_of(visit))])  # the next dose
    return sent


def _send(row: Reminder, visit: Visit) -> int:
    state = VisitState(visit.state)
    if row.kind in (Reminder.Kind.DAY_BEFORE, Reminder.Kind.LEAVE_HOME):
        if state not in journey.BEFORE_CHECK_IN:
            return 0
        visits.own_event(visit.id, OwnEvent.REMINDED, key=f"own.reminded:{row.kind}")
        name = "reminded" if row.kind == Reminder.Kind.DAY_BEFORE else "leave_home"
    else:
        name = _PROMPT_OF[Reminder.Kind(row.kind)]
    if name != "reminded":  # the fold makes that one by itself
        VisitPrompt.objects.get_or_create(
            visit=visit,
            key=f"{name}:{row.id}",
            defaults={"name": name, "part_id": row.part_id, "by_itself": True, "due_at": row.due_at},
        )
        transaction.on_commit(lambda: visits.notify(visit.resident_id, visit.id))
    return 1
