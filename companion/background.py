"""Database work out of the event loop: a bounded pool of threads of our own.

Channels' default runs every consumer's queries on one thread; four half-second queries would take two seconds.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")
THREADS = 4
_POOL = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="database")


async def in_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run this synchronous function in the pool, with context variables (the tenant's scope) carried over.

    asgiref's ``sync_to_async`` costs a tenth of a refused booking: it also brings back what the function changed of the
    context, and leads coroutines that it calls to this loop. Nothing here does either.
    """
    mine = partial(copy_context().run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_POOL, _connected, mine)


def _connected(work: Callable[[], T]) -> T:
    """A connection that failed is not used again, and none stays with the thread."""
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
