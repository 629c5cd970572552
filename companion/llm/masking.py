"""Personal data out of what leaves for a model, and back into what it says.

Known names come from the caller; everything else is found by its form: names after words that announce one, ID, card,
phone and record numbers (also spoken in Chinese digits), births, addresses, mail. Hiding too much costs little, because
every placeholder is put back in the answer; hiding too little is the error to avoid.
"""

import re
from collections.abc import Iterable

from companion.llm.people import NAMED

_DIGIT = r"[\d零〇一二三四五六七八九幺两]"
_GAP = r"[\s\-—‐·.]?"
_ID = rf"(?<![\dA-Za-z])\d{{6}}{_GAP}(?:18|19|20)\d{{2}}{_GAP}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]){_GAP}\d{{3}}[\dXxX](?![\dA-Za-z])"
_PATTERNS = (
    ("证件", re.compile(rf"{_ID}|(?<!\d)\d{{15}}(?!\d)|(?<![A-Za-z0-9])[A-Za-z]{{1,2}}\d{{7,10}}(?!\d)")),
    ("邮箱", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)),
    (
        "电话",
        re.compile(
            rf"(?<!\d)(?:\+?86{_GAP})?1\d{{2}}{_GAP}\d{{4}}{_GAP}\d{{4}}(?!\d)|(?<!\d)0\d{{2,3}}{_GAP}\d{{7,8}}(?!\d)"
        ),
    ),
    ("卡号", re.compile(r"(?<!\d)\d(?:[\s\-]?\d){8,24}(?!\d)")),
    ("号码", re.compile(rf"{_DIGIT}(?:[\s,,、]?{_DIGIT}){{6,30}}")),
    (
        "编号",
        re.compile(
            r"(?:(?<=病历号)|(?<=病案号)|(?<=住院号)|(?<=门诊号)|(?<=登记号)|(?<=就诊卡号)|(?<=社保卡号)|(?<=医保卡号)|(?<=医保号)|(?<=社保号)|(?<=微信号)|(?<=QQ号)|(?<=护照号)|(?<=卡号)|(?<=车牌号))"
            r"(?:[码是为::\s]{0,3})[A-Za-z0-9][A-Za-z0-9_\-]{3,}"
        ),
    ),
    (
        "生日",
        re.compile(
            r"(?:18|19|20)\d{2}\s?[年./\-]\s?\d{1,2}\s?[月./\-]\s?\d{1,2}\s?[日号]?|(?:一九|二零|二〇)[零〇一二三四五六七八九]{2}年[一二三四五六七八九十]{1,3}月(?:[一二三四五六七八九十]{1,3}[日号])?"
        ),
    ),
    (
        "地址",
        re.compile(
            r"(?:[一-龥]{2,7}?(?:自治区|自治州|省|市|区|县|旗|镇|乡|街道))*"
            r"[一-龥]{1,8}?(?:路|街|巷|弄|大道|胡同|村|小区|新村|花园|家园|社区|苑|里|屯|庄|公寓)"
            r"[一-龥]{0,6}?[\d一二三四五六七八九十百]+(?:号楼|号院|号|栋|幢|弄|组|队|座|楼)(?:[\dA-Za-z一二三四五六七八九十]{1,4}(?:栋|幢|座|单元|楼|层|室|号|户)){0,4}(?:\d{2,4})?"
            r"|(?:(?<=住在)|(?<=家在)|(?<=家住)|(?<=地址是)|(?<=地址:)|(?<=地址:)|(?<=户口在)|(?<=老家在)|(?<=老家是))(?!哪|什么|几|这|那|附近|医院|院)[一-龥\dA-Za-z]{3,30}"
        ),
    ),
    *(("姓名", pattern) for pattern in NAMED),
)  # fmt: skip
_KINDS = "|".join(dict.fromkeys(kind for kind, _pattern in _PATTERNS))
_PLACEHOLDER = re.compile(rf"〔(?:{_KINDS})\d+〕")
_OPEN = re.compile(r"〔[^〕]{0,6}$")
# One width of stops for the forms below; brackets of placeholders are ours alone.
_ONE_WIDTH = str.maketrans("\uff0c\uff1f\uff01\uff1b\uff1a〔〕", ",?!;:[]")


class Mask:
    """One exchange's mask. ``names``: people we know of, hidden wherever they stand."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        whole = {n for n in names if len(n) >= 2}
        given = {n[1:] for n in whole if len(n) == 3}  # 玉兰: how family and friends say it
        self._names = sorted(whole | given, key=len, reverse=True)
        self._by_word: dict[str, str] = {}
        self._by_placeholder: dict[str, str] = {}

    @property
    def used(self) -> bool:
        return bool(self._by_word)

    def hide(self, text: str) -> str:
        """The text as it may leave: each value has the same placeholder throughout the exchange."""
        text = text.translate(_ONE_WIDTH)
        for name in self._names:
            if name in text:
                text = text.replace(name, self._placeholder("姓名", name))
        for kind, pattern in _PATTERNS:
            pieces = re.split(r"(〔[^〕]*〕)", text)  # what is hidden already is left alone
            text = "".join(
                piece
                if piece.startswith("〔")
                else pattern.sub(lambda match, kind=kind: self._placeholder(kind, match.group()), piece)
                for piece in pieces
            )
        return text

    def _placeholder(self, kind: str, word: str) -> str:
        if word not in self._by_word:
            self._by_word[word] = f"〔{kind}{len(self._by_word) + 1}〕"
            self._by_placeholder[self._by_word[word]] = word
        return self._by_word[word]

    def restore(self, text: str) -> str:
        """Placeholders back to what they stood for; one that this exchange never gave out is dropped."""
        return _PLACEHOLDER.sub(lambda match: self._by_placeholder.get(match.group(), ""), text)


class Restoring:
    """``Mask.restore`` for one stream: a placeholder cut between two deltas is held back until it is whole."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = ""

    def feed(self, delta: str) -> str:
        text = self._held + delta
        half = _OPEN.search(text)
        self._held = text[half.start() :] if half else ""
        return self._mask.restore(text[: half.start()] if half else text)

    def rest(self) -> str:
        """What was held back when the stream ended; an open bracket that never closed is dropped."""
        held, self._held = self._held, ""
        return self._mask.restore(held) if "〕" in held else ""
