"""A visit as it is just booked: all that its first own events would put down, written in one go.

Booking is where the whole province meets at eight in the morning; recording one event after the other there took
thirty queries more for the same rows.
"""

from functools import partial

from django.db import transaction
from django.utils import timezone

from companion import reminders, visits
from companion.journey import OwnEvent
from companion.journey.folding import fold
from companion.models import Reminder, Visit, VisitEvent, VisitPrompt
from companion.wording import PROMPTS
from hospitals.compiled import CompiledInsert, in_one_go

_visits, _events = CompiledInsert(Visit), CompiledInsert(VisitEvent)
_prompts, _reminders = CompiledInsert(VisitPrompt), CompiledInsert(Reminder)


@transaction.atomic(savepoint=False)
def begin(visit: Visit) -> None:
    """Save a new visit with its events, prompts and reminders; pages hear of it after the commit."""
    now = timezone.now()
    events = [
        VisitEvent(
            visit=visit,
            resident_id=visit.patient.keeper_id,
            key=kind.value,
            type=kind.value,
            sequence=number,
            data=None,
            occurred_at=now,
            received_at=now,
        )
        for number, kind in enumerate((OwnEvent.TRIAGED, OwnEvent.BOOKED))
    ]
    stands = fold(visits.happened(row) for row in events)
    visit.state = stands.state.value
    said = [
        VisitPrompt(
            visit=visit,
            key=prompt.key,
            name=prompt.name,
            part_id=prompt.part_id,
            by_itself=PROMPTS[prompt.name].by_itself,
            due_at=now,
        )
        for prompt in stands.prompts
    ]
    planned = reminders.plan(stands, visit.start, now)
    with in_one_go():
        _visits.save(visit)
        _events.save(*events)
        _prompts.save(*said)
        _reminders.save(
            *(
                Reminder(visit=visit, kind=due.kind, part_id=due.part_id, due_at=due.at)
                for due in planned
                if due.at > now
            )
        )
    transaction.on_commit(partial(visits.notify, visit.resident_id, visit.id))
