"""The voices: how long a text takes to be read, when the first sound comes, and how a sentence ends when the online voice breaks.

The online voice is a local server with faults (tests/avatar/edge_stub.py); its own network is not in these figures.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator

from benchmarks._sentences import SENTENCES

RUNS = 12


def figures() -> Iterator[dict]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
    import django

    django.setup()
    yield from read_figures()
    yield from asyncio.run(espeak_figures())
    yield from asyncio.run(alignment_figures())
    yield from asyncio.run(fault_figures())


def read_figures() -> Iterator[dict]:
    from avatar.speech_text import read

    took = []
    for sentence in SENTENCES:
        started = time.perf_counter()
        assert read(sentence).sounds
        took.append(1000 * (time.perf_counter() - started))
    yield figure("speech_text_read_p50_ms", percentile(took, 50), "ms")
    yield figure("speech_text_read_p95_ms", percentile(took, 95), "ms")


async def espeak_figures() -> list[dict]:
    from avatar.timeline import AudioChunk
    from avatar.tts.base import SpeechRequest
    from avatar.tts.espeak import EspeakEngine

    engine = EspeakEngine()
    started = time.perf_counter()
    first, sound_s, spent_s = [], 0.0, 0.0
    cold = 0.0
    for sentence in SENTENCES:
        began = time.perf_counter()
        heard = False
        async for item in engine.synthesize(SpeechRequest(sentence)):
            if isinstance(item, AudioChunk):
                sound_s += item.duration_ms / 1000
                if not heard:
                    heard = True
                    first.append(1000 * (time.perf_counter() - began))
        spent_s += time.perf_counter() - began
        cold = cold or 1000 * (time.perf_counter() - started)
    await engine.aclose()
    return [
        figure("espeak_start_and_first_sentence_ms", cold, "ms"),
        figure("espeak_first_sound_p50_ms", percentile(first, 50), "ms"),
        figure("espeak_first_sound_p95_ms", percentile(first, 95), "ms"),
        figure("espeak_times_real_time", sound_s / spent_s, "x"),
    ]


async def alignment_figures() -> list[dict]:
    """How far phonemes that are found inside words of two syllables lie from what the embedded voice tells of itself."""
    import numpy as np

    from avatar.speech_text import Mark, read
    from avatar.timeline import AudioChunk, Phoneme
    from avatar.tts.base import SpeechRequest
    from avatar.tts.espeak import EspeakEngine
    from avatar.tts.within import envelope, time_word

    engine = EspeakEngine()
    errors: dict[str, list[float]] = {"blind": [], "in_sound": []}
    for sentence in SENTENCES:
        items = [item async for item in engine.synthesize(SpeechRequest(sentence))]
        told = [item for item in items if isinstance(item, Phoneme)]
        pcm = np.concatenate([item.pcm for item in items if isinstance(item, AudioChunk)])
        sounds = [sound for sound in read(sentence).sounds if not isinstance(sound, Mark)]
        at = 0
        for n in range(0, len(sounds), 2):
            word = sounds[n : n + 2]
            count = sum(2 if getattr(sound, "initial", "") else 1 for sound in word)
            truth, at = told[at : at + count], at + count
            start, end = truth[0].start_ms, truth[-1].end_ms
            rate = engine.sample_rate_hz
            loudness = envelope(pcm[start * rate // 1000 : end * rate // 1000], rate)
            for name, given in (("blind", None), ("in_sound", loudness)):
                found = time_word(word, start, end, given)
                errors[name] += [abs(a.start_ms - b.start_ms) for a, b in zip(found[1:], truth[1:], strict=True)]
    await engine.aclose()
    return [
        figure(f"phonemes_{name}_error_{kind}_ms", value, "ms")
        for name, values in errors.items()
        for kind, value in (("mean", sum(values) / len(values)), ("p90", percentile(values, 90)))
    ]


async def fault_figures() -> list[dict]:
    """With the service's own limits, breakers fresh for each fault: from the request to the first sound and to the end."""
    from avatar.exceptions import SpeechError
    from avatar.timeline import AudioChunk
    from avatar.tts.base import SpeechRequest
    from avatar.tts.chain import SpeechChain
    from avatar.tts.edge import EdgeEngine
    from avatar.tts.espeak import EspeakEngine
    from tests.avatar.edge_stub import Fault, edge_stub

    found = []
    espeak = EspeakEngine()
    async for _ in espeak.synthesize(SpeechRequest("你好")):
        pass
    for fault in Fault:
        silences, spoken = [], 0
        async with edge_stub([fault]) as stub:
            voice = SpeechChain([EdgeEngine(endpoint=stub.endpoint), espeak])
            for sentence in SENTENCES[:RUNS]:
                last = time.perf_counter()
                with contextlib.suppress(SpeechError):
                    async for item in voice.synthesize(SpeechRequest(sentence)):
                        if isinstance(item, AudioChunk):
                            silences.append(1000 * (time.perf_counter() - last))
                            last = time.perf_counter()
                    spoken += 1
                silences.append(1000 * (time.perf_counter() - last))
        name = fault.name.lower()
        # from the request, or the sound before, to the next sound or the typed end
        found.append(figure(f"voice_{name}_longest_wait_ms", max(silences), "ms"))
        found.append(figure(f"voice_{name}_spoken_whole_percent", 100 * spoken / RUNS, "%"))
    await espeak.aclose()
    return found


def percentile(values: list[float], n: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * n // 100)]


def figure(name: str, value: float, unit: str) -> dict:
    return {"name": name, "value": round(value, 2), "unit": unit}
