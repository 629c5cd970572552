"""Written text as it is spoken, and sentences cut into clauses for a fast start."""

import re

import cn2an

_DIGITS = dict(zip("0123456789", "零幺二三四五六七八九", strict=True))
_UNITS = {
    "mmol/L": "毫摩尔每升",
    "mmHg": "毫米汞柱",
    "℃": "摄氏度",
    "mg": "毫克",
    "ml": "毫升",
    "mL": "毫升",
    "%": "百分之",
}
_END = re.compile(r"(?<=[,。!?;:、,!?;:])")
FIRST_AT_LEAST, FIRST_AT_MOST = 6, 18


def spoken(text: str, lexicon: tuple[tuple[str, str], ...] = ()) -> str:
    """Numbers, units and the hospital's own words as they are said."""
    for written, said in lexicon:
        text = text.replace(written, said)
    text = re.sub(r"(\d+(?:\.\d+)?)%", lambda m: "百分之" + _number(m[1]), text)
    for unit, said in _UNITS.items():
        text = text.replace(unit, said)
    text = re.sub(r"\d{7,}", lambda m: "".join(_DIGITS[d] for d in m[0]), text)
    return re.sub(r"\d+(?:\.\d+)?", lambda m: _number(m[0]), text)


def _number(digits: str) -> str:
    return str(cn2an.an2cn(digits, "low"))


def clauses(text: str) -> list[str]:
    """The text in pieces that together are the text; the first is short, so that the voice begins early."""
    pieces: list[str] = []
    held = ""
    for part in _END.split(text):
        held += part
        enough = FIRST_AT_LEAST if not pieces else 14
        if len(held) >= enough:
            pieces.append(held)
            held = ""
    if held:
        if pieces and len(held) < 4:
            pieces[-1] += held
        else:
            pieces.append(held)
    return [piece for piece in pieces if piece.strip()]
