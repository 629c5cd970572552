"""Lips against sound, measured from outside: FaceMesh on every frame decoded from the film that ``manage.py say`` writes.

    python -m benchmarks lips                     108 sentences, about seven minutes of film
    LIPS_FILM=hour python -m benchmarks lips      an hour of film: how far sound and picture drift apart
    LIPS_AVATAR=NAME LIPS_ENGINE=NAME ...         another avatar or voice

FaceMesh runs on each frame by itself (its tracking would smooth what is to be measured). Openings are the gap between the inner lips
(landmarks 13, 14) as a part of the mouth's width (78, 308); widths are parts of the face's width (234, 454), so that neither
knows of the head's movement.
"""

import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

FPS = 25
FRAME_MS = 1000 // FPS
SHUT = 0.03
TOLERANCE_MS = 40
STEP_MS = 5
# Lips have come to rest this long after the last sound, and may prepare the next this long before it.
REST_AFTER_MS, REST_BEFORE_MS = 200, 120
PROCESSES = 2
Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lips:
    """One value a frame; nan where no face was found."""

    gap: Series
    width: Series

    @property
    def times_ms(self) -> Series:
        return np.arange(len(self.gap)) * float(FRAME_MS)

    def between(self, start_ms: float, end_ms: float) -> slice:
        """The frames that are shown at any time of [start_ms, end_ms]."""
        return slice(max(0, int(np.ceil(start_ms / FRAME_MS))), int(np.floor(end_ms / FRAME_MS)) + 1)

    def nearest(self, at_ms: float) -> int:
        return min(round(at_ms / FRAME_MS), len(self.gap) - 1)


def figures() -> Iterator[dict]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
    import django

    django.setup()
    from benchmarks._sentences import SENTENCES

    yield from patch_figures()
    with tempfile.TemporaryDirectory() as folder:
        film, timeline = Path(folder) / "lips.mp4", Path(folder) / "lips.json"
        if os.environ.get("LIPS_FILM") == "hour":
            yield from hour_figures(film, SENTENCES)
            return
        say(SENTENCES, film, timeline)
        yield from lip_figures(film, json.loads(timeline.read_text(encoding="utf-8")))
        yield figure("lip_sentences", len(SENTENCES), "sentences")


def say(sentences: list[str], film: Path, timeline: Path | None = None) -> None:
    from django.core.management import call_command

    text = film.with_suffix(".txt")
    text.write_text("\n".join(sentences), encoding="utf-8")
    options = {
        "text_file": text,
        "avatar": os.environ.get("LIPS_AVATAR", "xiaolan"),
        "engine": os.environ.get("LIPS_ENGINE", "espeak"),
        "out": film,
        "timeline": timeline,
    }
    with open(os.devnull, "w") as nowhere:
        call_command("say", stdout=nowhere, **options)


def patch_figures() -> Iterator[dict]:
    """Patches drawn from a photograph's rig and encoded, none twice in a row, by one thread of one process."""
    import cv2

    from avatar.photograph import build
    from avatar.renderers import ASSETS
    from avatar.renderers.mesh import MeshRenderer

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        renderer = MeshRenderer(build(ASSETS / "xiaolan" / "portrait.jpg", "benchmark", Path(folder)))
        states = [state.id for state in renderer.rig.mouth_states]
        for state in states:
            renderer.patch(state)
        rates = []
        for _ in range(5):
            started, size = time.process_time(), 0
            for state in states * 4:
                size += len(renderer.patch(state))
            rates.append(4 * len(states) / (time.process_time() - started))
    # The median of five: other work on the machine takes caches and turbo away from some of them.
    yield figure("mouth_patches_per_second_core", float(np.median(rates)), "patches/s")
    yield figure("mouth_patch_bytes", size / (4 * len(states)), "bytes")


