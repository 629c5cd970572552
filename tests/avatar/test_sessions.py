"""Speech between worker and socket, over a real Redis: order, interrupts, bounds."""

from dataclasses import replace

import pytest

from avatar import sessions, streams
from avatar.exceptions import BadUtterance
from avatar.protocol import End, Flush, Patch
from avatar.sessions import Feed, Utterance
from avatar.streams import Publisher
from tests.avatar.speaking import JPEG, kinds, nothing, said, sound, start, take, until, work

pytestmark = pytest.mark.usefixtures("tasks")


async def test_an_utterance_arrives_whole(session, tasks):
    async with Feed(session) as feed:
        assert kinds(await take(feed)) == ["Flush"]
        u = await said(session)
        assert tasks == [(0, 1)]
        await work(u, states=(3, 4, 3))
        packets = await until(feed, End)
    assert kinds(packets) == ["Start", "Audio", "Patch", "Patch", "Frames", "Audio", "Frames", "End"]
    assert {packet.generation for packet in packets} == {u.generation}
    assert [packet.state for packet in packets if isinstance(packet, Patch)] == [3, 4]
    assert packets[2].jpeg == JPEG + bytes([3])


async def test_order_is_by_index_whoever_is_ready_first(session):
    async with Feed(session) as feed:
        await take(feed)
        first, second, third = [await said(session, index) for index in range(3)]
        await work(third)
        await work(second)
        assert await nothing(feed)
        await work(first)
        packets = []
        for _ in range(3):
            packets += await until(feed, End)
    assert [packet.index for packet in packets] == sorted(packet.index for packet in packets)
    assert kinds(packets) == ["Start", "Audio", "Audio", "End"] * 3


async def test_nothing_stale_is_behind_the_flush(session):
    async with Feed(session) as feed:
        await take(feed)
        old = await said(session)
        await work(old, ms=1000, finish=False)
        await take(feed, 2)
        raised = await sessions.interrupt(session)
        assert raised > old.generation
        (flush,) = await take(feed)
        assert flush == Flush(raised)
        assert not await work(old)  # its worker is told to stop
        new = await said(session)
        await work(new)
        packets = await until(feed, End)
    assert {packet.generation for packet in packets} == {raised}


async def test_an_interrupt_before_the_first_sound_is_not_lost(session, tasks):
    u = await said(session)
    await sessions.interrupt(session)
    assert not await work(u)
    assert not await streams.client().exists(streams.slices_key(session, u.generation, 0, 1))
    async with Feed(session) as feed:
        assert await take(feed) == [Flush(u.generation + 1)]
        assert await nothing(feed)
    await sessions.speak(u)  # a late turn of the old generation
    assert tasks == [(0, 1)]


async def test_an_interrupt_that_expects_another_generation_does_nothing(session):
    first = await sessions.generation(session)
    second = await sessions.interrupt(session)
    assert await sessions.interrupt(session, expected=first) == second
    assert await sessions.interrupt(session, expected=second) == second + 1


async def test_what_a_session_holds_in_redis_is_bounded(session, monkeypatch):
    monkeypatch.setattr(streams, "SESSION_BYTES", 40_000)
    u = await said(session)
    out = Publisher(u, 1)
    await out.write(start(u))
    for at_ms in range(0, 2000, 200):
        await out.write(sound(u, at_ms, states=(1, 2)))
    assert out.pictures_dropped > 0
    while not out.full:
        await out.write(sound(u, 2000))
    assert out.held_bytes < 50_000
    async with Feed(session) as feed:
        packets = await take(feed, 12)
    assert kinds(packets).count("Frames") < kinds(packets).count("Audio")


async def test_everything_in_redis_expires(session):
    async with Feed(session) as feed:
        await take(feed)
        await work(await said(session), finish=False, states=(3,))
        await said(session, 1)
    keys = [key async for key in streams.client().scan_iter(f"*{session}*")]
    assert len(keys) >= 4
    for key in keys:
        assert 0 < await streams.client().ttl(key) <= streams.STATE_TTL_S


async def test_a_delivered_utterance_leaves_nothing_behind(session):
    async with Feed(session) as feed:
        await take(feed)
        await work(await said(session))
        await until(feed, End)
        assert await nothing(feed)
    keys = [key.decode() async for key in streams.client().scan_iter(f"*{session}*")]
    assert not any(":slices:" in key for key in keys)
    assert int(await streams.client().hget(streams.state_key(session), "held")) <= 200  # START alone is not counted off


async def test_requests_outside_their_limits(session):
    u = Utterance(session=session, generation=1, utterance_id="1-0", index=0, text="好")
    for change in [
        {"text": ""},
        {"text": "长" * 2001},
        {"rate": 9.0},
        {"mood": "angry"},
        {"avatar": "../x"},
        {"session": "a b"},
        {"index": -1},
        {"generation": -1},
        {"utterance_id": ""},
        {"voice": "v" * 65},
    ]:
        with pytest.raises(BadUtterance):
            await sessions.speak(replace(u, **change))
