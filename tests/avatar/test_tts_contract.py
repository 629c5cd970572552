"""The contract of every speech engine, whatever it is made of: one test, all engines."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import pytest

from avatar.speech_text import Syllable, read
from avatar.timeline import VISEMES, AudioChunk, Boundary, Phoneme
from avatar.tts.base import SpeechEngine, SpeechRequest
from avatar.tts.chain import SpeechChain
from avatar.tts.edge import EdgeEngine
from avatar.tts.espeak import EspeakEngine
from avatar.tts.sherpa import SherpaEngine
from avatar.visemes import FINALS, INITIALS, blendshapes
from tests.avatar.edge_stub import PATIENT, edge_stub
from tests.avatar.test_tts_sherpa import Library
from tests.avatar.toy_voice import unpack

TEXTS = [
    "您好，请到7号楼3楼B区抽血。",
    "阿莫西林0.5g，每日3次；多喝水！",
    "拨打120",
    "胸痛、咯血、呕吐，大夫马上来。",
    "嗯。",
]


@pytest.fixture(params=["espeak", "edge", "sherpa", "chain"])
async def engine(request, tmp_path, monkeypatch) -> AsyncIterator[SpeechEngine]:
    if request.param == "edge":
        async with edge_stub() as stub:
            yield EdgeEngine(endpoint=stub.endpoint, **PATIENT)
        return
    if request.param == "sherpa":
        monkeypatch.setitem(sys.modules, "sherpa_onnx", Library())
        made: SpeechEngine = SherpaEngine(model_dir=str(unpack(tmp_path / "voice")))
    else:
        made = EspeakEngine()
        if request.param == "chain":
            made = SpeechChain([made], budget_s=30, stall_s=30)
    yield made
    await made.aclose()


async def said(engine: SpeechEngine, text: str, **more: object) -> list:
    return [item async for item in engine.synthesize(SpeechRequest(text, **more))]


def sound(items: list) -> np.ndarray:
    return np.concatenate([item.pcm for item in items if isinstance(item, AudioChunk)])


@pytest.mark.parametrize("text", TEXTS)
async def test_sound_comes_in_order_and_without_gaps(engine: SpeechEngine, text: str) -> None:
    samples = 0
    for item in await said(engine, text):
        if isinstance(item, AudioChunk):
            assert item.pcm.dtype == np.int16 and item.pcm.ndim == 1 and len(item.pcm)
            assert item.sample_rate_hz == engine.sample_rate_hz
            assert item.pts_ms == pytest.approx(1000 * samples / engine.sample_rate_hz, abs=1)
            samples += len(item.pcm)
    assert samples > engine.sample_rate_hz // 10


@pytest.mark.parametrize("text", TEXTS)
async def test_phonemes_rise_come_before_their_sound_and_end_with_it(engine: SpeechEngine, text: str) -> None:
    items = await said(engine, text)
    heard_ms, last_ms = 0.0, 0
    for item in items:
        if isinstance(item, AudioChunk):
            heard_ms += item.duration_ms
        elif isinstance(item, Phoneme):
            assert isinstance(item.start_ms, int) and isinstance(item.end_ms, int)
            assert heard_ms - 1 <= item.start_ms and last_ms <= item.start_ms <= item.end_ms
            assert item.viseme in VISEMES and (item.phoneme in INITIALS | FINALS)
            last_ms = item.end_ms
    assert 0 < last_ms <= heard_ms + 1


@pytest.mark.parametrize("text", TEXTS)
async def test_every_syllable_is_told(engine: SpeechEngine, text: str) -> None:
    expected = []
    for syllable in read(text).sounds:
        if isinstance(syllable, Syllable):
            expected += [syllable.initial, syllable.final] if syllable.initial else [syllable.final]
    assert [item.phoneme for item in await said(engine, text) if isinstance(item, Phoneme)] == expected


@pytest.mark.parametrize("text", TEXTS)
async def test_boundaries_are_stretches_of_the_written_text_in_order(engine: SpeechEngine, text: str) -> None:
    at = last_ms = 0
    written = ""
    for item in await said(engine, text):
        if isinstance(item, Boundary):
            at = text.index(item.text, at) + len(item.text)
            assert last_ms <= item.start_ms <= item.end_ms
            last_ms, written = item.end_ms, written + item.text
    assert written == "".join(char for char in text if char not in "，。；！、")


async def test_the_mouth_moves_while_it_sounds_and_rests_behind(engine: SpeechEngine) -> None:
    items = await said(engine, "妈妈爸爸")
    phonemes = [item for item in items if isinstance(item, Phoneme)]
    track = blendshapes(phonemes, int(sum(i.duration_ms for i in items if isinstance(i, AudioChunk))))
    assert track.values[:, 0].max() > 0.4 > 0.01 > track.values[-1, 0]


async def test_rate_is_heard(engine: SpeechEngine) -> None:
    slow, fast = [len(sound(await said(engine, "请到三楼缴费", rate=rate))) for rate in (0.7, 1.6)]
    assert slow > 1.3 * fast


@pytest.mark.parametrize("text", ["", " \n", "……", "😀", "（）"])
async def test_what_has_no_sound_gives_nothing(engine: SpeechEngine, text: str) -> None:
    assert await said(engine, text) == []


@pytest.mark.parametrize("text", ["<speak>&amp;</speak>", "\x00\x07\x1b你好", "\ud800你好", "𠀀𠔏你好", "你" * 100])
async def test_strange_texts_are_spoken_as_far_as_they_can_be(engine: SpeechEngine, text: str) -> None:
    assert len(sound(await said(engine, text)))


async def test_many_at_once_do_not_mix(engine: SpeechEngine) -> None:
    alone = [await said(engine, text) for text in TEXTS]
    together = await asyncio.gather(*(said(engine, text) for text in TEXTS * 2))
    for expected, items in zip(alone * 2, together, strict=True):
        for kind in (Phoneme, Boundary):
            assert [i.text for i in items if isinstance(i, kind)] == [i.text for i in expected if isinstance(i, kind)]
        # libespeak-ng's lengths depend a little on what it said before
        assert len(sound(items)) == pytest.approx(len(sound(expected)), rel=0.05)


async def test_who_stops_listening_leaves_nothing_behind(engine: SpeechEngine) -> None:
    await said(engine, "你好")  # whatever it keeps, it has now
    before = len(asyncio.all_tasks())
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        async with aclosing(engine.synthesize(SpeechRequest(TEXTS[0]))) as items:
            await anext(items)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) <= before + 5  # connections that the stub is still closing
    assert len(os.listdir("/proc/self/fd")) <= open_files + 5
    assert len(sound(await said(engine, TEXTS[0])))


def test_speech_needs_none_of_its_neighbours() -> None:
    """The engines can be taken out of the service: they import no Redis, no Celery and no models."""
    code = (
        "import sys, avatar.tts.espeak, avatar.tts.edge, avatar.tts.sherpa;"
        "print([m for m in ('redis', 'celery', 'channels', 'django', 'sherpa_onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
