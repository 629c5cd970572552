"""QR codes, as rows of dark and light modules.

OpenCV writes them. Its encoder is right up to version 6 of the QR code (41 modules a side) and not above, so what is longer is
refused rather than shown.
"""

import base64
from typing import Any

import numpy as np

from hospitals.exceptions import InvalidInput

QUIET = 4  # modules of white around a code
# (bytes that version 6 holds, level): a quarter of a scratched code may be missing at M, less at L
_LEVELS = ((106, "M"), (134, "L"))


def modules(text: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The QR code, True where it is dark, with its quiet zone. Raises ``InvalidInput`` beyond 134 bytes."""
    level = next((level for most, level in _LEVELS if len(text.encode()) <= most), None)
    if level is None:
        raise InvalidInput("内容太长,做不成二维码,请改短。", code="code_too_long")
    import cv2  # large, and needed for a sheet now and then

    asked = cv2.QRCodeEncoder.Params()
    asked.correction_level = getattr(cv2, f"QRCodeEncoder_CORRECT_LEVEL_{level}")
    dark = cv2.QRCodeEncoder.create(asked).encode(text) == 0
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    return np.pad(dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], QUIET)


def picture(text: str) -> str:
    """The QR code as a ``data:`` address of an SVG. Raises ``InvalidInput`` beyond 134 bytes."""
    dark = modules(text)
    side = len(dark)
    path = "".join(f"M{x} {y}h1v1h-1z" for y, x in zip(*dark.nonzero(), strict=True))
    size = f'viewBox="0 0 {side} {side}" width="{side * 5}" height="{side * 5}"'
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><rect width="100%" height="100%" fill="#fff"/><path d="{path}"/></svg>'
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()
