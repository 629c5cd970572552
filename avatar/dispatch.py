"""Puts an utterance where a worker takes it: its record and plan entry in Redis, its task on the queue where voices wait."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

from avatar.streams import PLAN_ENTRIES, SPEECH_TTL_S, Utterance, client, plan_key, record_key, wake_channel

SPEAK_TASK = "avatar.tasks.speak"
# A task nobody took in this time is not worth taking: the feed has shown the text long since.
TASK_EXPIRES_S = 30
CONFIRMED_WITHIN_S = 1.0

log = structlog.get_logger(__name__)
# Sending to a broker blocks; never on the event loop, and never in the pool that everything else shares.
_senders = ThreadPoolExecutor(max_workers=4, thread_name_prefix="speech-send")


async def ask(u: Utterance, *, attempt: int) -> None:
    """Ask for one attempt at ``u``; asked twice is no harm. A broker that is away is no error: the feed asks again."""
    record, plan = u.to_record(), plan_key(u.session, u.generation)
    pipe = client().pipeline(transaction=False)
    pipe.set(record_key(u.session, u.generation, u.index), record, ex=SPEECH_TTL_S)
    pipe.xadd(plan, {"record": record}, maxlen=PLAN_ENTRIES, approximate=True)
    pipe.expire(plan, SPEECH_TTL_S)
    pipe.publish(wake_channel(u.session), str(u.generation))
    await pipe.execute()
    with contextlib.suppress(OperationalError, OSError):
        await asyncio.get_running_loop().run_in_executor(_senders, _send, u, attempt)


def _send(u: Utterance, attempt: int) -> None:
    try:
        current_app.send_task(
            SPEAK_TASK,
            args=[u.session, u.generation, u.index, attempt],
            queue="speech",
            expires=TASK_EXPIRES_S,
            ignore_result=True,
            retry=False,
            # a broker whose disk is full takes the message and never confirms it
            timeout=CONFIRMED_WITHIN_S,
            confirm_timeout=CONFIRMED_WITHIN_S,
        )
    except (OperationalError, OSError):
        log.warning("speech_task_not_sent", index=u.index, attempt=attempt)
        raise
