"""What nobody should write into a reason, and somebody will: numbers that belong to a person are taken out."""

import re

# A mobile phone's eleven digits, and the eighteen (formerly fifteen) of a resident identity number (GB 11643-1999).
_NUMBER = re.compile(r"(?<!\d)(?:1\d{2}[ -]?\d{4}[ -]?\d{4}|\d{17}[\dXx]|\d{15})(?!\d)")
HIDDEN = "＊＊＊"


def numbers_hidden(text: str) -> str:
    """The text without phone and identity numbers. Names and words cannot be told from others and stay."""
    return _NUMBER.sub(HIDDEN, text)
