"""One turn and its record."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from companion import dialogue
from companion.background import in_thread
from companion.models import Turn
from tests.companion.test_consumers import resident

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
