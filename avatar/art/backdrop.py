"""The room behind 小岚: warm white and pale teal, far out of focus. Painted, not rendered, so that it carries no noise."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Picture = npt.NDArray[np.float64]


def backdrop(size: int, seed: int = 4) -> Picture:
    """An sRGB picture (size, size, 3) in 0..1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    warm, teal = np.array([0.965, 0.955, 0.93]), np.array([0.74, 0.855, 0.855])
    share = np.clip(0.25 + 0.55 * y + 0.30 * (x - 0.5), 0, 1)[..., None]
    picture = warm * (1 - share) + teal * share
    # A window on the left, a door frame and a rail on the right: only their light is left after the blur.
    for left, right, top, bottom, gain in (
        (0.02, 0.20, 0.05, 0.62, 0.075),
        (0.235, 0.27, 0.0, 1.0, -0.05),
        (0.74, 0.94, 0.12, 1.0, -0.055),
        (0.78, 0.90, 0.18, 0.55, 0.07),
        (0.0, 1.0, 0.66, 0.70, -0.04),
    ):
        picture[(x > left) & (x < right) & (y > top) & (y < bottom)] += gain
    picture = gaussian_filter(picture, (size * 0.028, size * 0.028, 0))
    glow = np.zeros((size, size))
    for _ in range(9):
        cx, cy, radius = rng.uniform(0, 1), rng.uniform(0.02, 0.5), rng.uniform(0.02, 0.045)
        glow += np.clip((radius - np.hypot(x - cx, y - cy)) * size / 6, 0, 1) * rng.uniform(0.02, 0.05)
    picture += gaussian_filter(glow, size * 0.006)[..., None]
    vignette = 1 - 0.10 * ((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.5
    clipped: Picture = np.clip(picture * vignette[..., None], 0, 1)
    return clipped
