"""A neural voice on this machine: a sherpa-onnx model folder (VITS, Matcha or Kokoro), in a thread of its own.

The package is optional (the extra ``neural``) and the models are not ours to ship: ``model_dir`` names a folder as sherpa-onnx
publishes them, with ``tokens.txt``, the model's ``.onnx`` and a lexicon. The engine tells no times: they are found in its sound.
"""

import asyncio
import mmap
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar.exceptions import EngineUnavailable
from avatar.speech_text import Mark, read
from avatar.timeline import AudioChunk, Boundary, Phoneme
from avatar.tts.base import SpeechRequest, Spoken
from avatar.tts.orders import orders, silence
from avatar.tts.phrases import time_phrases

CHUNK_MS = 200
PEAK = 32000


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The files of one model. ``family``: ``vits``, ``matcha`` or ``kokoro``; a file that the family does not need is empty."""

    family: str
    model: str
    tokens: str
    lexicon: str = ""
    vocoder: str = ""
    voices: str = ""
    data_dir: str = ""
    dict_dir: str = ""

    @classmethod
    def look_into(cls, folder: Path) -> "ModelFolder":
        """Raises EngineUnavailable, which says what is missing."""
        if not folder.is_dir():
            raise EngineUnavailable(f"There is no folder {folder}. Unpack a sherpa-onnx voice and name its folder.")
        tokens, voices = folder / "tokens.txt", folder / "voices.bin"
        data, words = folder / "espeak-ng-data", folder / "dict"
        lexicons = sorted(str(path) for path in folder.glob("lexicon*.txt"))
        models = sorted(folder.glob("*.onnx"), key=lambda path: (path.name != "model.onnx", path.name))
        vocoders = [path for path in models if any(word in path.name for word in ("voco", "hifigan"))]
        models = [path for path in models if path not in vocoders]
        family = "kokoro" if voices.exists() else "matcha" if vocoders else "vits"
        missing = []
        if not models:
            missing.append("the model (*.onnx)")
        elif models[0].name.startswith("model-steps") and not vocoders:  # Matcha's name for its own
            missing.append("the vocoder (vocos*.onnx or hifigan*.onnx)")
        if not tokens.exists():
            missing.append("tokens.txt")
        if not lexicons and not data.is_dir():
            missing.append("lexicon.txt or espeak-ng-data")
        if missing:
            raise EngineUnavailable(f"{folder} is incomplete: it lacks {', '.join(missing)}.")
        _check(models[0])
        return cls(
            family,
            str(models[0]),
            str(tokens),
            ",".join(lexicons),
            str(vocoders[0]) if vocoders else "",
            str(voices) if family == "kokoro" else "",
            str(data) if data.is_dir() else "",
            str(words) if words.is_dir() else "",
        )


def _check(model: Path) -> None:
    """The library ends the whole process over a model without its own notes in it: look for them first."""
    if model.stat().st_size:
        with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(b"sample_rate") >= 0:
                return
    raise EngineUnavailable(f"{model} is no voice of sherpa-onnx: it does not tell its sample rate.")


class SherpaEngine:
    """``speaker``: number of the voice in a model that has several; a request's ``voice`` of digits goes before it."""

    name = "sherpa"

    def __init__(self, *, model_dir: str, speaker: int = 0, threads: int = 1, provider: str = "cpu") -> None:
        if not model_dir:
            raise EngineUnavailable(
                "No model folder is named. Set COMPANION_SHERPA_MODEL to that of a sherpa-onnx voice."
            )
        self.speaker = speaker
        self._model = _load(ModelFolder.look_into(Path(model_dir)), threads, provider)
        self.sample_rate_hz = int(self._model.sample_rate)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sherpa")

    async def aclose(self) -> None:
        """Nothing is held for a loop; the model stays in memory."""

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[Spoken, None]:
        reading = read(request.text, request.lexicon)
        speaker = int(request.voice) if request.voice.isdecimal() else self.speaker
        loop = asyncio.get_running_loop()
        samples = 0
        for order in orders(reading.sounds):
            words = [sound for sound in order if not isinstance(sound, Mark)]
            until = words[-1].said_at + len(words[-1].text)
            text = reading.plain[words[0].said_at : until]
            pcm = await loop.run_in_executor(self._thread, self._generate, text, speaker, request.pace)
            pcm = np.concatenate([pcm, silence(order, request.pace, self.sample_rate_hz)])
            begin_ms = 1000 * samples // self.sample_rate_hz
            timed = time_phrases(order, pcm, self.sample_rate_hz)
            for _sound, phonemes in timed:
                for p in phonemes:
                    yield Phoneme(p.phoneme, p.viseme, p.text, begin_ms + p.start_ms, begin_ms + p.end_ms)
            for (begin, end), group in groupby(timed, key=lambda pair: (pair[0].start, pair[0].end)):
                inside = [p for _sound, phonemes in group for p in phonemes]
                if inside:
                    start_ms, end_ms = begin_ms + inside[0].start_ms, begin_ms + inside[-1].end_ms
                    yield Boundary(reading.text[begin:end], start_ms, end_ms)
            step = self.sample_rate_hz * CHUNK_MS // 1000
            for at in range(0, len(pcm), step):
                pts_ms = round(1000 * (samples + at) / self.sample_rate_hz)
                yield AudioChunk(pts_ms, self.sample_rate_hz, pcm[at : at + step])
            samples += len(pcm)

    def _generate(self, text: str, speaker: int, speed: float) -> npt.NDArray[np.int16]:
        made = self._model.generate(text, sid=speaker, speed=speed)
        wave = np.asarray(made.samples, dtype=np.float32)
        peak = float(np.abs(wave).max(initial=0.0))
        return (wave * (PEAK / max(1.0, peak))).astype(np.int16)


def _load(folder: ModelFolder, threads: int, provider: str) -> Any:
    try:
        import sherpa_onnx
    except ImportError as error:
        raise EngineUnavailable("The package sherpa-onnx is not installed. Install the extra: neural.") from error
    shared = {
        "tokens": folder.tokens,
        "lexicon": folder.lexicon,
        "data_dir": folder.data_dir,
        "dict_dir": folder.dict_dir,
    }
    if folder.family == "kokoro":
        models = {"kokoro": sherpa_onnx.OfflineTtsKokoroModelConfig(model=folder.model, voices=folder.voices, **shared)}
    elif folder.family == "matcha":
        matcha = sherpa_onnx.OfflineTtsMatchaModelConfig
        models = {"matcha": matcha(acoustic_model=folder.model, vocoder=folder.vocoder, **shared)}
    else:
        models = {"vits": sherpa_onnx.OfflineTtsVitsModelConfig(model=folder.model, **shared)}
    config = sherpa_onnx.OfflineTtsConfig(
        model=sherpa_onnx.OfflineTtsModelConfig(**models, num_threads=threads, provider=provider)
    )
    try:
        if not config.validate():
            raise ValueError("its configuration is refused")
        return sherpa_onnx.OfflineTts(config)
    except (RuntimeError, ValueError) as error:
        raise EngineUnavailable(f"sherpa-onnx cannot load {folder.model}: {error}") from error
