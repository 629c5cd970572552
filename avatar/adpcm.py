"""IMA ADPCM in WAV blocks: speech at a quarter of its bytes, which matter on a mobile network.

Every block stands alone: i16 first sample, u8 step index, u8 zero, then a nibble a sample, low nibble first.
Source of the algorithm: IMA Digital Audio Focus and Technical Working Groups, "Recommended Practices for Enhancing
Digital Audio Compatibility in Multimedia Systems", revision 3.00, 1992.
"""

import av
import numpy as np
import numpy.typing as npt

from avatar.protocol import ADPCM_BLOCK_BYTES, ADPCM_BLOCK_SAMPLES, adpcm_bytes


class Encoder:
    """One utterance's encoder: the step size runs on from chunk to chunk, so joins are not heard."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._codec = av.AudioCodecContext.create("adpcm_ima_wav", "w")
        self._codec.sample_rate = sample_rate_hz
        self._codec.format = "s16p"
        self._codec.layout = "mono"
        self._codec.options = {"block_size": str(ADPCM_BLOCK_BYTES)}
        self._codec.open()

    def encode(self, pcm: npt.NDArray[np.int16]) -> bytes:
        """``pcm``: int16, shape (n,), n > 0 -> the blocks' bytes, ``adpcm_bytes(n)`` long."""
        missing = -len(pcm) % ADPCM_BLOCK_SAMPLES
        padded = np.concatenate([pcm, np.full(missing, pcm[-1], np.int16)])
        frame = av.AudioFrame.from_ndarray(padded[None, :], format="s16p", layout="mono")
        frame.sample_rate = self.sample_rate_hz
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))[: adpcm_bytes(len(pcm))]
