"""Database work out of the event loop: a bounded pool of threads of our own.

Channels' default runs every consumer's queries on one thread; four half-second queries would take two seconds.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from channels.db import DatabaseSyncToAsync

P = ParamSpec("P")
T = TypeVar("T")
_POOL = ThreadPoolExecutor(max_workers=4, thread_name_prefix="database")


async def in_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run this synchronous function in the pool, with context variables (the tenant's scope) carried over."""
    return await DatabaseSyncToAsync(work, thread_sensitive=False, executor=_POOL)(*args, **kwargs)
