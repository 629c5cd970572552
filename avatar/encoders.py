"""Pictures in and out of bytes: JPEG for patches that travel, H.264 with AAC for films."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
import numpy.typing as npt

# One core a process: a worker serves many sessions, and OpenCV's own threads would fight over the same cores.
cv2.setNumThreads(1)

Image = npt.NDArray[np.uint8]

PATCH_QUALITY = 85


def jpeg(image: Image, quality: int = PATCH_QUALITY) -> bytes:
    """``image``: BGR uint8, shape (h, w, 3) -> a baseline JPEG."""
    _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return data.tobytes()


def picture(data: bytes) -> Image:
    """A JPEG or PNG of our own -> BGR uint8, shape (h, w, 3)."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("these bytes are no picture")
    return np.asarray(image, np.uint8)


class FilmWriter:
    """An MP4 that is written as it is made: memory does not grow with its length.

    Audio time is counted in samples and picture time in frames, so that neither can drift from the other.
    """

    def __init__(
        self, path: Path, *, size_px: tuple[int, int], fps: int, sample_rate_hz: int, metadata: dict[str, str]
    ) -> None:
        self._fps = fps
        # Keys beyond the usual ones (the label of generated content) are only kept with use_metadata_tags.
        self._film = av.open(str(path), "w", format="mp4", options={"movflags": "use_metadata_tags+faststart"})
        self._film.metadata.update(metadata)
        self._video = self._film.add_stream("libx264", rate=fps)
        self._video.width, self._video.height = size_px
        self._video.pix_fmt = "yuv420p"
        self._video.options = {"preset": "veryfast", "crf": "16", "tune": "zerolatency", "threads": "1"}
        self._video.time_base = Fraction(1, fps)
        self._audio = self._film.add_stream("aac", rate=sample_rate_hz, layout="mono")
        self._audio.bit_rate = 96_000
        self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=sample_rate_hz, frame_size=1024)
        self._rate = sample_rate_hz
        self.frames = 0
        self.samples = 0

    def show(self, image: Image) -> None:
        """The next picture: BGR uint8, shape (height, width, 3)."""
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = self.frames, Fraction(1, self._fps)
        self.frames += 1
        self._film.mux(self._video.encode(frame))

    def sound(self, pcm: npt.NDArray[np.int16]) -> None:
        """The next samples: mono int16, shape (n,)."""
        if not len(pcm):
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self.samples, Fraction(1, self._rate)
        self.samples += len(pcm)
        for part in self._resampler.resample(frame):
            self._film.mux(self._audio.encode(part))

    def close(self) -> None:
        for part in self._resampler.resample(None):
            self._film.mux(self._audio.encode(part))
        self._film.mux(self._video.encode(None))
        self._film.mux(self._audio.encode(None))
        self._film.close()

    def __enter__(self) -> "FilmWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._film.close()
