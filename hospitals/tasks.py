"""Work that follows from a commit or from the clock; each task takes ids and calls one function."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from celery import shared_task

from hospitals.audit import Actor, heads
from hospitals.connectors.sandbox import desk, sending
from hospitals.exceptions import Conflict
from hospitals.services import (
    batches,
    booking,
    conformance,
    erasure,
    inbox,
    offering,
    outbox,
    polling,
    redelivery,
    retention,
    waiting,
)

SWEPT_AGAIN_S = 15


@shared_task(ignore_result=True)
def hand_over(hospital_id: str, inbox_id: str) -> None:
    inbox.handle(UUID(hospital_id), UUID(inbox_id))


@shared_task(ignore_result=True)
def hand_over_many(hospital_id: str, *inbox_ids: str) -> None:
    batches.handle(UUID(hospital_id), [UUID(inbox_id) for inbox_id in inbox_ids])


@shared_task(ignore_result=True)
def deliver_command(hospital_id: str, command_id: str) -> None:
    outbox.deliver(UUID(hospital_id), UUID(command_id))


@shared_task(bind=True, ignore_result=True, max_retries=12, default_retry_delay=5)
def redeliver_command(self: Any, hospital_id: str, command_id: str) -> None:
    """Waits its turn where as many calls to this hospital are under way as may be."""
    if not redelivery.send(UUID(hospital_id), UUID(command_id)):
        raise self.retry()


@shared_task(ignore_result=True)
def sweep_outbox() -> None:
    """Both ways: commands that are due and events whose task was lost."""
    for hospital_id, command_id in outbox.due():  # should these wait as well, the next sweep sends others
        deliver_command.apply_async(args=(str(hospital_id), str(command_id)), expires=SWEPT_AGAIN_S)
    inbox.sweep()
    sending.flush()


@shared_task(ignore_result=True)
def expire_holds() -> None:
    booking.expire_holds()
    waiting.sweep()


@shared_task(ignore_result=True)
def send_audit_heads() -> None:
    heads.send()


@shared_task(ignore_result=True)
def keep_no_longer() -> None:
    """What is kept too long goes, and once more what an erased resident left behind."""
    erasure.finish()
    if retention.sweep():
        keep_no_longer.delay()


@shared_task(ignore_result=True)
def look_at_run(hospital_id: str, run_id: str, actor_kind: str, actor_name: str) -> None:
    with suppress(Conflict):  # somebody looks already
        conformance.look(hospital_id=UUID(hospital_id), run_id=UUID(run_id), actor=Actor(actor_kind, actor_name))


@shared_task(ignore_result=True)
def tell_of_place(hospital_id: str, entry_id: str) -> None:
    waiting.tell(UUID(hospital_id), UUID(entry_id))


@shared_task(ignore_result=True)
def send_sandbox_events(hospital_id: str) -> None:
    sending.flush(UUID(hospital_id))


@shared_task(ignore_result=True)
def sandbox_clock() -> None:
    desk.tick_all()


@shared_task(ignore_result=True)
def poll_hospitals() -> None:
    for hospital_id in polling.asked():
        poll_hospital.apply_async(args=(str(hospital_id),), expires=polling.BUSY_S)


@shared_task(ignore_result=True)
def refresh_offers() -> None:
    for hospital_id in polling.asked():
        refresh_offer.apply_async(args=(str(hospital_id),), expires=polling.BUSY_S)


@shared_task(ignore_result=True)
def refresh_offer(hospital_id: str) -> None:
    offering.refresh(UUID(hospital_id))


@shared_task(ignore_result=True)
def poll_hospital(hospital_id: str) -> None:
    polling.poll(UUID(hospital_id))
