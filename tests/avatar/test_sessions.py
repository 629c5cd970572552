"""Speech between worker and socket, over a real Redis: order, interrupts, silent workers, slow clients, bounds."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from django.test import override_settings

from avatar import dispatch, protocol, sessions, streams
from avatar.cache import patch_key, patches
from avatar.exceptions import BadUtterance, FeedReplaced
from avatar.feed import LEAD_MS
from avatar.protocol import Audio, End, Fallback, Flush, Frame, Frames, Patch, Start
from avatar.sessions import Feed, Utterance
from avatar.streams import Publisher, Slice
from companion.embedded import RedisServer

RIG = "rig1"
JPEG = b"\xff\xd8 a mouth \xff\xd9"


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
async def tasks(monkeypatch):
    """The tasks that were sent: (index, attempt), instead of a broker."""
    sent = []
    monkeypatch.setattr(dispatch, "_send", lambda u, attempt: sent.append((u.index, attempt)))
    yield sent
    await streams.close()


@pytest.fixture
def session():
    return uuid4().hex


@pytest.fixture
def clock():
    return Clock()


async def said(session, index=0, **fields):
    """Ask for an utterance in the generation that stands."""
    values = {"text": "请到七号楼。", "generation": await sessions.generation(session)} | fields
    u = Utterance(session=session, utterance_id=f"{values['generation']}-{index}", index=index, **values)
    await sessions.speak(u)
    return u


def start(u):
    return Slice(
        0, 0, heard=protocol.encode(Start(u.generation, u.index, 0, u.utterance_id, u.text, u.avatar, u.mood, RIG))
    )


def sound(u, at_ms, *, states=(), ms=200, said=0):
    samples = np.zeros(ms * 8, "<i2").tobytes()
    heard = protocol.encode(Audio(u.generation, u.index, at_ms, protocol.PCM_S16LE, 8000, ms * 8, samples))
    frames = tuple(Frame(at_ms + 40 * i, state) for i, state in enumerate(states))
    seen = protocol.encode(Frames(u.generation, u.index, at_ms, protocol.MOUTH, frames)) if frames else b""
    return Slice(at_ms, at_ms + ms, heard=heard, seen=seen, states=tuple(dict.fromkeys(states)), said=said)


def end(u, at_ms):
    return Slice(at_ms, at_ms, heard=protocol.encode(End(u.generation, u.index, at_ms)), last=True)


async def work(u, *, attempt=1, ms=400, states=(), finish=True, begin=True):
    """What a worker writes; returns whether it was still wanted at the end."""
    out = Publisher(u, attempt)
    jpegs = {patch_key(u.avatar, RIG, state): JPEG + bytes([state]) for state in states}
    pieces = [start(u)] if begin else []
    pieces += [sound(u, at_ms, states=states) for at_ms in range(0, ms, 200)]
    pieces += [end(u, ms)] if finish else []
    for piece in pieces:
        if not await out.write(piece, patches=jpegs):
            return False
    return True


async def take(feed, count=1):
    """The packets of the next messages."""
    packets = []
    async with asyncio.timeout(5):
        for _ in range(count):
            message = await anext(feed)
            assert len(message) <= protocol.MESSAGE_BYTES
            packets += protocol.decode(message)
    return packets


async def until(feed, kind):
    packets = []
    while not (packets and isinstance(packets[-1], kind)):
        packets += await take(feed)
    return packets


async def nothing(feed):
    """True when the feed has nothing to say now: it has looked and gone to sleep."""
    waiting = asyncio.ensure_future(anext(feed))
    for _ in range(200):
        await asyncio.sleep(0)
        if waiting.done():
            return False
        await streams.client().ping()
        if not feed._sleeper.event.is_set() and _ > 20:
            break
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return True


def kinds(packets):
    return [type(packet).__name__ for packet in packets]


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


async def pass_time(feed, clock, seconds):
    clock.now += seconds
    feed._sleeper.wake()


async def test_a_silent_worker_is_asked_again_then_the_text_takes_over(session, tasks, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        await said(session, 1, text="第二句。")
        waiting = asyncio.ensure_future(until(feed, Fallback))
        await _settle(feed)
        assert tasks == [(0, 1), (1, 1)]
        await pass_time(feed, clock, 1.3)
        await _settle(feed)
        assert sorted(tasks) == [(0, 1), (0, 2), (1, 1), (1, 2)]
        await pass_time(feed, clock, 1.55)
        began, fallback = await waiting
        assert clock.now - 1000 < 3
        assert isinstance(began, Start)
        assert (fallback.code, fallback.text, fallback.utterance_id) == ("worker_silent", u.text, u.utterance_id)
        assert fallback.read_ms > 0
        following = await until(feed, Fallback)  # the next one had as long: no further wait
    assert [packet.index for packet in following] == [1, 1]


async def _settle(feed):
    """Let the feed look at Redis and go to sleep again."""
    for _ in range(30):
        await streams.client().ping()


async def test_the_second_attempt_speaks(session, tasks, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        waiting = asyncio.ensure_future(until(feed, End))
        await _settle(feed)
        await pass_time(feed, clock, 1.3)
        await _settle(feed)
        await work(u, attempt=2)
        packets = await waiting
        assert kinds(packets) == ["Start", "Audio", "Audio", "End"]
        assert await nothing(feed)
        assert not await work(u, attempt=1)  # the first wakes up too late


async def test_a_worker_that_dies_half_way_is_continued(session, tasks, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        await work(u, ms=400, finish=False)
        heard = await take(feed, 3)
        waiting = asyncio.ensure_future(until(feed, End))
        await _settle(feed)
        await pass_time(feed, clock, 1.3)
        await _settle(feed)
        assert tasks[-1] == (0, 2)
        await work(u, attempt=2, ms=800)
        heard += await waiting
    assert [packet.pts_ms for packet in heard if isinstance(packet, Audio)] == [0, 200, 400, 600]
    assert kinds(heard).count("Start") == 1


async def test_without_anybody_to_continue_the_rest_of_the_text_is_shown(session, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        out = Publisher(u, 1)
        await out.write(start(u))
        await out.write(sound(u, 0, said=2))
        await take(feed, 2)
        waiting = asyncio.ensure_future(until(feed, Fallback))
        await _settle(feed)
        await pass_time(feed, clock, 1.3)
        await _settle(feed)
        await pass_time(feed, clock, 1.6)
        fallback = (await waiting)[-1]
    assert (fallback.pts_ms, fallback.text) == (200, u.text[2:])


async def test_a_sign_of_life_keeps_a_slow_engine(session, tasks, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        out = Publisher(u, 1)
        await out.write(start(u))
        await take(feed)
        waiting = asyncio.ensure_future(until(feed, End))
        for _ in range(2):
            await _settle(feed)
            clock.now += 1.0
            await out.write(Slice(0, 0))
        await _settle(feed)
        await work(u, begin=False)
        assert kinds(await waiting) == ["Audio", "Audio", "End"]
    assert tasks == [(0, 1)]


async def test_an_index_that_never_comes_is_passed_over(session, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session, 2)
        await work(u)
        waiting = asyncio.ensure_future(until(feed, End))
        await _settle(feed)
        assert not waiting.done()
        await pass_time(feed, clock, 3.1)
        assert kinds(await waiting) == ["Start", "Audio", "Audio", "End"]


async def test_the_clients_playhead_sets_the_pace(session, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        await work(u, ms=10_000)
        packets = await take(feed)
        feed.playhead(u.utterance_id, 0)
        while not await nothing(feed):
            packets += await take(feed, len(feed._out))
        # `nothing` takes one message at a time out of the feed; count what was given by what is left
        sent = feed._sent_ms()
        assert LEAD_MS <= sent <= LEAD_MS + 800
        clock.now += 60
        assert await nothing(feed)
        feed.playhead(u.utterance_id, 3000)
        feed.playhead("somebody-else", 9000)
        assert not await nothing(feed)
        while not await nothing(feed):
            pass
        assert LEAD_MS + 3000 <= feed._sent_ms() <= LEAD_MS + 3800


async def test_a_client_that_reports_nothing_is_paced_by_the_clock(session, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        await work(u, ms=12_000)
        while not await nothing(feed):
            pass
        assert feed._sent_ms() <= LEAD_MS + 800
        clock.now += 2
        feed._sleeper.wake()
        while not await nothing(feed):
            pass
        assert LEAD_MS + 1500 <= feed._sent_ms() <= LEAD_MS + 2800


async def test_a_slow_client_loses_pictures_never_sound(session, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        await work(u, ms=2000, states=(3,))
        packets = []
        while not (packets and isinstance(packets[-1], End)):
            packets += await take(feed)
            clock.now += 0.5  # each message takes longer to send than it sounds
    assert kinds(packets).count("Audio") == 10
    assert kinds(packets).count("Frames") < 5
    assert feed.dropped_pictures == 10 - kinds(packets).count("Frames")


async def test_a_patch_is_sent_once_and_not_at_all_where_it_is_known(session):
    async with Feed(session, known_patches=[4]) as feed:
        await take(feed)
        for index in range(2):
            await work(await said(session, index), states=(3, 4))
        packets = await until(feed, End) + await until(feed, End)
    assert [packet.state for packet in packets if isinstance(packet, Patch)] == [3]


async def test_a_patch_that_an_interrupt_swallowed_is_sent_again(session):
    async with Feed(session) as feed:
        await take(feed)
        await work(await said(session), states=(3,))
        await take(feed)  # START; the patch waits behind it
        await sessions.interrupt(session)
        await until(feed, Flush)
        await work(await said(session), states=(3,))
        packets = await until(feed, End)
    assert [packet.state for packet in packets if isinstance(packet, Patch)] == [3]


async def test_large_pictures_are_split_into_messages(session):
    states = tuple(range(8))
    big = {patch_key("xiaolan", "big", state): b"\xff\xd8" + bytes(20_000) for state in states}
    async with Feed(session) as feed:
        await take(feed)
        u = await said(session)
        out = Publisher(u, 1)
        await out.write(
            Slice(
                0, 0, heard=protocol.encode(Start(u.generation, 0, 0, u.utterance_id, u.text, u.avatar, u.mood, "big"))
            )
        )
        await out.write(sound(u, 0, states=states, ms=400), patches=big)
        await out.write(end(u, 400))
        packets = await until(feed, End)
    assert kinds(packets).count("Patch") == 8


async def test_the_newest_feed_wins(session):
    async with Feed(session) as old:
        await take(old)
        async with Feed(session) as new:
            await take(new)
            await work(await said(session))
            assert kinds(await until(new, End))[-1] == "End"
            with pytest.raises(FeedReplaced):
                await take(old)


async def test_a_new_connection_begins_with_what_was_not_delivered(session):
    async with Feed(session) as feed:
        await take(feed)
        first, second = [await said(session, index) for index in range(2)]
        await work(first)
        await work(second)
        await until(feed, End)
        await take(feed, 2)  # half of the second
    async with Feed(session) as feed:
        await take(feed)
        packets = await until(feed, End)
    assert kinds(packets) == ["Start", "Audio", "Audio", "End"]
    assert {packet.index for packet in packets} == {1}


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


async def test_many_idle_feeds_share_one_connection():
    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        feeds = [Feed(uuid4().hex) for _ in range(100)]
        for feed in feeds:
            group.create_task(feed.__aenter__())
    waiting = [asyncio.ensure_future(take(feed, 2)) for feed in feeds]
    await _settle(feeds[0])
    connections = await streams.client().client_list()
    assert len(connections) < 60
    u = await said(feeds[42].session)
    await work(u)
    async with asyncio.timeout(5):
        packets = await waiting[42]
    assert kinds(packets) == ["Flush", "Start"]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for feed in feeds:
        await feed.__aexit__(None, None, None)


async def test_redis_is_restarted_in_the_middle(tmp_path, session, tasks):
    socket = tmp_path / "r.sock"
    with RedisServer(socket, folder=tmp_path) as first, override_settings(REDIS_URL=first.url):
        await streams.close()
        async with Feed(session) as feed:
            await take(feed)
            u = await said(session)
            await work(u, ms=400, finish=False)
            heard = await take(feed, 3)
            waiting = asyncio.ensure_future(until(feed, End))
            first.kill()
            with RedisServer(socket, folder=tmp_path):
                async with asyncio.timeout(10):
                    while tasks.count((0, 1)) < 2:
                        await asyncio.wait({waiting}, timeout=0.02)
                await work(u, ms=800)
                heard += await asyncio.wait_for(waiting, 5)
                patches.put("unused", b"")
        await streams.close()
    assert [packet.pts_ms for packet in heard if isinstance(packet, Audio)] == [0, 200, 400, 600]


async def test_a_feed_whose_cancellation_was_lost_on_the_way_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """As redis-py's write does on Python 3.11 when the cancellation meets its result."""
    async with sessions.Feed(f"lost-{uuid4().hex}") as feed:
        step, looking = feed._step, asyncio.Event()

        async def swallows() -> bool:
            looking.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return await step()
            return False

        await anext(feed)  # the flush that every feed begins with
        monkeypatch.setattr(feed, "_step", swallows)
        pump = asyncio.create_task(anext(feed))
        await looking.wait()
        pump.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(pump), 5)
