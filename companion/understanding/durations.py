"""How long something takes, as people say it: 「一个半小时」, 「四十来分钟」, 「三刻钟」 → minutes."""

import re

from companion.understanding.numerals import number

_N = "([0-9]{1,3}|[零一二两三四五六七八九十廿]{1,4})"
_LONG = re.compile(rf"(?:{_N}\s*个?\s*(半)?\s*(?:多)?(?:小时|钟头))(半)?(?:\s*(?:又|零|加)?\s*{_N}\s*(?:来|多)?分)?")
_HALF = re.compile(r"半\s*个?(?:多)?(?:小时|钟头)")
_QUARTERS = re.compile(r"([一二两三])刻钟?")
_SHORT = re.compile(rf"{_N}\s*(?:来|多|几)?\s*(?:个)?分钟?")


def minutes(text: str) -> int | None:
    """The first length of time in ``text``, in minutes; None without one."""
    if found := _LONG.search(text):
        half = 30 if found[2] or found[3] else 0
        return number(found[1].replace("两", "二")) * 60 + half + (number(found[4]) if found[4] else 0)
    if _HALF.search(text):
        return 30
    if found := _QUARTERS.search(text):
        return number(found[1].replace("两", "二")) * 15
    if found := _SHORT.search(text):
        return number(found[1].replace("两", "二"))
    return None
