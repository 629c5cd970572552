"""The online voice against a server that speaks its protocol: words in the sound, and every way to fail typed and quick."""

import asyncio
import gc

import numpy as np
import pytest

from avatar.exceptions import EngineCut, EngineStalled, EngineThrottled, EngineUnavailable
from avatar.timeline import AudioChunk, Boundary, Phoneme
from avatar.tts.base import SpeechRequest
from avatar.tts.edge import EdgeEngine
from tests.avatar.edge_stub import CHARACTER_MS, MARK_MS, PATIENT, Fault, edge_stub, spoken

TEXT = "请服0.5g，拨打120。"


async def said(engine: EdgeEngine, text: str = TEXT, **more: object) -> list:
    return [item async for item in engine.synthesize(SpeechRequest(text, **more))]


def times(items: list) -> list[tuple[str, int, int]]:
    return [(item.phoneme, item.start_ms, item.end_ms) for item in items if isinstance(item, Phoneme)]


async def test_the_service_is_given_what_is_said_and_told_how() -> None:
    async with edge_stub() as stub:
        engine = EdgeEngine(endpoint=stub.endpoint, **PATIENT)
        await said(engine, rate=1.2)
        await said(engine, "A<B & C>D", rate=0.9, voice="zh-CN-YunxiNeural")
        await said(engine, "你好", voice="cmn")
    first, second, third = stub.ssml
    assert "请服零点五克，拨打幺二零。" in first and "rate='+20%'" in first and "XiaoxiaoNeural" in first
    assert "A小于B 和 C大于D" in second and "rate='-10%'" in second and "YunxiNeural" in second
    assert "XiaoxiaoNeural" in third  # another engine's voice is not asked for


async def test_boundaries_are_what_is_written_in_order() -> None:
    async with edge_stub() as stub:
        items = await said(EdgeEngine(endpoint=stub.endpoint, **PATIENT))
    words = [item for item in items if isinstance(item, Boundary)]
    assert [word.text for word in words] == ["请服", "0.5g", "拨打", "120"]
    assert all(a.end_ms <= b.start_ms for a, b in zip(words, words[1:], strict=False))
    assert words[2].start_ms - words[1].end_ms == MARK_MS


async def test_a_hospitals_word_is_said_in_its_way_and_captioned_as_written() -> None:
    async with edge_stub() as stub:
        engine = EdgeEngine(endpoint=stub.endpoint, **PATIENT)
        items = await said(engine, "去乐行楼", lexicon=(("乐行楼", "yue4 xing2 lou2"),))
    assert "乐" not in stub.ssml[0]
    assert [item.text for item in items if isinstance(item, Boundary)] == ["去乐", "行楼"]
    assert [item.phoneme for item in items if isinstance(item, Phoneme)][2:4] == ["ve", "x"]


async def test_phonemes_lie_in_the_sound_of_their_word() -> None:
    async with edge_stub() as stub:
        items = await said(EdgeEngine(endpoint=stub.endpoint, **PATIENT), "马上看门诊")
    phonemes = [item for item in items if isinstance(item, Phoneme)]
    assert [p.phoneme for p in phonemes] == ["m", "a", "sh", "ang", "k", "an", "m", "en", "zh", "en"]
    pcm = np.concatenate([item.pcm for item in items if isinstance(item, AudioChunk)]).astype(float)
    onset = int(np.argmax(np.abs(pcm) > 600)) // 24
    assert abs(phonemes[0].start_ms - onset) <= 15
    # Characters swell and fade in the stub's tone: they meet where it is weakest.
    for syllable, meets in zip((4, 6, 8), range(2, 5), strict=True):
        assert abs(phonemes[syllable].start_ms - phonemes[0].start_ms - meets * CHARACTER_MS) <= 20


async def test_a_words_phonemes_come_before_its_sound_however_late_the_service_tells_it() -> None:
    for fault in (Fault.NONE, Fault.LATE_WORDS):
        async with edge_stub([fault]) as stub:
            items = await said(EdgeEngine(endpoint=stub.endpoint, **PATIENT))
        heard = 0.0
        for item in items:
            if isinstance(item, AudioChunk):
                assert item.pts_ms == pytest.approx(heard, abs=1)
                heard += item.duration_ms
            elif isinstance(item, Phoneme):
                assert item.start_ms >= heard - 1
        assert times(items) == sorted(times(items), key=lambda time: time[1])


