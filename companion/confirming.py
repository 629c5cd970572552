"""What was written to a page unasked and not confirmed yet: noted in Redis by resident, so that it is said once more, no oftener.

A socket whose phone is in a lift takes what is written to it and tells nobody that it went nowhere. So what was written is told
only when the page says so. What a page never confirmed is said on the next connection, where it counts as told once written.
"""

import time
from collections.abc import Awaitable, Iterable
from typing import cast
from uuid import UUID

from avatar.streams import client

NUMBERS = 2**31  # of what a page confirms, from 0
KEPT_S = 7 * 86_400
AT_ONCE = 16  # what one page may leave unconfirmed: older ones are said again as if it had gone


def _key(resident_id: UUID) -> str:
    return f"hc:unconfirmed:{resident_id.hex}"


async def written(resident_id: UUID) -> dict[str, int]:
    """By its name, when each was written (``time.time_ns``). Raises ``redis.RedisError``."""
    found = await cast("Awaitable[dict[bytes, bytes]]", client().hgetall(_key(resident_id)))
    return {name.decode(): int(at) for name, at in found.items()}


async def note(resident_id: UUID, names: Iterable[str]) -> None:
    """They are written just now. Raises ``redis.RedisError``."""
    now = time.time_ns()
    async with client().pipeline(transaction=True) as pipe:
        pipe.hset(_key(resident_id), mapping=dict.fromkeys(names, now))
        pipe.expire(_key(resident_id), KEPT_S)
        await pipe.execute()


async def forget(resident_id: UUID, names: Iterable[str]) -> None:
    """She was told. Raises ``redis.RedisError``."""
    await cast("Awaitable[int]", client().hdel(_key(resident_id), *names))
