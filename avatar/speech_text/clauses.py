"""An answer cut into clauses: the first one short, so that the voice begins early."""

import re

_END = re.compile(r"(?<=[，。！？；：、,!?;:\n])")
FIRST_AT_LEAST, NEXT_AT_LEAST, SHORTEST_TAIL = 6, 14, 4


def clauses(text: str) -> list[str]:
    """The text in pieces that together are the text (but for blank ones); none begins inside a number such as 1,200 or 15:30."""
    pieces: list[str] = []
    held = ""
    for part in _parts(text):
        held += part
        if len(held) >= (NEXT_AT_LEAST if pieces else FIRST_AT_LEAST):
            pieces.append(held)
            held = ""
    if held:
        if pieces and len(held) < SHORTEST_TAIL:
            pieces[-1] += held
        else:
            pieces.append(held)
    return [piece for piece in pieces if piece.strip()]


def _parts(text: str) -> list[str]:
    """Cut behind every mark, and joined again where the mark stands between two digits."""
    parts: list[str] = []
    for part in _END.split(text):
        if parts and part[:1].isdigit() and parts[-1][-1] in ",:：，" and parts[-1][-2:-1].isdigit():
            parts[-1] += part
        else:
            parts.append(part)
    return parts
