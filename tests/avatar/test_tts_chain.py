"""The chain: a sentence is spoken by the first engine that does, from its start, or ends typed; a failing engine is left alone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar import exceptions
from avatar.exceptions import EngineCut, EngineStalled, EngineThrottled, EngineUnavailable, SpeechUnavailable
from avatar.speech_text import read
from avatar.timeline import AudioChunk, Boundary, Phoneme
from avatar.tts.base import SpeechRequest
from avatar.tts.breaker import FIRST_S, THROTTLED_S, Breaker
from avatar.tts.chain import SpeechChain
from avatar.tts.edge import EdgeEngine
from avatar.tts.espeak import EspeakEngine
from tests.avatar.edge_stub import Fault, edge_stub, spoken

HELLO = SpeechRequest("你好")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """Gives two pieces of sound; ``broken`` is raised, or awaited for ever, before piece ``at``."""

    sample_rate_hz = 8000

    def __init__(self, name: str, broken: Exception | None = None, at: int = 0, *, hangs: bool = False) -> None:
        self.name, self.broken, self.at, self.hangs = name, broken, at, hangs
        self.asked = self.closed = 0

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator:
        self.asked += 1
        try:
            yield Phoneme("n", "nn", self.name, 0, 10)
            for n in range(2):
                if self.at == n and self.hangs:
                    await asyncio.Event().wait()
                if self.at == n and self.broken:
                    raise self.broken
                yield AudioChunk(n * 10, 8000, np.ones(80, np.int16))
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        pass


def chain(*engines: object, **more: object) -> SpeechChain:
    return SpeechChain(engines, **({"budget_s": 0.3, "reserve_s": 0.1, "stall_s": 0.1} | more))


async def said(voice: SpeechChain, request: SpeechRequest = HELLO) -> list:
    return [item async for item in voice.synthesize(request)]


def speakers(items: list) -> list[str]:
    return [item.text for item in items if isinstance(item, Phoneme)]


async def test_the_first_engine_speaks_and_the_second_is_not_asked() -> None:
    first, second = Scripted("a"), Scripted("b")
    items = await said(chain(first, second))
    assert speakers(items) == ["a"] and len(items) == 3
    assert second.asked == 0


@pytest.mark.parametrize(
    "failing",
    [
        {"broken": EngineUnavailable()},
        {"broken": EngineThrottled()},
        {"broken": EngineCut()},
        {"broken": EngineStalled()},
        {"broken": RuntimeError("a fault of its own")},
        {"hangs": True},
    ],
)
async def test_before_the_first_sound_the_next_engine_begins_the_sentence(failing: dict) -> None:
    first, second = Scripted("a", **failing), Scripted("b")
    items = await said(chain(first, second))
    assert speakers(items) == ["b"]  # nothing of what the first had prepared
    assert [item.pts_ms for item in items if isinstance(item, AudioChunk)] == [0, 10]
    assert first.closed == 1


@pytest.mark.parametrize(("failing", "error"), [({"broken": EngineCut()}, EngineCut), ({"hangs": True}, EngineStalled)])
async def test_after_the_first_sound_no_other_voice_takes_over(failing: dict, error: type[Exception]) -> None:
    second = Scripted("b")
    heard = []
    with pytest.raises(error):
        async for item in chain(Scripted("a", at=1, **failing), second).synthesize(HELLO):
            heard.append(item)
    assert len(heard) == 2 and second.asked == 0


async def test_no_engine_at_all_is_typed() -> None:
    with pytest.raises(SpeechUnavailable):
        await said(chain(Scripted("a", hangs=True), Scripted("b", EngineUnavailable())))


async def test_an_engine_that_ends_without_a_sound_has_failed() -> None:
    class Mute(Scripted):
        async def synthesize(self, request: SpeechRequest) -> AsyncGenerator:
            yield Phoneme("n", "nn", "a", 0, 10)

    assert speakers(await said(chain(Mute("a"), Scripted("b")))) == ["b"]
    with pytest.raises(SpeechUnavailable):
        await said(chain(Mute("a")))


async def test_what_has_no_sound_asks_nobody() -> None:
    first = Scripted("a")
    assert await said(chain(first), SpeechRequest("……")) == []
    assert first.asked == 0


async def test_a_failing_engine_is_passed_by_until_its_time_and_then_tried_once() -> None:
    clock = Clock()
    first, second = Scripted("a", EngineUnavailable()), Scripted("b")
    voice = chain(first, second, clock=clock)
    for _ in range(5):
        await said(voice)
    assert first.asked == 1
    clock.now += FIRST_S
    await said(voice)
    await said(voice)
    assert first.asked == 2
    clock.now += FIRST_S  # the second opening lasts twice as long
    await said(voice)
    assert first.asked == 2
    clock.now += FIRST_S
    first.broken = None
    assert speakers(await said(voice)) == ["a"]
    assert speakers(await said(voice)) == ["a"]


async def test_one_stall_may_be_chance_two_are_not() -> None:
    first, second = Scripted("a", hangs=True), Scripted("b")
    voice = chain(first, second, clock=Clock())
    for _ in range(4):
        assert speakers(await said(voice)) == ["b"]
    assert first.asked == 2


async def test_while_one_request_tries_the_others_pass_by() -> None:
    clock = Clock()
    first, second = Scripted("a", EngineUnavailable()), Scripted("b")
    voice = chain(first, second, clock=clock)
    await said(voice)
    clock.now += FIRST_S
    first.broken, first.hangs = None, True
    await asyncio.gather(*(said(voice) for _ in range(4)))
    assert first.asked == 2


async def test_who_gives_up_while_trying_lets_the_next_one_try() -> None:
    clock = Clock()
    first = Scripted("a", EngineUnavailable())
    voice = chain(first, Scripted("b"), clock=clock)
    await said(voice)
    clock.now += FIRST_S
    first.broken = None
    async with aclosing(voice.synthesize(HELLO)) as items:
        await anext(items)
    assert speakers(await said(voice)) == ["a"]
    assert first.closed == first.asked == 3


async def test_the_last_engine_is_asked_whatever_happened_before() -> None:
    only = Scripted("a", EngineUnavailable())
    voice = chain(only, clock=Clock())
    with pytest.raises(SpeechUnavailable):
        await said(voice)
    only.broken = None
    assert speakers(await said(voice)) == ["a"]


def test_an_engine_that_asks_for_fewer_requests_gets_them() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.failed(EngineThrottled())
    clock.now += THROTTLED_S - 1
    assert not breaker.admits(1)
    clock.now += 1
    assert breaker.admits(1) and not breaker.admits(1)


def test_failures_that_were_under_way_do_not_add_up() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(50):
        breaker.failed(EngineUnavailable())
    clock.now += FIRST_S
    assert breaker.admits(1)


def test_settings_name_the_engines_and_what_cannot_be_used_is_left_out(settings) -> None:
    settings.SPEECH_CHAIN = ["broken", "espeak"]
    settings.SPEECH_ENGINES = {
        "broken": {"BACKEND": "avatar.tts.espeak.EspeakEngine", "OPTIONS": {"voice": "none"}},
        "espeak": {"BACKEND": "avatar.tts.espeak.EspeakEngine", "OPTIONS": {}},
    }
    assert [engine.name for engine in SpeechChain.from_settings().engines] == ["espeak"]
    settings.SPEECH_CHAIN = ["broken"]
    with pytest.raises(SpeechUnavailable):
        SpeechChain.from_settings()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes at once wherever everybody waits."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        wait = self._selector.select

        def select(timeout: float | None = None) -> list:
            ready = wait(0)
            if not ready and timeout:
                self._now += timeout
            return ready

        self._selector.select = select

    def time(self) -> float:
        return self._now


class Timed(Scripted):
    """Waits the given seconds before each piece of sound, and raises ``broken`` after the last where there is one."""

    def __init__(self, name: str, waits: list[float], broken: Exception | None) -> None:
        super().__init__(name, broken)
        self.waits = waits

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator:
        for n, wait in enumerate(self.waits):
            await asyncio.sleep(wait)
            yield AudioChunk(n * 10, 8000, np.ones(80, np.int16))
        if self.broken:
            raise self.broken


ENGINES = st.builds(
    Timed,
    st.just("a"),
    st.lists(st.floats(0, 10), max_size=4),
    st.sampled_from([None, EngineCut(), EngineUnavailable(), EngineThrottled(), ValueError("its own fault")]),
)


@given(st.lists(ENGINES, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_nobody_waits_longer_than_three_seconds_for_a_sound_or_a_typed_end(engines: list[Timed]) -> None:
    """With the chain's own limits, whatever each engine does: every sentence of five, in order."""

    async def conversation() -> None:
        loop = asyncio.get_running_loop()
        voice = SpeechChain(engines, clock=loop.time)
        for _ in range(5):
            last = loop.time()
            heard: list[int] = []
            try:
                async for item in voice.synthesize(HELLO):
                    assert loop.time() - last <= 3
                    last = loop.time()
                    heard.append(item.pts_ms)
                assert heard
            except exceptions.SpeechError as error:
                assert not heard or not isinstance(error, SpeechUnavailable)
            assert loop.time() - last <= 3
            assert heard == sorted(heard)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(conversation())


