"""The neural voice of this machine: folders that are not whole are refused with what to do; a whole one speaks."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avatar.exceptions import EngineUnavailable
from avatar.speech_text import read
from avatar.timeline import AudioChunk, Boundary, Phoneme
from avatar.tts.base import SpeechRequest
from avatar.tts.phrases import time_phrases
from avatar.tts.sherpa import ModelFolder, SherpaEngine
from tests.avatar.toy_voice import RATE_HZ, TOKEN_MS, unpack


class Library(SimpleNamespace):
    """What the engine uses of sherpa_onnx: configurations are kept as they are given, a token's sound is a swelling tone."""

    def __init__(self) -> None:
        def keep(kind: str):
            return lambda **given: SimpleNamespace(kind=kind, validate=lambda: True, **given)

        super().__init__(
            **{
                f"OfflineTts{name}": keep(name)
                for name in ("Config", "ModelConfig", "VitsModelConfig", "MatchaModelConfig", "KokoroModelConfig")
            },
            OfflineTts=self.made,
        )
        self.configs: list = []
        self.asked: list[tuple[str, int, float]] = []

    def made(self, config: SimpleNamespace) -> SimpleNamespace:
        if "broken" in str(vars(config.model)):
            raise RuntimeError("no graph in it")
        self.configs.append(config.model)
        return SimpleNamespace(sample_rate=RATE_HZ, generate=self.generate)

    def generate(self, text: str, sid: int, speed: float) -> SimpleNamespace:
        self.asked.append((text, sid, speed))
        samples = []
        for char in text:
            n = int(2 * TOKEN_MS * RATE_HZ / 1000 / speed)
            swell = 0.0 if char in "，。" else np.sin(np.pi * np.arange(n) / n)
            samples.append(1.5 * swell * np.sin(2 * np.pi * 220 * np.arange(n) / RATE_HZ))
        return SimpleNamespace(samples=np.concatenate(samples).tolist(), sample_rate=RATE_HZ)


@pytest.fixture
def library(monkeypatch) -> Library:
    stand_in = Library()
    monkeypatch.setitem(sys.modules, "sherpa_onnx", stand_in)
    return stand_in


async def said(engine: SherpaEngine, text: str, **more: object) -> list:
    return [item async for item in engine.synthesize(SpeechRequest(text, **more))]


