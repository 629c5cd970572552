"""Phonemes inside a word: whole, in order, in proportion; and where the sound tells more, near what a voice itself says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.speech_text import Foreign, Syllable, read
from avatar.timeline import AudioChunk, Phoneme
from avatar.tts.base import SpeechRequest
from avatar.tts.espeak import EspeakEngine
from avatar.tts.within import HOP_MS, envelope, time_word, typical

RATE_HZ = 16000


def sounds(text: str) -> list[Syllable | Foreign]:
    return [sound for sound in read(text).sounds if isinstance(sound, Syllable | Foreign)]


def bursts(*lengths_ms: int) -> np.ndarray:
    """A tone for each length that swells and fades."""
    pieces = []
    for length in lengths_ms:
        n = length * RATE_HZ // 1000
        pieces.append(9000 * np.sin(np.pi * np.arange(n) / n) * np.sin(2 * np.pi * 200 * np.arange(n) / RATE_HZ))
    return np.concatenate(pieces).astype(np.int16)


@given(
    st.text("挂号大夫血压你好一二三四五", min_size=1, max_size=6),
    st.integers(0, 5000),
    st.integers(1, 3000),
    st.sampled_from(["none", "silence", "noise", "short"]),
)
@settings(max_examples=80, deadline=None)
def test_phonemes_fill_the_word_without_gaps(text: str, start: int, length: int, sound: str) -> None:
    pcm = np.random.default_rng(length).integers(-9000, 9000, length * RATE_HZ // 1000).astype(np.int16)
    loudness = {
        "none": None,
        "silence": envelope(pcm * 0, RATE_HZ),
        "noise": envelope(pcm, RATE_HZ),
        "short": envelope(pcm[: len(pcm) // 3], RATE_HZ),
    }[sound]
    phonemes = time_word(sounds(text), start, start + length, loudness)
    assert phonemes[0].start_ms == start and phonemes[-1].end_ms == start + length
    for before, behind in zip(phonemes, phonemes[1:], strict=False):
        assert before.start_ms <= before.end_ms == behind.start_ms <= behind.end_ms


def test_nothing_is_said_in_no_time() -> None:
    assert time_word(sounds("你好"), 100, 100) == []
    assert time_word([], 0, 500) == []


def test_without_a_sound_lengths_are_typical_ones() -> None:
    short, long = time_word(sounds("八"), 0, 300), time_word(sounds("沙"), 0, 300)
    assert short[0].end_ms < long[0].end_ms  # a stop is shorter than a hiss
    (neutral, full) = (sum(typical(sound)) for sound in sounds("的")), sum(typical(sounds("得病")[0]))
    assert sum(neutral) < full


def test_syllables_meet_where_it_is_weakest() -> None:
    phonemes = time_word(sounds("啊啊"), 1000, 1500, envelope(bursts(220, 280), RATE_HZ))
    assert phonemes[0].end_ms == pytest.approx(1220, abs=2 * HOP_MS)


def test_a_vowel_begins_where_it_rises() -> None:
    hiss = np.random.default_rng(1).integers(-400, 400, 120 * RATE_HZ // 1000).astype(np.int16)
    vowel = (9000 * np.sin(2 * np.pi * 200 * np.arange(180 * RATE_HZ // 1000) / RATE_HZ)).astype(np.int16)
    phonemes = time_word(sounds("沙"), 0, 300, envelope(np.concatenate([hiss, vowel]), RATE_HZ))
    assert phonemes[0].end_ms == pytest.approx(120, abs=3 * HOP_MS)


def test_a_foreign_word_is_one_phoneme() -> None:
    (phoneme,) = time_word(sounds("ibuprofen"), 0, 600)
    assert (phoneme.phoneme, phoneme.start_ms, phoneme.end_ms) == ("ibuprofen", 0, 600)


async def test_the_sound_brings_borders_near_to_what_the_voice_itself_tells() -> None:
    """The embedded voice knows its own times. Given only where its words begin and end, they are found again."""
    engine = EspeakEngine()
    blind, seeing = [], []
    for text in (
        "请到三楼抽血窗口排队等候",
        "饭后半小时服用一片阿莫西林",
        "孩子发烧咳嗽要看儿科门诊",
        "出门左转就是缴费大厅",
    ):
        items = [item async for item in engine.synthesize(SpeechRequest(text))]
        told = [item for item in items if isinstance(item, Phoneme)]
        pcm = np.concatenate([item.pcm for item in items if isinstance(item, AudioChunk)])
        words = [text[n : n + 3] for n in range(0, len(text), 3)]
        first = 0
        for word in words:
            own = sounds(word)
            count = sum(2 if sound.initial else 1 for sound in own)
            truth, first = told[first : first + count], first + count
            start, end = truth[0].start_ms, truth[-1].end_ms
            rate = engine.sample_rate_hz
            loudness = envelope(pcm[start * rate // 1000 : end * rate // 1000], rate)
            for found, errors in ((time_word(own, start, end), blind), (time_word(own, start, end, loudness), seeing)):
                errors += [abs(a.start_ms - b.start_ms) for a, b in zip(found[1:], truth[1:], strict=True)]
    await engine.aclose()
    assert np.median(seeing) <= 15 and np.percentile(seeing, 90) <= 40
    assert np.mean(seeing) < 0.6 * np.mean(blind)
