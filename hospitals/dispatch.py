"""Sending a task after the commit, by its dotted path: services name tasks without importing what stands above them.

A broker that is away must not turn a committed deed into an error: the task is then found by the sweeps, which read the
database.
"""

from functools import partial

from django.db import transaction
from django.utils.module_loading import import_string

_RETRY = {"max_retries": 1, "interval_start": 0.05, "interval_max": 0.2}


def after_commit(task: str, *args: str) -> None:
    """``task`` is e.g. "hospitals.tasks.hand_over"; sent once the current transaction has committed, or at once without one."""
    transaction.on_commit(partial(_send, task, args), robust=True)


def _send(task: str, args: tuple[str, ...]) -> None:
    import_string(task).apply_async(args=args, retry_policy=_RETRY)
