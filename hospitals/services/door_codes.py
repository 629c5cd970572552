"""The codes that hang at a hospital's doors: each opens the page and says where she stands. A sheet to print and cut up.

OpenCV writes the pictures. Its encoder is right up to version 6 of the QR code (41 modules a side) and not above, so longer
addresses are refused rather than printed.
"""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import cv2
import numpy as np
from django.conf import settings
from django.template.loader import render_to_string

from hospitals.exceptions import InvalidInput, TooLarge
from hospitals.models import Hospital
from hospitals.services import maps

QUIET = 4  # modules of white around a code
# (bytes that version 6 holds, level): a quarter of a scratched code may be missing at M, less at L
_LEVELS = ((106, cv2.QRCodeEncoder_CORRECT_LEVEL_M), (134, cv2.QRCodeEncoder_CORRECT_LEVEL_L))


def address(hospital: str, code: str) -> str:
    """What the code at a door says."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/?{urlencode({'door': f'{hospital}.{code}'}, safe=':')}"


def modules(text: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The QR code, True where it is dark, with its quiet zone. Raises ``InvalidInput`` beyond 134 bytes."""
    level = next((level for most, level in _LEVELS if len(text.encode()) <= most), None)
    if level is None:
        raise InvalidInput("门的代码太长,做不成二维码,请改短。", code="code_too_long")
    asked = cv2.QRCodeEncoder.Params()
    asked.correction_level = level
    dark = cv2.QRCodeEncoder.create(asked).encode(text) == 0
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    return np.pad(dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], QUIET)


def sheet(*, hospital_id: UUID, building: str | None = None, most: int | None = None) -> str:
    """An HTML page with a code for each gate, entrance and door, of one building where it is given.

    Raises ``UnknownPlace`` without a map, ``TooLarge`` beyond ``most`` codes.
    """
    hospital = Hospital.objects.get(id=hospital_id)
    doors = [door for door in maps.doors(hospital_id=hospital_id) if building in (None, door.building)]
    if most is not None and len(doors) > most:
        raise TooLarge(f"一次最多 {most} 个门码,请用 building 按楼分开取。")
    pictures = []
    for door in doors:
        dark = modules(address(hospital.code, door.code))
        path = "".join(f"M{x} {y}h1v1h-1z" for y, x in zip(*np.nonzero(dark), strict=True))
        pictures.append({"door": door, "side": len(dark), "path": path})
    return render_to_string("hospitals/door_codes.html", {"hospital": hospital, "pictures": pictures})
