"""MP3 as it comes over a wire, in pieces of any size, to PCM."""

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from avatar.exceptions import EngineCut


class Mp3Decoder:
    """``feed`` returns what the bytes so far have added, int16 mono at ``sample_rate_hz``; ``finish`` returns the rest.

    Raises EngineCut where the bytes are no MP3 at all, or are of another rate. A broken frame in the middle is passed over.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._codec = av.CodecContext.create("mp3", "r")
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate_hz)
        self._fed = 0
        self._decoded = 0

    def feed(self, data: bytes) -> npt.NDArray[np.int16]:
        self._fed += len(data)
        pcm = self._decode(data)
        if self._decoded == 0 and self._fed > 16384:
            raise EngineCut("The speech service sent sound that is no MP3.")
        return pcm

    def finish(self) -> npt.NDArray[np.int16]:
        pcm = self._decode(None)
        if self._decoded == 0 and self._fed:
            raise EngineCut("The speech service sent sound that is no MP3.")
        return pcm

    def _decode(self, data: bytes | None) -> npt.NDArray[np.int16]:
        pieces: list[npt.NDArray[np.int16]] = []
        for packet in [*self._codec.parse(data), *([None] if data is None else [])]:
            try:
                frames = self._codec.decode(packet)
            except FFmpegError:
                continue
            for frame in frames:
                if frame.sample_rate != self.sample_rate_hz:
                    raise EngineCut(f"The speech service sent {frame.sample_rate} Hz, not {self.sample_rate_hz} Hz.")
                pieces += [out.to_ndarray().reshape(-1) for out in self._resampler.resample(frame)]
        pcm = np.concatenate(pieces).astype(np.int16) if pieces else np.zeros(0, np.int16)
        self._decoded += len(pcm)
        return pcm