def test_no_folder_no_package_no_engine(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(EngineUnavailable, match="COMPANION_SHERPA_MODEL"):
        SherpaEngine(model_dir="")
    with pytest.raises(EngineUnavailable, match="no folder"):
        SherpaEngine(model_dir=str(tmp_path / "none"))
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    with pytest.raises(EngineUnavailable, match="neural"):
        SherpaEngine(model_dir=str(unpack(tmp_path / "voice")))


@pytest.mark.parametrize("missing", ["model.onnx", "tokens.txt", "lexicon.txt"])
def test_an_incomplete_folder_says_what_it_lacks(tmp_path: Path, missing: str) -> None:
    folder = unpack(tmp_path / "voice")
    (folder / missing).unlink()
    with pytest.raises(EngineUnavailable, match=r"onnx" if missing == "model.onnx" else missing):
        ModelFolder.look_into(folder)


@pytest.mark.parametrize("content", [b"", b"no voice at all"])
def test_a_model_that_is_none_is_refused_before_the_library_sees_it(tmp_path: Path, content: bytes) -> None:
    folder = unpack(tmp_path / "voice")
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(EngineUnavailable, match="sample rate"):
        ModelFolder.look_into(folder)


def test_what_the_library_refuses_is_typed(tmp_path: Path, library: Library) -> None:
    with pytest.raises(EngineUnavailable, match="no graph in it"):
        SherpaEngine(model_dir=str(unpack(tmp_path / "broken")))


def test_families_are_told_by_their_files(tmp_path: Path, library: Library) -> None:
    vits = unpack(tmp_path / "vits")
    matcha = unpack(tmp_path / "matcha")
    (matcha / "model.onnx").rename(matcha / "model-steps-3.onnx")
    with pytest.raises(EngineUnavailable, match="vocoder"):
        ModelFolder.look_into(matcha)
    (matcha / "vocos-16khz.onnx").write_bytes(b"sample_rate")
    kokoro = unpack(tmp_path / "kokoro")
    (kokoro / "voices.bin").write_bytes(b"voices")
    (kokoro / "espeak-ng-data").mkdir()
    (kokoro / "lexicon-zh.txt").write_text("好 h ao3\n", encoding="utf-8")
    for folder in (vits, matcha, kokoro):
        SherpaEngine(model_dir=str(folder), threads=2)
    first, second, third = library.configs
    assert first.vits.model.endswith("vits/model.onnx") and first.num_threads == 2
    assert second.matcha.acoustic_model.endswith("model-steps-3.onnx")
    assert second.matcha.vocoder.endswith("vocos-16khz.onnx")
    assert third.kokoro.voices.endswith("voices.bin") and third.kokoro.data_dir.endswith("espeak-ng-data")
    assert [Path(path).name for path in third.kokoro.lexicon.split(",")] == ["lexicon-zh.txt", "lexicon.txt"]


async def test_it_says_what_is_normalised_and_times_what_is_written(tmp_path: Path, library: Library) -> None:
    engine = SherpaEngine(model_dir=str(unpack(tmp_path / "voice")), speaker=3)
    items = await said(engine, "服0.5g，好。你好", rate=0.5)
    await said(engine, "好", voice="7")
    assert library.asked == [("服零点五克，好", 3, 0.5), ("你好", 3, 0.5), ("好", 7, 1.0)]
    words = [item for item in items if isinstance(item, Boundary)]
    assert [word.text for word in words] == ["服", "0.5", "g", "好", "你", "好"]
    # a character is 400 ms, and so is the silence of the comma
    assert words[2].end_ms == pytest.approx(2000, abs=40) and words[3].start_ms == pytest.approx(2400, abs=40)
    pcm = np.concatenate([item.pcm for item in items if isinstance(item, AudioChunk)])
    assert np.abs(pcm).max() <= 32000
    phonemes = [item for item in items if isinstance(item, Phoneme)]
    assert all(a.end_ms <= b.start_ms for a, b in zip(phonemes, phonemes[1:], strict=False))
    assert phonemes[-1].end_ms <= 1000 * len(pcm) / RATE_HZ


def test_marks_fall_into_silences() -> None:
    sounds = read("妈妈妈，妈，妈妈").sounds
    tone = 8000 * np.sin(2 * np.pi * 200 * np.arange(RATE_HZ) / RATE_HZ)
    pieces = [tone[:9600], np.zeros(3200), tone[:3200], np.zeros(1600), tone[:6400]]
    timed = time_phrases(sounds, np.concatenate(pieces).astype(np.int16), RATE_HZ)
    starts = [phonemes[0].start_ms for _sound, phonemes in timed]
    ends = [phonemes[-1].end_ms for _sound, phonemes in timed]
    assert starts[3] == pytest.approx(800, abs=15) and ends[2] == pytest.approx(600, abs=15)
    assert starts[4] == pytest.approx(1100, abs=15) and ends[3] == pytest.approx(1000, abs=15)
    assert ends[5] == pytest.approx(1500, abs=15)


@pytest.mark.parametrize("pcm", [np.zeros(0, np.int16), np.zeros(8000, np.int16)])
def test_silence_has_no_phonemes(pcm: np.ndarray) -> None:
    assert time_phrases(read("你好").sounds, pcm, RATE_HZ) == []


async def test_the_library_itself_speaks_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("sherpa_onnx", reason="the extra neural is not installed")
    engine = SherpaEngine(model_dir=str(unpack(tmp_path / "voice")))
    items = await said(engine, "你好，妈。")
    assert engine.sample_rate_hz == RATE_HZ
    assert [item.text for item in items if isinstance(item, Boundary)] == ["你", "好", "妈"]
    assert sum(item.duration_ms for item in items if isinstance(item, AudioChunk)) > 6 * TOKEN_MS
