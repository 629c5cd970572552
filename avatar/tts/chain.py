"""The engines in the order of settings.SPEECH_CHAIN: each sentence is spoken by the first that does, or by none, in bounded time.

An engine that refuses, gives nothing or breaks before its first sound is left for the next, which begins the sentence anew. Once
something was heard no other voice takes over in the middle: the sentence ends with a typed error, and the text is shown.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import structlog
from django.conf import settings
from django.utils.module_loading import import_string

from avatar.exceptions import EngineCut, EngineStalled, SpeechError, SpeechUnavailable
from avatar.speech_text import Foreign, Syllable, read
from avatar.timeline import AudioChunk
from avatar.tts.base import SpeechEngine, SpeechRequest, Spoken
from avatar.tts.breaker import Breaker

# From the request to the first sound, all engines together: leaves the way to the client within the 3 s that it waits.
BUDGET_S = 2.4
# Kept of the budget for each engine that is still to come.
RESERVE_S = 0.6
# Between two pieces of a sentence that is being spoken.
STALL_S = 1.5

log = structlog.get_logger(__name__)


class SpeechChain:
    """An engine made of engines. ``clock`` in seconds, rising; it drives the breakers, not the time limits."""

    name = "chain"

    def __init__(
        self,
        engines: Sequence[SpeechEngine],
        *,
        budget_s: float = BUDGET_S,
        reserve_s: float = RESERVE_S,
        stall_s: float = STALL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engines = list(engines)
        self.breakers = {id(engine): Breaker(clock) for engine in self.engines}
        self._budget_s = budget_s
        self._reserve_s = reserve_s
        self._stall_s = stall_s

    @classmethod
    def from_settings(cls) -> "SpeechChain":
        """Engines that cannot even be made are left out: the others speak. Raises SpeechUnavailable where none can."""
        engines = []
        for name in settings.SPEECH_CHAIN:
            entry = settings.SPEECH_ENGINES[name]
            try:
                engines.append(import_string(entry["BACKEND"])(**entry["OPTIONS"]))
            except SpeechError as error:
                log.error("speech_engine_unusable", engine=name, code=error.code, reason=error.detail)
        if not engines:
            raise SpeechUnavailable("No engine of SPEECH_CHAIN can be used; the log says why for each.")
        return cls(engines)

    @property
    def sample_rate_hz(self) -> int:
        """The first engine's; another one may speak at another rate, as each chunk tells."""
        return self.engines[0].sample_rate_hz

    async def aclose(self) -> None:
        for engine in self.engines:
            await engine.aclose()

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[Spoken, None]:
        if not any(isinstance(sound, Syllable | Foreign) for sound in read(request.text, request.lexicon).sounds):
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._budget_s
        for n, engine in enumerate(self.engines):
            following = len(self.engines) - n - 1
            patience = deadline - loop.time() - self._reserve_s * following
            breaker = self.breakers[id(engine)]
            # The last one is always asked: there is nobody to pass it by for.
            if patience <= 0 or not (breaker.admits(patience) or not following):
                continue
            heard = False
            told = False
            try:
                async with aclosing(self._spoken(engine, request, loop.time() + patience)) as items:
                    async for item in items:
                        heard = True
                        yield item
                breaker.succeeded()
                told = True
                return
            except SpeechError as error:
                breaker.failed(error)
                told = True
                log.warning(
                    "speech_engine_failed",
                    engine=engine.name,
                    code=error.code,
                    outcome="ended" if heard else "passed_on",
                )
                if heard:
                    raise
            finally:
                if not told:
                    breaker.given_up()
        raise SpeechUnavailable

    async def _spoken(self, engine: SpeechEngine, request: SpeechRequest, until: float) -> AsyncGenerator[Spoken, None]:
        """One engine's pieces, none before its first sound, each in its time. Raises SpeechError and nothing else."""
        held: list[Spoken] = []
        heard = False
        items = engine.synthesize(request)
        try:
            while True:
                limit = asyncio.get_running_loop().time() + self._stall_s if heard else until
                try:
                    async with asyncio.timeout_at(limit):
                        item = await anext(items)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    raise EngineStalled(f"The engine {engine.name} gave nothing in its time.") from None
                except SpeechError:
                    raise
                except Exception as error:
                    log.error("speech_engine_broke", engine=engine.name, exc_info=error)
                    raise EngineCut(f"The engine {engine.name} broke: {type(error).__name__}.") from error
                if heard:
                    yield item
                    continue
                held.append(item)
                if isinstance(item, AudioChunk) and len(item.pcm):
                    heard = True
                    for early in held:
                        yield early
        finally:
            await items.aclose()
        if not heard:
            raise EngineCut(f"The engine {engine.name} ended without a sound.")