async def test_sound_is_decoded_whole_but_for_the_silence_behind_it() -> None:
    words, _mp3 = spoken("请服零点五克，拨打幺二零。")
    async with edge_stub() as stub:
        items = await said(EdgeEngine(endpoint=stub.endpoint, **PATIENT))
    heard = sum(item.duration_ms for item in items if isinstance(item, AudioChunk))
    assert words[-1].end_ms < heard < words[-1].end_ms + 400
    assert {item.sample_rate_hz for item in items if isinstance(item, AudioChunk)} == {24000}


@pytest.mark.parametrize(
    ("fault", "error", "connections"),
    [
        (Fault.FORBIDDEN, EngineUnavailable, 2),  # edge-tts sets its clock by the answer and tries once more
        (Fault.THROTTLED, EngineThrottled, 1),
        (Fault.UNAVAILABLE, EngineUnavailable, 1),
        (Fault.NO_HANDSHAKE, EngineStalled, 1),
        (Fault.NO_ANSWER, EngineStalled, 1),
        (Fault.STALL, EngineStalled, 1),
        (Fault.CUT, EngineCut, 1),
        (Fault.GARBAGE, EngineCut, 1),
        (Fault.NOISE, EngineCut, 1),
        (Fault.NO_AUDIO, EngineCut, 1),
    ],
)
async def test_every_fault_is_typed(fault: Fault, error: type[Exception], connections: int) -> None:
    spoken("请服零点五克，拨打幺二零。")  # made before the clock runs
    async with edge_stub([fault]) as stub:
        engine = EdgeEngine(endpoint=stub.endpoint, **fault.limits)
        with pytest.raises(error) as raised:
            await said(engine)
        assert type(raised.value) is error
        assert stub.connections == connections


async def test_a_clock_that_is_wrong_is_set_right_by_the_refusal() -> None:
    async with edge_stub([Fault.FORBIDDEN, Fault.NONE]) as stub:
        assert times(await said(EdgeEngine(endpoint=stub.endpoint, **PATIENT)))


async def test_nobody_listens_there() -> None:
    with pytest.raises(EngineUnavailable):
        await said(EdgeEngine(endpoint="ws://127.0.0.1:9/none"))


async def test_what_was_heard_before_the_cut_has_left() -> None:
    heard = []
    async with edge_stub([Fault.CUT]) as stub:
        with pytest.raises(EngineCut):
            async for item in EdgeEngine(endpoint=stub.endpoint, **PATIENT).synthesize(SpeechRequest(TEXT)):
                heard.append(item)
    assert any(isinstance(item, AudioChunk) for item in heard)


# A socket that connects in the very moment of giving up is dropped by aiohttp's connector and closed by the collector.
@pytest.mark.filterwarnings("error", "ignore:unclosed <socket:ResourceWarning")
async def test_giving_up_leaves_no_task_and_no_connection() -> None:
    async with edge_stub([Fault.STALL, Fault.NO_HANDSHAKE]) as stub:
        engine = EdgeEngine(endpoint=stub.endpoint, **PATIENT)
        for _ in range(2):
            before = stub.connections
            task = asyncio.create_task(said(engine))
            while stub.connections == before:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        mine = {t for t in asyncio.all_tasks() if "_fetch" in repr(t) or "said" in repr(t)}
        assert not mine
    gc.collect()


async def test_what_has_no_sound_is_not_sent() -> None:
    async with edge_stub() as stub:
        assert await said(EdgeEngine(endpoint=stub.endpoint, **PATIENT), "。。。😀") == []
    assert stub.connections == 0


async def test_an_engine_of_another_address_leaves_the_service_address_alone() -> None:
    import edge_tts.communicate

    async with edge_stub() as stub:
        EdgeEngine(endpoint=stub.endpoint, **PATIENT)
        assert edge_tts.communicate.WSS_URL.startswith("wss://")
