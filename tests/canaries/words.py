"""The canaries, and the forms in which they may hide."""

import base64
import json
from functools import cache
from urllib.parse import quote

from tests.companion.people import id_number

# Each so odd that it is nowhere by chance; no other test uses them.
CANARIES = {
    "name": "雀鸣柳依依",
    "id number": id_number("19540607", "038"),
    "phone": "13900005577",
    "symptom": "雀喙似的啄痛连着后颈",
}
NAME, ID_NUMBER, PHONE, SYMPTOM = CANARIES.values()
ALL = "、".join(CANARIES.values())


def _base64s(plain: bytes) -> list[bytes]:
    """What stays the same of it wherever it stands in something longer that was encoded."""
    found = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + plain)
        first, last = (0, 2, 3)[before], (len(encoded) - 4 if (before + len(plain)) % 3 else len(encoded))
        found.append(encoded[first:last])
    return found + [form.translate(bytes.maketrans(b"+/", b"-_")) for form in found]


@cache
def forms(canary: str) -> tuple[bytes, ...]:
    """UTF-8 and GBK, each plain, hex, percent, base64 and as Python prints bytes; escaped as JSON; UTF-16 as well."""
    found: list[bytes] = []
    for codec in ("utf-8", "gbk", "utf-16-le"):
        plain = canary.encode(codec)
        found += [plain, plain.hex().encode(), plain.hex().upper().encode(), *_base64s(plain)]
        percent = quote(plain, safe="")
        found += [percent.encode(), percent.lower().encode()]
        if not plain.isascii():
            found += ["".join(f"%{byte:02X}" for byte in plain).encode(), repr(plain)[2:-1].encode()]
    escaped = json.dumps(canary)[1:-1].encode()
    found += [escaped, escaped.upper().replace(b"\\U", b"\\u"), *_base64s(escaped), escaped.hex().encode()]
    return tuple(dict.fromkeys(form for form in found if len(form) > 7))


def found_in(data: bytes | str, names: tuple[str, ...] = tuple(CANARIES)) -> list[str]:
    """Which canaries are there, in any form."""
    data = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    return [name for name in names if any(form in data for form in forms(CANARIES[name]))]
