"""One turn and its record."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from companion import dialogue, visits
from companion.background import in_thread
from companion.events import Say
from companion.journey import OwnEvent
from companion.models import Turn, Visit
from hospitals.connectors.base import EventType, HospitalEvent, Reference
from tests.companion.test_consumers import resident
from tests.companion.whole_visit import BILL, EXAM

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_turn_that_she_interrupts_as_it_ends_is_on_record_before_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, who = await in_thread(resident, "her")
    session = await in_thread(dialogue.open_session, who.resident_id, None)
    storing, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(work: Callable[..., Any], *args: Any) -> Any:
        if work is dialogue._store:
            storing.set()
            await go_on.wait()
        return await in_thread(work, *args)

    async def turn() -> None:
        async for _event in dialogue.turn(session, "1", "", {"kind": "open"}):
            pass

    monkeypatch.setattr(dialogue, "in_thread", slowly)
    interrupted = asyncio.ensure_future(turn())
    await asyncio.wait_for(storing.wait(), 20)
    interrupted.cancel()
    for _ in range(10):  # it has heard, and waits
        await asyncio.sleep(0)
    assert not interrupted.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await interrupted
    assert await in_thread(Turn.objects.count) == 1


def paid_and_to_be_examined(session: dialogue.Session) -> None:
    at = {"hospital_id": uuid4(), "hospital_name": "岚州市第一人民医院", "department": "眼科"}
    who = {"resident_id": session.resident_id, "patient_id": session.patient_id}
    visit = Visit.objects.create(start=timezone.now() - timedelta(hours=1), **at, **who)
    for kind in (OwnEvent.TRIAGED, OwnEvent.BOOKED):
        visits.own_event(visit.id, kind)
    told = [
        (EventType.ENCOUNTER_FINISHED, None),
        (EventType.INVOICE_ISSUED, BILL),
        (EventType.EXAMINATION_ORDERED, EXAM),
        (EventType.INVOICE_PAID, Reference(BILL.id)),
    ]
    for n, (kind, data) in enumerate(told, start=1):
        about = {"hospital_id": visit.hospital_id, "appointment_id": str(visit.id), "occurred_at": timezone.now()}
        visits.on_hospital_event(HospitalEvent(event_id=f"e{n}", type=kind, sequence=n, data=data, **about))


async def test_who_has_paid_is_not_told_to_pay_when_she_asks_what_comes_next() -> None:
    _, who = await in_thread(resident, "her")
    session = await in_thread(dialogue.open_session, who.resident_id, None)
    await in_thread(paid_and_to_be_examined, session)
    said = [event.text async for event in dialogue.turn(session, "1", "下一步做什么", None) if isinstance(event, Say)]
    assert any("去做眼压检查" in text for text in said)
    assert not any("缴费" in text or "件事" in text for text in said), said
