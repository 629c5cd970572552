"""Numbers as people say them: 「十二」, 「廿三」, "12"."""

_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"两": 2, "俩": 2, "〇": 0}
NUMBER = r"(?:\d{1,2}|[一二两三四五六七八九十廿]{1,3})"


def number(text: str) -> int:
    """「十二」, 「二十三」, 「廿三」, "12" → 12, 23, 23, 12. Up to 99; raises ``ValueError`` otherwise."""
    if text.isdecimal():
        return int(text)
    text = text.replace("廿", "二十")
    tens, ten, ones = text.rpartition("十")
    try:
        units = _DIGITS[ones] if ones else 0
        return ((_DIGITS[tens] if tens else 1) * 10 if ten else 0) + units
    except KeyError as error:
        raise ValueError(text) from error