def lip_figures(film: Path, timeline: dict) -> Iterator[dict]:
    lips, sound, rate_hz = seen(film), *heard(film)
    found = ~np.isnan(lips.gap)
    yield figure("lip_frames_with_face_percent", 100 * found.mean(), "%")
    offset, correlation = av_offset(lips, sound, rate_hz)
    yield figure("av_offset_ms", offset, "ms")
    yield figure("av_correlation", correlation, "")
    thirds = [av_offset(lips, sound, rate_hz, part)[0] for part in ((0.0, 1 / 3), (2 / 3, 1.0))]
    yield figure("av_offset_last_third_against_first_ms", thirds[1] - thirds[0], "ms")
    yield figure("av_drift_ms_per_hour", clock_drift(film), "ms/h")

    phonemes = timeline["phonemes"]
    lip_sounds = [p for p in phonemes if p["phoneme"] in ("b", "p", "m")]
    shut = [
        np.nanmin(lips.gap[lips.between(p["start_ms"] - TOLERANCE_MS, p["end_ms"] + TOLERANCE_MS)]) <= SHUT
        for p in lip_sounds
    ]
    yield figure("lips_closed_in_bpm_percent", 100 * float(np.mean(shut)), "%")
    yield figure("lip_bpm_count", len(shut), "sounds")
    vowels = [p for p in phonemes if p["phoneme"][0] in "aoeiuvü" and p["end_ms"] - p["start_ms"] >= FRAME_MS]
    wrong = [lips.gap[lips.nearest((p["start_ms"] + p["end_ms"]) / 2)] <= SHUT for p in vowels]
    yield figure("vowels_wrongly_closed_percent", 100 * float(np.mean(wrong)), "%")
    yield figure("lip_vowel_count", len(vowels), "sounds")

    silent = silences(phonemes, timeline["duration_ms"])
    rest = np.concatenate([lips.width[lips.between(*span)] for span in silent])
    rest_width = float(np.nanmedian(rest))
    rounded = [p for p in phonemes if p["phoneme"] in ("u", "v", "ü")]
    widths = [np.nanmin(lips.width[lips.between(p["start_ms"], p["end_ms"])]) for p in rounded if any_frame(lips, p)]
    yield figure("mouth_width_u_percent_of_rest", 100 * float(np.mean(widths)) / rest_width, "%")
    yield figure("mouth_width_u_p90_percent_of_rest", 100 * float(np.percentile(widths, 90)) / rest_width, "%")
    moves = [np.nanstd(lips.gap[lips.between(*span)]) for span in silent if len(lips.gap[lips.between(*span)]) > 2]
    yield figure("lip_motion_in_silence_percent", 100 * float(np.mean(moves)), "% of mouth width")
    yield figure("lip_silences_count", len(moves), "silences")


def hour_figures(film: Path, sentences: list[str]) -> Iterator[dict]:
    """An hour, looked at in its first and last two minutes; and what memory the second half hour took."""
    say(sentences, film)
    with av.open(str(film)) as opened:
        times = round(3600 / (opened.duration / 1e6) + 0.5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    say(sentences * times, film)
    yield figure("say_hour_times_real_time", 3600 / (time.monotonic() - started), "x")
    yield figure(
        "say_hour_memory_growth_mb", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, "MB"
    )
    sound, rate_hz = heard(film)
    last_ms = len(sound) * 1000 / rate_hz
    offsets = []
    for start_ms in (0.0, last_ms - 120_000):
        first = int(start_ms / FRAME_MS)
        lips = seen(film, first, first + 120 * FPS)
        part = sound[int(first * FRAME_MS * rate_hz / 1000) :][: 120 * rate_hz]
        offsets.append(av_offset(lips, part, rate_hz)[0])
    yield figure("av_offset_after_an_hour_ms", offsets[1], "ms")
    yield figure("av_drift_over_an_hour_ms", offsets[1] - offsets[0], "ms")
    yield figure("av_drift_ms_per_hour", clock_drift(film), "ms/h")


def seen(film: Path, first: int = 0, end: int | None = None) -> Lips:
    """FaceMesh on frames ``first`` .. ``end`` of ``film``."""
    with av.open(str(film)) as opened:
        end = end or opened.streams.video[0].frames
    edges = np.linspace(first, end, PROCESSES + 1).astype(int)
    # Spawned: FaceMesh's threads do not survive a fork.
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_measure, [film] * PROCESSES, edges[:-1], edges[1:]))
    both = np.concatenate(parts)
    return Lips(gap=both[:, 0], width=both[:, 1])


