"""From text to slices, and the task that carries them into Redis, with a voice that says what a test wants."""

import asyncio
from uuid import uuid4

import numpy as np
import pytest

from avatar import cache, dispatch, pipeline, protocol, sessions, streams, tasks
from avatar.exceptions import EngineCut, SpeechUnavailable
from avatar.protocol import Audio, Caption, End, Fallback, Frames, Picture, Start
from avatar.renderers import get_renderer
from avatar.sessions import Feed, Utterance
from avatar.streams import Publisher, Slice
from avatar.timeline import AudioChunk, Boundary, Phoneme

RATE_HZ = 22050


class Voice:
    """200 ms a character: phoneme, word, then sound in chunks; ``stop_at`` characters raises ``error``."""

    def __init__(self, *, rate_hz=RATE_HZ, stop_at=None, error=None, started=None, go_on=None, change_at=None):
        self.rate_hz, self.stop_at, self.error = rate_hz, stop_at, error
        self.started, self.go_on, self.change_at = started, go_on, change_at
        self.asked = 0
        self.closed = False

    async def synthesize(self, request):
        self.asked += 1
        try:
            for i, character in enumerate(request.text):
                if i == self.stop_at:
                    if self.started:
                        self.started.set()
                        await self.go_on.wait()
                    if self.error:
                        raise self.error
                yield Phoneme("a", "aa", character, i * 200, i * 200 + 200)
                yield Boundary(character, i * 200, i * 200 + 200)
                rate_hz = 24000 if self.change_at is not None and i >= self.change_at else self.rate_hz
                yield AudioChunk(i * 200, rate_hz, np.full(rate_hz // 5, 1000 + i, np.int16))
        finally:
            self.closed = True


class Whole:
    """A renderer whose pictures do not recur."""

    indexed = False
    version = "w"

    def render(self, values, mood):
        return b"\xff\xd8" + bytes(8000)


@pytest.fixture(autouse=True)
async def no_broker(monkeypatch):
    monkeypatch.setattr(dispatch, "_send", lambda u, attempt: None)
    tasks._published.clear()
    yield
    await streams.close()


def utterance(text="请到七号楼一楼,谢谢。", **fields):
    return Utterance(
        **{"session": uuid4().hex, "generation": 5, "utterance_id": "5-0", "index": 0, "text": text} | fields
    )


def packets(pieces):
    parts = [part for piece in pieces for part in (piece.heard, piece.seen)]
    return [packet for part in parts for alone in protocol.packets_of(part) for packet in protocol.decode(alone)]


async def made(u, voice, renderer=None, **options):
    renderer = renderer or get_renderer("xiaolan")
    return [piece async for piece in pipeline.slices(u, voice=voice, renderer=renderer, **options)]


async def test_sound_is_complete_and_gapless():
    u = utterance()
    pieces = await made(u, Voice(), codec=protocol.PCM_S16LE)
    sounds = [packet for packet in packets(pieces) if isinstance(packet, Audio)]
    at = 0
    for sound in sounds:
        assert sound.pts_ms == at
        at += sound.samples * 1000 // RATE_HZ
    pcm = np.concatenate([np.frombuffer(sound.data, "<i2") for sound in sounds])
    assert len(pcm) == len(u.text) * RATE_HZ // 5
    assert list(pcm[:: RATE_HZ // 5]) == [1000 + i for i in range(len(u.text))]
    assert pieces[-1].last and packets(pieces[-1:]) == [End(5, 0, at)]
    assert sounds[0].samples * 1000 // RATE_HZ == 80  # the first is short


async def test_frames_cover_the_sound_and_close_the_mouth():
    u = utterance()
    pieces = await made(u, Voice())
    times = [f.pts_ms for packet in packets(pieces) if isinstance(packet, Frames) for f in packet.frames]
    length = 200 * len(u.text)
    assert times == sorted(times) and times[0] == 0
    assert all(b - a == 40 for a, b in zip(times, times[1:], strict=False))
    assert length <= times[-1] <= length + 400
    shown = {f.state for packet in packets(pieces) if isinstance(packet, Frames) for f in packet.frames}
    assert shown == {state for piece in pieces for state in piece.states}
    first = packets(pieces[:1])
    assert {type(packet) for packet in first} >= {Audio, Frames}


async def test_captions_are_found_in_the_text_in_order():
    u = utterance("好,好,真好。")
    words = [packet for packet in packets(await made(u, Voice())) if isinstance(packet, Caption)]
    assert [(word.start, word.length, word.text) for word in words] == [(i, 1, c) for i, c in enumerate(u.text)]
    assert [word.pts_ms for word in words] == [200 * i for i in range(len(u.text))]


async def test_everything_fits_the_wire():
    for renderer in (None, Whole()):
        for piece in await made(utterance("很长的一句话。" * 20), Voice(), renderer):
            for part in (piece.heard, piece.seen):
                for packet in protocol.packets_of(part):
                    assert len(packet) <= protocol.MESSAGE_BYTES
                    protocol.decode(packet)


async def test_pictures_that_do_not_recur_are_sent_whole():
    found = packets(await made(utterance(), Voice(), Whole()))
    assert sum(isinstance(packet, Picture) for packet in found) > 50
    assert not any(isinstance(packet, Frames) for packet in found)


async def test_a_voice_that_is_cut_ends_in_a_typed_fallback_for_the_rest():
    u = utterance()
    pieces = await made(u, Voice(stop_at=3, error=EngineCut()))
    *heard, end = packets(pieces)
    assert sum(packet.samples for packet in heard if isinstance(packet, Audio)) == 3 * RATE_HZ // 5
    assert (end.code, end.text, end.pts_ms) == ("engine_cut", u.text[3:], 600)
    (only,) = packets(await made(u, Voice(stop_at=0, error=SpeechUnavailable())))
    assert isinstance(only, Fallback) and only.text == u.text and only.pts_ms == 0


async def test_another_engine_half_way_brings_its_own_rate():
    found = [packet for packet in packets(await made(utterance(), Voice(change_at=4))) if isinstance(packet, Audio)]
    assert {packet.sample_rate_hz for packet in found} == {RATE_HZ, 24000}
    at = 0
    for packet in found:
        assert packet.pts_ms == at
        at += packet.samples * 1000 // packet.sample_rate_hz


async def test_the_first_slice_leaves_before_the_voice_has_finished():
    started, go_on = asyncio.Event(), asyncio.Event()
    voice = Voice(stop_at=5, started=started, go_on=go_on)
    running = pipeline.slices(utterance(), voice=voice, renderer=get_renderer("xiaolan"))
    first = await anext(running)
    assert {type(packet) for packet in packets([first])} >= {Audio, Frames}
    assert not started.is_set()
    go_on.set()
    assert [piece async for piece in running][-1].last


# --- the task -------------------------------------------------------------------------------------------------


async def asked(voice, monkeypatch, **fields):
    monkeypatch.setattr(tasks, "voice", lambda: voice)
    session = uuid4().hex
    u = utterance(session=session, generation=await sessions.generation(session), **fields)
    await sessions.speak(u)
    return u


async def delivered(u):
    found = []
    async with Feed(u.session) as feed, asyncio.timeout(5):
        while not (found and isinstance(found[-1], End | Fallback)):
            found += protocol.decode(await anext(feed))
    return found[1:]


async def test_a_task_speaks_into_the_feed(monkeypatch):
    u = await asked(Voice(), monkeypatch, text="您好,请坐。")
    await tasks.perform(u.session, u.generation, 0, 1)
    found = await delivered(u)
    assert isinstance(found[0], Start) and found[0].rig == get_renderer("xiaolan").version
    known = {packet.state for packet in found if isinstance(packet, protocol.Patch)}
    assert known == {f.state for packet in found if isinstance(packet, Frames) for f in packet.frames}


async def test_a_second_delivery_of_the_same_attempt_does_nothing(monkeypatch):
    voice = Voice()
    u = await asked(voice, monkeypatch)
    await tasks.perform(u.session, u.generation, 0, 1)
    await tasks.perform(u.session, u.generation, 0, 1)
    await tasks.perform(u.session, u.generation, 0, 2)  # the first attempt is alive
    await tasks.perform(u.session, u.generation, 7, 1)  # never asked for
    assert voice.asked == 1


async def test_an_interrupt_stops_the_worker_in_the_middle(monkeypatch):
    started, go_on = asyncio.Event(), asyncio.Event()
    voice = Voice(stop_at=2, started=started, go_on=go_on)
    u = await asked(voice, monkeypatch, text="一句很长的话。" * 30)
    work = asyncio.create_task(tasks.perform(u.session, u.generation, 0, 1))
    await started.wait()
    await sessions.interrupt(u.session)
    go_on.set()
    async with asyncio.timeout(5):
        await work
    assert voice.closed
    assert not await streams.client().exists(streams.slices_key(u.session, u.generation, 0, 1))


async def test_an_interrupt_stops_a_worker_that_waits_for_its_engine(monkeypatch):
    monkeypatch.setattr(tasks, "SIGN_OF_LIFE_S", 0.02)
    started, never = asyncio.Event(), asyncio.Event()
    voice = Voice(stop_at=0, started=started, go_on=never)
    u = await asked(voice, monkeypatch)
    work = asyncio.create_task(tasks.perform(u.session, u.generation, 0, 1))
    await started.wait()
    await sessions.interrupt(u.session)
    async with asyncio.timeout(5):
        await work
    await asyncio.sleep(0)
    assert voice.closed


async def test_a_task_that_comes_after_its_time_costs_nothing(monkeypatch):
    voice = Voice()
    u = await asked(voice, monkeypatch)
    await streams.client().hset(streams.state_key(u.session), "next", 1)
    await tasks.perform(u.session, u.generation, 0, 1)
    await sessions.interrupt(u.session)
    await tasks.perform(u.session, u.generation, 0, 2)
    assert voice.asked == 0


async def test_the_deadline_ends_in_a_fallback(monkeypatch):
    monkeypatch.setattr(tasks, "DEADLINE_S", 0.05)
    voice = Voice(stop_at=0, started=asyncio.Event(), go_on=asyncio.Event())
    u = await asked(voice, monkeypatch)
    await tasks.perform(u.session, u.generation, 0, 1)
    *_, end = await delivered(u)
    assert (end.code, end.text) == ("speech_deadline", u.text)


async def test_an_avatar_that_is_not_there_is_told(monkeypatch):
    u = await asked(Voice(), monkeypatch, avatar="nobody")
    await tasks.perform(u.session, u.generation, 0, 1)
    *_, end = await delivered(u)
    assert end.code == "avatar_not_found"


async def test_a_full_session_ends_in_a_fallback(monkeypatch):
    monkeypatch.setattr(streams, "SESSION_BYTES", 20_000)
    u = await asked(Voice(), monkeypatch, text="话很多。" * 40)
    await tasks.perform(u.session, u.generation, 0, 1)
    state = await streams.client().hgetall(streams.state_key(u.session))
    assert int(state[b"held"]) < 60_000
    *_, end = await delivered(u)
    assert end.code == "session_full" and u.text.endswith(end.text)


async def test_an_announcement_costs_nothing_the_third_time(monkeypatch):
    voice = Voice()
    text = f"请{uuid4().hex[:6]}号到三号窗口。"
    runs = []
    for index in range(3):
        u = await asked(voice, monkeypatch, text=text, utterance_id=f"u-{index}")
        await tasks.perform(u.session, u.generation, 0, 1)
        runs.append((u, await delivered(u)))
    assert voice.asked == 2
    for u, found in runs:
        assert {packet.generation for packet in found} == {u.generation}
        assert found[0].utterance_id == u.utterance_id
    assert [packet.pts_ms for packet in runs[2][1]] == [packet.pts_ms for packet in runs[0][1]]


async def test_what_failed_is_not_kept(monkeypatch):
    text = f"第{uuid4().hex[:6]}次。"
    for _ in range(2):
        u = await asked(Voice(stop_at=1, error=EngineCut()), monkeypatch, text=text)
        await tasks.perform(u.session, u.generation, 0, 1)
    voice = Voice()
    u = await asked(voice, monkeypatch, text=text)
    await tasks.perform(u.session, u.generation, 0, 1)
    assert voice.asked == 1


async def test_kept_announcements_are_bounded(monkeypatch):
    monkeypatch.setattr(cache, "ANNOUNCEMENTS", 3)
    await streams.client().delete("hc:said")
    piece = Slice(0, 80, heard=b"h", seen=b"s", states=(1, 2), said=1, last=True)
    keys = [f"hc:said:{uuid4().hex}" for _ in range(5)]
    for key in keys:
        await cache.keep(key, [piece, piece])
    assert [await cache.recall(key) is not None for key in keys] == [False, False, True, True, True]
    assert await cache.recall(keys[4]) == [piece, piece]
    await cache.keep("hc:said:big", [Slice(0, 1, heard=bytes(cache.ANNOUNCEMENT_BYTES))])
    assert await cache.recall("hc:said:big") is None


async def test_patches_are_bounded_in_a_process():
    kept = cache.Patches(max_bytes=1000)
    for i in range(20):
        kept.put(str(i), bytes(100))
    assert kept.size <= 1000
    assert kept.get("19") and kept.get("0") is None
    kept.put("19", bytes(50))
    assert kept.size == sum(len(jpeg) for jpeg in kept._kept.values())


async def test_a_feed_finds_what_redis_forgot_nowhere_and_goes_on(monkeypatch):
    u = await asked(Voice(), monkeypatch, text="您好。")
    await tasks.perform(u.session, u.generation, 0, 1)
    version = get_renderer("xiaolan").version
    await streams.client().delete(*[key async for key in streams.client().scan_iter(f"hc:patch:xiaolan:{version}:*")])
    cache.patches._kept.clear()
    cache.patches.size = 0
    found = await delivered(u)
    assert isinstance(found[-1], End)
    assert not any(isinstance(packet, protocol.Patch) for packet in found)


async def test_a_loop_of_its_own_for_every_process(monkeypatch):
    first = tasks.loop()
    assert tasks.loop() is first
    monkeypatch.setattr(tasks.os, "getpid", lambda: -1)
    assert tasks.loop() is not first


async def test_publisher_is_told_that_nobody_wants_it():
    u = utterance(generation=await sessions.generation(session := uuid4().hex), session=session)
    out = Publisher(u, 1)
    assert await out.write(Slice(0, 0))
    await sessions.interrupt(session)
    assert not await out.write(Slice(0, 0))
