"""Common characters with one reading: for engines that take text and not pinyin, where a word is to be read in its own way."""

from functools import cache

from pypinyin.contrib.tone_convert import to_tone3
from pypinyin.pinyin_dict import pinyin_dict

# GB 2312 puts its 3755 most common characters into rows 16 to 55.
_COMMON_ROWS = range(0xB0, 0xD8)


@cache
def _table() -> dict[str, str]:
    """Syllable -> a character with that reading alone, else one that is read so first of all."""
    alone: dict[str, str] = {}
    first: dict[str, str] = {}
    for row in _COMMON_ROWS:
        for cell in range(0xA1, 0xFF):
            try:
                char = bytes((row, cell)).decode("gb2312")
            except UnicodeDecodeError:  # the last row is not full
                continue
            readings = pinyin_dict[ord(char)].split(",")
            syllable = to_tone3(readings[0], neutral_tone_with_five=True, v_to_u=False).replace("ü", "v")
            (alone if len(readings) == 1 else first).setdefault(syllable, char)
    return first | alone


def homophone(syllable: str) -> str:
    """A character that is read as ``syllable`` (``yue4``) by anybody, or nothing where no common one is."""
    return _table().get(syllable, "")
