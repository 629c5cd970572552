"""The embedded voice and its child process: sounds timed by syllable, and no child left behind whatever happens."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import numpy as np
import pytest

from avatar.exceptions import EngineCut, EngineStalled, EngineUnavailable
from avatar.speech_text import read
from avatar.timeline import AudioChunk, Boundary, Phoneme
from avatar.tts.base import SpeechRequest
from avatar.tts.espeak import EspeakEngine
from avatar.tts.orders import LONGEST_ORDER, orders

HELLO = (
    "import struct, sys, time\nout = sys.stdout.buffer\nout.write(b'S' + struct.pack('>II', 4, 22050)); out.flush()\n"
)


@pytest.fixture
async def engine() -> AsyncIterator[EspeakEngine]:
    made = EspeakEngine()
    yield made
    await made.aclose()


async def said(engine: EspeakEngine, text: str, **more: object) -> list:
    return [item async for item in engine.synthesize(SpeechRequest(text, **more))]


def sound(items: list) -> np.ndarray:
    return np.concatenate([item.pcm for item in items if isinstance(item, AudioChunk)])


def gone(pid: int) -> bool:
    """No such process, not even one that waits to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def reaped(pid: int) -> bool:
    for _ in range(1000):
        if gone(pid):
            return True
        await asyncio.sleep(0.005)
    return False


async def test_syllables_are_timed_and_are_where_it_sounds(engine: EspeakEngine) -> None:
    items = await said(engine, "妈妈，八点")
    phonemes = [item for item in items if isinstance(item, Phoneme)]
    assert [p.phoneme for p in phonemes] == ["m", "a", "m", "a", "b", "a", "d", "ian"]
    assert all(p.start_ms < p.end_ms for p in phonemes)
    pcm = sound(items).astype(float)
    loud = [np.abs(pcm[p.start_ms * 22 : p.end_ms * 22]).mean() for p in phonemes if p.phoneme == "a"]
    comma = slice((phonemes[3].end_ms + 40) * 22, (phonemes[4].start_ms - 40) * 22)
    assert phonemes[4].start_ms - phonemes[3].end_ms > 120
    assert min(loud) > 20 * np.abs(pcm[comma]).mean()


async def test_boundaries_are_what_is_written(engine: EspeakEngine) -> None:
    items = await said(engine, "请服0.5g，拨打120。")
    assert [b.text for b in items if isinstance(b, Boundary)] == ["请", "服", "0.5", "g", "拨", "打", "120"]


async def test_a_syllable_that_the_library_does_not_know_is_spelled_for_it(engine: EspeakEngine) -> None:
    phonemes = [item for item in await said(engine, "胸穷窘") if isinstance(item, Phoneme)]
    assert [p.phoneme for p in phonemes] == ["x", "iong", "q", "iong", "j", "iong"]
    assert phonemes[-1].end_ms < 1600  # spelled letter by letter they would last for seconds


async def test_rate_and_lexicon_are_heard(engine: EspeakEngine) -> None:
    usual = len(sound(await said(engine, "请到三楼")))
    assert len(sound(await said(engine, "请到三楼", rate=0.6))) > 1.3 * usual
    prescribed = await said(engine, "乐山", lexicon=(("乐山", "le4 shan1"),))
    assert [i.phoneme for i in prescribed if isinstance(i, Phoneme)] == ["l", "e", "sh", "an"]


async def test_sentences_go_one_by_one_and_time_runs_on(engine: EspeakEngine) -> None:
    items = await said(engine, "你好。" * 3)
    starts = [p.start_ms for p in items if isinstance(p, Phoneme)]
    assert starts == sorted(starts) and len(starts) == 12
    heard = 0.0
    for item in items:
        if isinstance(item, AudioChunk):
            assert item.pts_ms == pytest.approx(heard, abs=1)
            heard += item.duration_ms


def test_orders_are_short_and_hold_everything() -> None:
    sounds = read("很长的一句话" * 40 + "，终于有逗号了。。。！完").sounds
    cut = list(orders(sounds))
    assert max(map(len, cut)) <= LONGEST_ORDER
    spoken = [s for order in cut for s in order if hasattr(s, "pinyin")]
    assert spoken == [s for s in sounds if hasattr(s, "pinyin")]


@pytest.mark.parametrize("text", ["", "   ", "。。。", "😀"])
async def test_what_has_no_sound_gives_nothing_and_starts_nothing(engine: EspeakEngine, text: str) -> None:
    assert await said(engine, text) == []
    assert engine.child.pid is None


async def test_a_killed_child_is_replaced_without_notice(engine: EspeakEngine) -> None:
    first = sound(await said(engine, "你好"))
    pid = engine.child.pid
    os.kill(pid, signal.SIGKILL)
    assert np.array_equal(first, sound(await said(engine, "你好")))
    assert engine.child.pid not in (None, pid)
    assert await reaped(pid)


async def test_many_at_once_share_one_child(engine: EspeakEngine) -> None:
    texts = ["妈", "你好", "三楼缴费"] * 4
    together = await asyncio.gather(*(said(engine, text) for text in texts))
    for text, items in zip(texts, together, strict=True):
        assert {i.text for i in items if isinstance(i, Boundary)} == set(text)


async def test_cancelling_kills_the_child_that_was_asked() -> None:
    engine = EspeakEngine(program=(sys.executable, "-c", HELLO + "time.sleep(60)"))
    task = asyncio.ensure_future(said(engine, "你好"))
    while engine.child.sample_rate_hz == 0:
        await asyncio.sleep(0)
    pid = engine.child.pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.child.pid is None
    assert await reaped(pid)
    await engine.aclose()


async def test_a_stalling_child_is_killed_in_time() -> None:
    engine = EspeakEngine(program=(sys.executable, "-c", HELLO + "time.sleep(60)"), limit_s=0.05)
    with pytest.raises(EngineStalled):
        await said(engine, "你好")
    assert engine.child.pid is None
    await engine.aclose()


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("import sys; sys.exit(3)", EngineUnavailable),
        ("print('no frames of ours, but a long line of text')", EngineUnavailable),
        (HELLO + "sys.stdin.readline()", EngineCut),
        (HELLO + "sys.stdin.readline(); out.write(b'P' + b'\\xff' * 9); out.flush(); sys.stdin.read()", EngineCut),
        (HELLO + "sys.stdin.readline(); out.write(b'X' + bytes(4)); out.flush(); sys.stdin.read()", EngineUnavailable),
        (HELLO.replace("22050", "8000") + "sys.stdin.readline(); out.write(b'E' + bytes(4))", EngineUnavailable),
    ],
)
async def test_every_way_to_break_is_typed(program: str, error: type[Exception]) -> None:
    engine = EspeakEngine(program=(sys.executable, "-c", program))
    with pytest.raises(error):
        await said(engine, "你好")
    await engine.aclose()


async def test_a_program_that_is_not_there_is_typed() -> None:
    with pytest.raises(EngineUnavailable):
        await said(EspeakEngine(program=("/nowhere/at-all",)), "你好")


def test_each_loop_has_its_own_child() -> None:
    engine = EspeakEngine()

    async def once() -> int:
        await said(engine, "你好")
        pid = engine.child.pid
        await engine.aclose()
        return pid

    first, second = asyncio.run(once()), asyncio.run(once())
    assert first != second and gone(first) and gone(second)


def test_another_voice_is_refused_at_once() -> None:
    with pytest.raises(EngineUnavailable):
        EspeakEngine(voice="en")