def _measure(film: Path, first: int, end: int) -> Series:
    from mediapipe.python.solutions.face_mesh import FaceMesh

    values = np.full((end - first, 2), np.nan)
    with av.open(str(film)) as opened, FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        stream = opened.streams.video[0]
        opened.seek(int(first / FPS / stream.time_base), stream=stream)
        for frame in opened.decode(stream):
            number = round(float(frame.pts * frame.time_base) * FPS)
            if number < first:
                continue
            if number >= end:
                break
            faces = mesh.process(frame.to_ndarray(format="rgb24")).multi_face_landmarks
            if faces:
                at = faces[0].landmark

                def apart(a: int, b: int, at=at, frame=frame) -> float:
                    return float(np.hypot((at[a].x - at[b].x) * frame.width, (at[a].y - at[b].y) * frame.height))

                values[number - first] = apart(13, 14) / apart(78, 308), apart(78, 308) / apart(234, 454)
    return values


def heard(film: Path) -> tuple[Series, int]:
    """The decoded samples, placed by their own time stamps."""
    parts, rate_hz = [], 0
    with av.open(str(film)) as opened:
        rate_hz = opened.streams.audio[0].rate
        for frame in opened.decode(audio=0):
            begin = round(float(frame.pts * frame.time_base) * rate_hz)
            parts.append(frame.to_ndarray()[0][max(0, -begin) :])
    return np.concatenate(parts).astype(float), rate_hz


def av_offset(lips: Lips, sound: Series, rate_hz: int, part: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
    """The lag in ms at which opening and loudness agree best, and their correlation there. Positive: lips behind the sound."""
    step = rate_hz * STEP_MS // 1000
    loud = np.sqrt(np.convolve(sound**2, np.ones(step * 8) / (step * 8), mode="same")[::step])
    times = np.arange(len(loud)) * (1000.0 * step / rate_hz)  # a step is a whole number of samples, not quite STEP_MS
    known = ~np.isnan(lips.gap)
    opening = np.interp(times, lips.times_ms[known], lips.gap[known])
    chosen = slice(int(part[0] * len(times)), int(part[1] * len(times)))
    loud, opening = loud[chosen], opening[chosen]
    most = 300 // STEP_MS
    lags = np.arange(-most, most + 1)
    inner = slice(most, len(loud) - most)
    agreement = [np.corrcoef(loud[inner], np.roll(opening, -lag)[inner])[0, 1] for lag in lags]
    best = int(np.argmax(agreement))
    return float(lags[best] * STEP_MS), float(agreement[best])


def clock_drift(film: Path) -> float:
    """How much longer an hour of this film's pictures is than an hour of its sound, by the time stamps in the file."""
    with av.open(str(film)) as opened:
        pictures = [float(p.pts * p.time_base) for p in opened.demux(video=0) if p.pts is not None]
    with av.open(str(film)) as opened:
        rate_hz = opened.streams.audio[0].rate
        packets = [(float(p.pts * p.time_base), p.duration) for p in opened.demux(audio=0) if p.pts is not None]
    frames = (pictures[-1] - pictures[0]) / ((len(pictures) - 1) / FPS)
    samples = (packets[-1][0] - packets[0][0]) / (1024 * (len(packets) - 1) / rate_hz)
    return 3_600_000 * (frames - samples)


def silences(phonemes: list[dict], duration_ms: int) -> list[tuple[float, float]]:
    """Spans in which nothing sounds and lips have had time to come to rest."""
    starts = [*(p["start_ms"] for p in phonemes[1:]), duration_ms + REST_BEFORE_MS]
    spans = [
        (phoneme["end_ms"] + REST_AFTER_MS, start - REST_BEFORE_MS)
        for phoneme, start in zip(phonemes, starts, strict=True)
    ]
    return [(start, end) for start, end in spans if end - start >= 3 * FRAME_MS]


def any_frame(lips: Lips, phoneme: dict) -> bool:
    return len(lips.width[lips.between(phoneme["start_ms"], phoneme["end_ms"])]) > 0


def figure(name: str, value: float, unit: str) -> dict:
    return {"name": name, "value": round(float(value), 3), "unit": unit}
