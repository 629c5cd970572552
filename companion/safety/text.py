"""Words as typed or heard, made comparable: one width, no stray blanks, known slips mended, cut into clauses."""

import re
import unicodedata
from collections.abc import Iterable

_BETWEEN_HAN = re.compile(r"(?<=[\u3400-\u9fff])[ \t\u3000]+(?=[\u3400-\u9fff])")
_REPEATED = re.compile(r"(.)\1{3,}")
# NFKC turns full-width stops into ASCII ones, so both halves of each pair are named by their ASCII form.
_STOP = re.compile(r"[,。.!?;:…\n~\r]+")
_DIGIT_STOP = re.compile(r"(?<=\d)\.(?=\d)")
LONGEST = 2000  # characters of one utterance that are read; a longer one is cut, its red flags come first anyway


def normalise(text: str) -> str:
    """Lower-case NFKC text of at most ``LONGEST`` characters; blanks between Chinese characters are dropped."""
    folded = unicodedata.normalize("NFKC", text[: LONGEST * 2]).lower()
    folded = "".join(" " if unicodedata.category(c) == "Cc" and c != "\n" else c for c in folded)
    folded = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    folded = _BETWEEN_HAN.sub("", folded)
    return _REPEATED.sub(r"\1\1\1", folded)[:LONGEST].strip()


def mend(text: str, slips: Iterable[tuple[str, str]]) -> str:
    """``text`` with each known slip of the pen or of speech recognition replaced by what was meant."""
    for wrong, right in slips:
        if wrong in text:
            text = text.replace(wrong, right)
    return text


def clauses(text: str) -> list[tuple[int, int]]:
    """Start and end of each clause. An enumeration (、) stays whole: a negation reaches over it."""
    guarded = _DIGIT_STOP.sub("_", text)
    spans, start = [], 0
    for stop in _STOP.finditer(guarded):
        if stop.start() > start:
            spans.append((start, stop.start()))
        start = stop.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans
