"""Films: sound and picture on one clock, decoded again from the file; the timeline; the label; what ends in an error."""

import json
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path

import av
import numpy as np
import pytest
from django.core.management import CommandError, call_command

from avatar.exceptions import EngineStalled, EngineUnavailable
from avatar.film import FPS, PAUSE_MS, Made, Stage, aigc_label, make, sentences
from avatar.renderers import get_renderer
from avatar.timeline import BLENDSHAPES, AudioChunk, Phoneme
from avatar.tts.base import SpeechRequest

RATE_HZ = 16_000


class Tones:
    """A voice of one syllable *ma* a character: 120 ms shut and silent, 180 ms open and loud."""

    sample_rate_hz = RATE_HZ

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at = fails_at

    async def synthesize(self, request: SpeechRequest) -> AsyncIterator[AudioChunk | Phoneme]:
        loud = (9000 * np.sin(np.arange(RATE_HZ * 180 // 1000) / 5)).astype(np.int16)
        syllable = np.concatenate([np.zeros(RATE_HZ * 120 // 1000, np.int16), loud])
        for number, character in enumerate(request.text):
            if character == self.fails_at:
                raise EngineStalled
            at = number * 300
            yield Phoneme("m", "PP", character, at, at + 120)
            yield Phoneme("a", "aa", character, at + 120, at + 300)
            yield AudioChunk(at, RATE_HZ, syllable)


async def film(folder: Path, *said: str, **options) -> tuple[Made, Path]:
    out = folder / "film.mp4"
    made = await make(said, voice=Tones(), renderer=get_renderer("xiaolan"), out=out, **options)
    return made, out


def decoded(path: Path) -> tuple[list[np.ndarray], np.ndarray, int]:
    """Pictures (grey), samples by their own time stamps, and the sample rate."""
    with av.open(str(path)) as opened:
        pictures = [frame.to_ndarray(format="gray") for frame in opened.decode(video=0)]
    with av.open(str(path)) as opened:
        rate = opened.streams.audio[0].rate
        parts = []
        for frame in opened.decode(audio=0):
            samples = frame.to_ndarray()[0]
            begin = round(float(frame.pts * frame.time_base) * rate)
            parts.append(samples[max(0, -begin) :])
    return pictures, np.concatenate(parts), rate


async def test_length_in_frames_and_samples_is_one_time(tmp_path):
    made, out = await film(tmp_path, "妈妈", "妈")
    assert made.frames == (600 + 300) * FPS // 1000 + 1 + 2 * PAUSE_MS * FPS // 1000
    assert made.samples * FPS == made.frames * RATE_HZ
    assert made.duration_ms == made.frames * 1000 // FPS
    pictures, sound, rate = decoded(out)
    assert len(pictures) == made.frames and rate == RATE_HZ
    assert abs(len(sound) - made.samples) < 1100  # the last AAC frame is filled up
    assert pictures[0].shape == (512, 512)


async def test_lips_open_when_it_sounds(tmp_path):
    made, out = await film(tmp_path, "妈妈妈妈妈妈妈妈", still=True)
    pictures, sound, _ = decoded(out)
    x, y, w, h = get_renderer("xiaolan").mouth_box
    shut = pictures[-1][y : y + h, x : x + w].astype(float)
    opening = np.array([np.abs(image[y : y + h, x : x + w] - shut).mean() for image in pictures])
    step = RATE_HZ // FPS
    loud = np.array([np.abs(sound[i * step : (i + 1) * step]).mean() for i in range(made.frames)])
    at = {lag: np.corrcoef(np.roll(opening, lag)[5:-5], loud[5:-5])[0, 1] for lag in range(-4, 5)}
    assert abs(max(at, key=at.get)) <= 1
    assert max(at.values()) > 0.5


async def test_nothing_moves_in_silence(tmp_path):
    made, out = await film(tmp_path, "妈", still=True)
    pictures, _, _ = decoded(out)
    assert np.abs(pictures[-1].astype(int) - pictures[-2].astype(int)).mean() < 0.2


async def test_timeline_is_exactly_what_was_said(tmp_path):
    made, _ = await film(tmp_path, "妈妈", "吗", timeline=tmp_path / "timeline.json")
    value = json.loads((tmp_path / "timeline.json").read_text(encoding="utf-8"))
    assert list(value) == ["duration_ms", "phonemes", "visemes"]
    assert value["duration_ms"] == made.duration_ms
    assert value["phonemes"][0] == {"phoneme": "m", "viseme": "PP", "text": "妈", "start_ms": 0, "end_ms": 120}
    second = 600 + PAUSE_MS
    assert [p["start_ms"] for p in value["phonemes"]] == [0, 120, 300, 420, second, second + 120]
    assert all(set(span) == {"viseme", "start_ms", "end_ms"} for span in value["visemes"])
    starts = [span["start_ms"] for span in value["visemes"]]
    assert starts == sorted(starts)
    assert all(a["end_ms"] <= b["start_ms"] for a, b in zip(value["visemes"], value["visemes"][1:], strict=False))


async def test_the_label_of_generated_content_is_in_the_file(tmp_path):
    _, out = await film(tmp_path, "妈", metadata=aigc_label("某医院", "42"))
    with av.open(str(out)) as opened:
        label = json.loads(opened.metadata["AIGC"])
    assert label["Label"] == "1" and label["ContentProducer"] == "某医院" and label["ProduceID"] == "42"
    assert set(label) == {
        "Label",
        "ContentProducer",
        "ProduceID",
        "ReservedCode1",
        "ContentPropagator",
        "PropagateID",
        "ReservedCode2",
    }


async def test_progress_rises_to_the_end(tmp_path):
    heard: list[tuple[int, int]] = []
    await film(tmp_path, "妈妈", "妈", progress=lambda *now: heard.append(now))
    assert heard == sorted(heard) and heard[-1][0] == 3


async def test_a_voice_that_fails_leaves_no_half_film(tmp_path):
    out = tmp_path / "film.mp4"
    with pytest.raises(EngineStalled):
        await make(
            ["妈妈", "坏妈"], voice=Tones("坏"), renderer=get_renderer("xiaolan"), out=out, timeline=tmp_path / "t.json"
        )
    assert list(tmp_path.iterdir()) == []


async def test_a_rate_that_gives_no_whole_samples(tmp_path):
    voice = Tones()
    voice.sample_rate_hz = 11_026
    with pytest.raises(EngineUnavailable):
        await make(["妈"], voice=voice, renderer=get_renderer("xiaolan"), out=tmp_path / "film.mp4")


def test_idle_motion_moves_the_head_and_blinks():
    stage = Stage(get_renderer("xiaolan"))
    rest = np.zeros(len(BLENDSHAPES), np.float32)
    first, later = stage.frame(rest, "neutral", 0).astype(int), stage.frame(rest, "neutral", 1800).astype(int)
    assert 0 < np.abs(first - later).mean() < 6
    assert np.abs(first - later)[:60, :60].mean() < 0.5, "the background stays"


def test_sentences():
    assert list(sentences(["您好！请到3号窗口，谢谢。\n", "医生说：“好的。”好吗？"])) == [
        "您好！",
        "请到3号窗口，谢谢。",
        "医生说：“好的。”",
        "好吗？",
    ]
    long = "，".join(["今天天气很好我们去看病"] * 40) + "。"
    parts = list(sentences([long]))
    assert all(len(part) <= 120 for part in parts) and "".join(parts) == long
    assert list(sentences(["啊" * 300]))[0] == "啊" * 120
    assert list(sentences(["", "  \n "])) == []


class TestCommand:
    @pytest.fixture(autouse=True)
    def voice(self, settings, monkeypatch):
        settings.SPEECH_ENGINES = {"espeak": {"BACKEND": "tests.avatar.test_film.Tones", "OPTIONS": {}}}

    def test_says_a_text(self, tmp_path, capsys):
        said = StringIO()
        out, timeline = tmp_path / "a.mp4", tmp_path / "a.json"
        call_command(
            "say", "妈妈。妈", "--engine", "espeak", "--out", str(out), "--timeline", str(timeline), stdout=said
        )
        assert out.stat().st_size > 10_000 and json.loads(timeline.read_text())["phonemes"]
        assert "100%" in capsys.readouterr().err

    def test_says_a_file(self, tmp_path):
        (tmp_path / "text.txt").write_text("妈妈。\n妈。", encoding="utf-8")
        call_command(
            "say", "--text-file", str(tmp_path / "text.txt"), "--out", str(tmp_path / "a.mp4"), stdout=StringIO()
        )
        assert (tmp_path / "a.mp4").exists()

    def test_refusals(self, tmp_path):
        for arguments in (
            ["", "--out", str(tmp_path / "a.mp4")],
            ["妈", "--out", str(tmp_path / "none" / "a.mp4")],
            ["妈", "--avatar", "nobody", "--out", str(tmp_path / "a.mp4")],
            ["--text-file", str(tmp_path / "none.txt"), "--out", str(tmp_path / "a.mp4")],
        ):
            with pytest.raises(CommandError):
                call_command("say", *arguments, stdout=StringIO())
        assert list(tmp_path.iterdir()) == []
