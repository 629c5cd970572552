"""The mouth's curves: every Mandarin syllable has a shape, lips shut and round when they must, and rest when it is quiet."""

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pypinyin.contrib.tone_convert import to_initials
from pypinyin.pinyin_dict import pinyin_dict
from pypinyin.style._utils import get_finals

from avatar.timeline import BLENDSHAPES, VISEMES, Phoneme
from avatar.visemes import (
    FINALS,
    INITIALS,
    REST_MS,
    BlendshapeStream,
    blendshapes,
    canonical_final,
    parts,
    viseme_of,
    viseme_spans,
)

AT = {name: n for n, name in enumerate(BLENDSHAPES)}
FPS = 100.0  # a finer look than the stream's


def syllable(initial: str, final: str, start: int, initial_ms: int = 70, final_ms: int = 150) -> list[Phoneme]:
    middle = start + (initial_ms if initial else 0)
    text = f"{initial}{final}@{start}"
    made = [Phoneme(initial, viseme_of(initial), text, start, middle)] if initial else []
    return [*made, Phoneme(final, viseme_of(final, initial), text, middle, middle + final_ms)]


def speak(*syllables: tuple[str, str], gap_ms: int = 0, slowness: float = 1.0) -> list[Phoneme]:
    phonemes: list[Phoneme] = []
    for initial, final in syllables:
        start = phonemes[-1].end_ms + gap_ms if phonemes else 0
        phonemes += syllable(initial, final, start, round(70 * slowness), round(150 * slowness))
    return phonemes


def curve(phonemes: list[Phoneme], name: str) -> np.ndarray:
    return blendshapes(phonemes, phonemes[-1].end_ms, FPS).values[:, AT[name]]


def between(values: np.ndarray, start_ms: float, end_ms: float) -> np.ndarray:
    return values[int(start_ms / 1000 * FPS) : int(end_ms / 1000 * FPS) + 1]


def without_tone(reading: str) -> str:
    """``lǜ`` -> ``lü``: the marks of the tones go, the dots of ü and the hat of ê stay."""
    bare = "".join(c for c in unicodedata.normalize("NFD", reading) if c not in "\u0300\u0301\u0304\u030c")
    return unicodedata.normalize("NFC", bare)


def all_syllables() -> list[tuple[str, str]]:
    """Every reading of a common character as initial and final: the ~410 syllables of standard Mandarin and a few more."""
    lines = [line for code, line in pinyin_dict.items() if 0x4E00 <= code <= 0x9FA5]
    readings = {without_tone(reading) for line in lines for reading in line.split(",")}
    return sorted((to_initials(r, strict=False) or "", get_finals(r, strict=False)) for r in readings)


def test_every_mandarin_syllable_is_mapped() -> None:
    assert len(all_syllables()) > 400
    unknown = []
    for initial, final in all_syllables():
        try:
            if final:
                canonical_final(final, initial)
        except KeyError:
            unknown.append((initial, final))
    assert not unknown


@pytest.mark.parametrize(
    ("initial", "final", "viseme"), [("n", "g", "kk"), ("h", "ng", "kk"), ("h", "m", "PP"), ("", "n", "nn")]
)
def test_interjections_without_a_vowel_have_their_nasal(initial: str, final: str, viseme: str) -> None:
    assert viseme_of(final, initial) == viseme


@pytest.mark.parametrize("initial", sorted(INITIALS))
def test_every_initial_has_a_viseme(initial: str) -> None:
    assert viseme_of(initial) in VISEMES


@pytest.mark.parametrize("final", sorted(FINALS))
def test_every_final_shares_its_time_among_its_parts(final: str) -> None:
    assert sum(share for _sound, share in parts(final)) == pytest.approx(1.0)
    assert viseme_of(final) in VISEMES


@pytest.mark.parametrize(
    ("final", "viseme"), [("ong", "U"), ("ing", "I"), ("iong", "U"), ("en", "E"), ("ian", "E"), ("uang", "aa")]
)
def test_a_finals_viseme_is_that_of_its_vowel(final: str, viseme: str) -> None:
    assert viseme_of(final) == viseme


@pytest.mark.parametrize("name", ["A", "CT", "x-ray", "", "嗯", "123"])
def test_what_is_no_mandarin_sound_still_moves_the_mouth_somehow(name: str) -> None:
    assert viseme_of(name) in VISEMES


@pytest.mark.parametrize("initial", ["b", "p", "m"])
def test_lips_are_shut_before_the_release_of_b_p_m(initial: str) -> None:
    phonemes = speak(("t", "a"), (initial, "a"), ("t", "a"))
    onset = next(p for p in phonemes if p.phoneme == initial)
    shut = between(curve(phonemes, "mouthClose"), onset.end_ms - 50, onset.end_ms - 10)
    assert shut.min() > 0.97
    assert curve(phonemes, "mouthClose")[int((onset.end_ms + 90) / 1000 * FPS)] < 0.05


@pytest.mark.parametrize("length_ms", [10, 25, 40, 120])
def test_a_closure_is_long_enough_to_be_seen(length_ms: int) -> None:
    phonemes = [*speak(("t", "a")), *syllable("b", "a", 220, initial_ms=length_ms)]
    assert (curve(phonemes, "mouthClose") > 0.97).sum() >= 5  # 50 ms


def test_f_brings_the_lip_under_the_teeth_without_shutting() -> None:
    phonemes = speak(("t", "a"), ("f", "an"))
    onset = next(p for p in phonemes if p.phoneme == "f")
    assert between(curve(phonemes, "mouthRollLower"), onset.start_ms, onset.end_ms).max() > 0.85
    assert curve(phonemes, "mouthClose").max() < 0.05


def test_u_is_seen_through_the_consonant_before_it() -> None:
    phonemes = speak(("t", "a"), ("g", "u"))
    onset = next(p for p in phonemes if p.phoneme == "g")
    assert between(curve(phonemes, "mouthPucker"), onset.end_ms - 5, onset.end_ms)[0] > 0.4
    spread = speak(("t", "a"), ("g", "a"))
    assert curve(spread, "mouthPucker").max() == 0


def test_apical_i_keeps_the_initials_shape() -> None:
    assert parts("i", "sh") == (("apical-sh", 1.0),) and parts("i", "z") == (("apical-s", 1.0),)
    assert curve(speak(("sh", "i")), "mouthStretch").max() < 0.1 < curve(speak(("x", "i")), "mouthStretch").max()


def test_diphthongs_move_and_codas_close_down() -> None:
    jaw = curve(speak(("", "ai")), "jawOpen")
    assert jaw.max() > 2 * between(jaw, 130, 150).min()
    assert curve(speak(("", "an")), "tongueUp").max() > 0.8 > 0.1 > curve(speak(("", "ang")), "tongueUp").max()


@pytest.mark.parametrize(
    ("final", "initial", "whole"),
    [
        ("u", "j", "v"),
        ("uan", "y", "van"),
        ("un", "l", "uen"),
        ("ue", "x", "ve"),
        ("ong", "y", "iong"),
        ("o", "w", "uo"),
    ],
)
def test_finals_are_written_out_as_they_sound(final: str, initial: str, whole: str) -> None:
    assert canonical_final(final, initial) == whole


def test_short_pauses_hold_middle_ones_relax_long_ones_close() -> None:
    def least_open(gap_ms: int) -> float:
        phonemes = speak(("", "a"), ("t", "a"), gap_ms=gap_ms)
        return float(between(curve(phonemes, "jawOpen"), 150, 150 + gap_ms).min())

    assert least_open(100) > 0.15
    assert 0.05 < least_open(300) < 0.5
    assert least_open(600) < 0.01


@given(
    st.lists(
        st.tuples(st.sampled_from(["", *sorted(INITIALS)]), st.sampled_from(sorted(FINALS))), min_size=1, max_size=8
    )
)
@settings(max_examples=60, deadline=None)
def test_the_mouth_rests_within_200_ms_and_never_leaves_its_range(syllables: list) -> None:
    phonemes = speak(*syllables)
    track = blendshapes(phonemes, phonemes[-1].end_ms, FPS)
    assert track.values.min() >= 0 and track.values.max() <= 1
    assert np.abs(between(track.values, phonemes[-1].end_ms + REST_MS, phonemes[-1].end_ms + 200)).max() < 1e-3


@given(
    st.lists(st.tuples(st.sampled_from(sorted(INITIALS)), st.sampled_from(sorted(FINALS))), min_size=1, max_size=10),
    st.integers(0, 500),
    st.integers(20, 300),
    st.sampled_from([1.0, 0.5, 2.2]),
)
@example([("b", "a"), ("b", "m"), ("b", "er")], 56, 20, 1.0)  # nothing rounds the lips between the a and the er
@example([("b", "a"), ("t", "an"), ("b", "u")], 345, 20, 2.2)
@settings(max_examples=60, deadline=None)
def test_the_streamed_curves_are_the_whole_ones(syllables: list, gap_ms: int, step_ms: int, slowness: float) -> None:
    """Each phoneme arrives only when its sound begins: nothing that was handed out would have been different."""
    phonemes = speak(*syllables, gap_ms=gap_ms, slowness=slowness)
    whole = blendshapes(phonemes, phonemes[-1].end_ms)
    stream, pieces, waiting = BlendshapeStream(), [], list(phonemes)
    for heard in range(step_ms, phonemes[-1].end_ms + step_ms, step_ms):
        while waiting and waiting[0].start_ms <= heard:
            stream.push([waiting.pop(0)])
        pieces.append(stream.frames_until(heard).values)
    pieces.append(stream.finish(phonemes[-1].end_ms).values)
    streamed = np.concatenate(pieces)
    assert len(streamed) == len(whole.values)
    assert np.allclose(streamed, whole.values, atol=1e-4)


@given(
    st.lists(st.tuples(st.sampled_from(sorted(INITIALS)), st.sampled_from(sorted(FINALS))), max_size=8),
    st.integers(0, 400),
)
def test_viseme_spans_cover_the_utterance_without_gaps(syllables: list, gap_ms: int) -> None:
    phonemes = speak(*syllables, gap_ms=gap_ms)
    duration = (phonemes[-1].end_ms if phonemes else 0) + 100
    spans = viseme_spans(phonemes, duration)
    assert spans[0].start_ms == 0 and spans[-1].end_ms == duration
    assert all(a.end_ms == b.start_ms for a, b in zip(spans, spans[1:], strict=False))
    assert {span.viseme for span in spans} <= set(VISEMES)