@pytest.mark.parametrize("fault", [f for f in Fault if f not in (Fault.NONE, Fault.LATE_WORDS)])
async def test_with_the_online_voice_broken_every_sentence_ends_in_order(fault: Fault) -> None:
    """Whole sentences from the embedded voice, or a typed end where something was already heard; then again the next."""
    espeak = EspeakEngine()
    texts = ("请到三楼抽血，不要吃早饭。", "一会儿见。", "拨打120。")
    for text in texts:
        spoken(read(text).said)  # made before the clock runs
    async with edge_stub([fault]) as stub:
        edge = EdgeEngine(endpoint=stub.endpoint, **fault.limits)
        voice = SpeechChain([edge, espeak], budget_s=60, stall_s=30)
        ends = []
        for text in texts:
            items = []
            try:
                async for item in voice.synthesize(SpeechRequest(text)):
                    items.append(item)
            except exceptions.SpeechError as error:
                ends.append(error.code)
                assert any(isinstance(item, AudioChunk) for item in items)
                continue
            ends.append("end")
            assert {item.sample_rate_hz for item in items if isinstance(item, AudioChunk)} == {22050}
            written = "".join(item.text for item in items if isinstance(item, Boundary))
            assert written == "".join(c for c in text if c not in "，。")
        await voice.aclose()
    if fault in (Fault.STALL, Fault.CUT):
        assert ends == [f"engine_{'stalled' if fault is Fault.STALL else 'cut'}"] * 2 + ["end"]
    else:
        assert ends == ["end"] * 3
        assert stub.connections <= 2
