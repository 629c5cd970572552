"""What a socket is fed, over a real Redis: silent workers, slow clients, connections and servers that go away."""

import asyncio
from uuid import uuid4

import pytest
from django.test import override_settings

from avatar import protocol, sessions, streams
from avatar.cache import patch_key, patches
from avatar.exceptions import FeedReplaced
from avatar.feed import LEAD_MS
from avatar.protocol import Audio, End, Fallback, Flush, Patch, Start
from avatar.sessions import Feed
from avatar.streams import Publisher, Slice
from companion.embedded import RedisServer
from tests.avatar.speaking import end, kinds, nothing, pass_time, said, settle, sound, start, take, until, work

pytestmark = pytest.mark.usefixtures("tasks")


async def test_a_silent_worker_is_asked_again_then_the_text_takes_over(session, tasks, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        await said(session, 1, text="第二句。")
        waiting = asyncio.ensure_future(until(feed, Fallback))
        await settle(feed)
        assert tasks == [(0, 1), (1, 1)]
        await pass_time(feed, clock, 1.3)
        await settle(feed)
        assert sorted(tasks) == [(0, 1), (0, 2), (1, 1), (1, 2)]
        await pass_time(feed, clock, 1.55)
        began, fallback = await waiting
        assert clock.now - 1000 < 3
        assert isinstance(began, Start)
        assert (fallback.code, fallback.text, fallback.utterance_id) == ("worker_silent", u.text, u.utterance_id)
        assert fallback.read_ms > 0
        following = await until(feed, Fallback)  # the next one had as long: no further wait
    assert [packet.index for packet in following] == [1, 1]


async def test_the_second_attempt_speaks(session, tasks, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session)
        waiting = asyncio.ensure_future(until(feed, End))
        await settle(feed)
        await pass_time(feed, clock, 1.3)
        await settle(feed)
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
        await settle(feed)
        await pass_time(feed, clock, 1.3)
        await settle(feed)
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
        await settle(feed)
        await pass_time(feed, clock, 1.3)
        await settle(feed)
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
            await settle(feed)
            clock.now += 1.0
            await out.write(Slice(0, 0))
        await settle(feed)
        await work(u, begin=False)
        assert kinds(await waiting) == ["Audio", "Audio", "End"]
    assert tasks == [(0, 1)]


async def test_an_index_that_never_comes_is_passed_over(session, clock):
    async with Feed(session, clock=clock) as feed:
        await take(feed)
        u = await said(session, 2)
        await work(u)
        waiting = asyncio.ensure_future(until(feed, End))
        await settle(feed)
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


async def test_many_idle_feeds_share_one_connection():
    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        feeds = [Feed(uuid4().hex) for _ in range(100)]
        for feed in feeds:
            group.create_task(feed.__aenter__())
    waiting = [asyncio.ensure_future(take(feed, 2)) for feed in feeds]
    await settle(feeds[0])
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
