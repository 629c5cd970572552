"""Sending a task after the commit, by its dotted path: services name tasks without importing what stands above them.

A broker that is away must not turn a committed deed into an error: the task is then found by the sweeps, which read the
database.
"""

import time

import structlog
from django.db import transaction
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

_RETRY = {"max_retries": 1, "interval_start": 0.05, "interval_max": 0.2}
# A broker whose disk is full takes the message and never confirms it.
CONFIRMED_WITHIN_S = 2.0
LEFT_ALONE_S = 5.0
_left_alone_until = 0.0


def after_commit(task: str, *args: str) -> None:
    """``task`` is e.g. "hospitals.tasks.hand_over"; sent once the current transaction has committed, or at once without one."""

    def send() -> None:  # not a partial: Django names what failed by its __qualname__
        _send(task, args)

    transaction.on_commit(send, robust=True)


def _send(task: str, args: tuple[str, ...]) -> None:
    global _left_alone_until
    if time.monotonic() < _left_alone_until:  # it would only keep residents waiting; the sweeps find the work
        return
    within = {"timeout": CONFIRMED_WITHIN_S, "confirm_timeout": CONFIRMED_WITHIN_S}
    try:
        import_string(task).apply_async(args=args, retry_policy=_RETRY, **within)
    except (OperationalError, OSError):
        _left_alone_until = time.monotonic() + LEFT_ALONE_S
        log.warning("task_not_sent")
