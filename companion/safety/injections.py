"""Attempts to turn the assistant by words: in what residents type, in text read from pictures, in hospitals' notices.

The patterns are in companion/data/safety/injections.yaml. Finding one changes what is answered, never what is allowed:
tools, tenants and rules do not come from words in the first place.
"""

import base64
import binascii
import re
import unicodedata
from functools import lru_cache

from companion.safety.red_flags import DATA, read_yaml
from companion.safety.text import normalise

# Marks that change what is read without being seen; emoji joiners and the like stay out of it.
_UNSEEN = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\u00ad\U000e0000-\U000e007f]")
_BETWEEN = re.compile(r"(?<=[\u3400-\u9fff])[\s\-_.*/|·、~+]+(?=[\u3400-\u9fff])")
_SPREAD = re.compile(r"[·•‧*_|~^]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
UNSEEN_AT_LEAST = 3


@lru_cache(maxsize=1)
def _attempts() -> tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]:
    rows = read_yaml(DATA / "injections.yaml")["attempts"]
    return tuple((row["id"], tuple(re.compile(pattern) for pattern in row["when"])) for row in rows)


def _readings(text: str) -> set[str]:
    """The text as it may be meant: plain, with what separates its characters dropped, and what is wrapped in base64."""
    plain = normalise(text)
    found = {plain, _BETWEEN.sub("", plain)}
    if len(_SPREAD.findall(plain)) * 3 >= len(plain):  # a mark between any two characters
        found.add(_SPREAD.sub("", plain))
    for wrapped in _BASE64.findall(unicodedata.normalize("NFKC", text))[:4]:
        try:
            found.add(normalise(base64.b64decode(wrapped + "=" * (-len(wrapped) % 4)).decode("utf-8")))
        except (binascii.Error, ValueError):
            continue
    return found


def injections(text: str) -> tuple[str, ...]:
    """Ids of the attempts in ``text``, each once; ``hidden_text`` for words that only a machine would see."""
    readings = _readings(text)
    found = [
        name
        for name, patterns in _attempts()
        if any(pattern.search(words) for words in readings for pattern in patterns)
    ]
    if len(_UNSEEN.findall(text)) >= UNSEEN_AT_LEAST:
        found.append("hidden_text")
    return tuple(found)
