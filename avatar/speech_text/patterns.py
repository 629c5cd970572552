"""What the rules' patterns are made of: folded text, numbers, units, counted things."""

import re
import unicodedata

from avatar.speech_text.tables import first_column

_WIDE = "０１２３４５６７８９ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ％／．－＋～＜＞＝（）＆＠"
_FOLD = str.maketrans(
    _WIDE + "\u3000：￥–—−〜∼﹣⁄∕",
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz%/.-+~<>=()&@" + " :¥---~~-//",
)

N = r"(?<![\d.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d])"
TO = r"\s?(?:-{1,2}|~|至|到)\s?"


def any_of(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in words)


UNIT = any_of(first_column("units.tsv"))
COUNTED = any_of(first_column("counted.tsv"))
PER = r"(?:次|日|天|周|月|年|小时|分钟|分|秒|晚|早|片|粒|支|袋|餐|顿)"
UNITS = rf"(?:(?:{UNIT})(?:/(?:{UNIT}|{PER}))*(?![A-Za-z\d^]))"


def fold(text: str) -> str:
    """The text with full-width letters, signs and blanks and with any script's digits as ASCII; each character stays where it is."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text.translate(_FOLD))


BEHIND = rf"(?P<behind>\s?{UNITS}|(?:{COUNTED})|)"
