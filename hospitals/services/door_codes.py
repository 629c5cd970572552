"""The codes that hang at a hospital's doors: each opens the page and says where she stands. A sheet to print and cut up."""

from urllib.parse import urlencode
from uuid import UUID

import numpy as np
from django.conf import settings
from django.template.loader import render_to_string

from hospitals import qr
from hospitals.exceptions import TooLarge
from hospitals.models import Hospital
from hospitals.services import maps


def address(hospital: str, code: str) -> str:
    """What the code at a door says."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/?{urlencode({'door': f'{hospital}.{code}'}, safe=':')}"


def sheet(*, hospital_id: UUID, building: str | None = None, most: int | None = None) -> str:
    """An HTML page with a code for each gate, entrance and door, of one building where it is given.

    Raises ``UnknownPlace`` without a map, ``InvalidInput`` (code_too_long), ``TooLarge`` beyond ``most`` codes.
    """
    hospital = Hospital.objects.get(id=hospital_id)
    doors = [door for door in maps.doors(hospital_id=hospital_id) if building in (None, door.building)]
    if most is not None and len(doors) > most:
        raise TooLarge(f"一次最多 {most} 个门码,请用 building 按楼分开取。")
    pictures = []
    for door in doors:
        dark = qr.modules(address(hospital.code, door.code))
        path = "".join(f"M{x} {y}h1v1h-1z" for y, x in zip(*np.nonzero(dark), strict=True))
        pictures.append({"door": door, "side": len(dark), "path": path})
    return render_to_string("hospitals/door_codes.html", {"hospital": hospital, "pictures": pictures})
