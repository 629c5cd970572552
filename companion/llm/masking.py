"""Personal data out of what leaves for a model, and back into what it says: names, id numbers, phones, addresses, mail."""

import re
from collections.abc import Iterable

_PATTERNS = (
    ("证件", re.compile(r"(?<!\d)\d{6}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\d)|(?<!\d)\d{15}(?!\d)")),
    ("邮箱", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("电话", re.compile(r"(?<!\d)(?:\+?86[- ]?)?1\d{2}[- ]?\d{4}[- ]?\d{4}(?!\d)|(?<!\d)0\d{2,3}[- ]?\d{7,8}(?!\d)")),
    ("卡号", re.compile(r"(?<!\d)\d{10,24}(?!\d)")),
    ("地址", re.compile(r"[一-龥]{2,8}(?:路|街|巷|弄|大道|胡同|村|小区|新村|花园)[一-龥]{0,6}?\d+(?:号楼?|栋|幢|弄)?(?:[0-9一-龥]{0,3}单元)?(?:\d+室?)?")),
    ("姓名", re.compile(r"(?:(?<=我叫)|(?<=名字叫)|(?<=姓名是)|(?<=他叫)|(?<=她叫))[一-龥]{2,4}(?=$|[,。,.!?的是今\s])")),
)  # fmt: skip
_PLACEHOLDER = re.compile(r"〔(?:姓名|证件|邮箱|电话|卡号|地址)\d+〕")
_OPEN = re.compile(r"〔[^〕]{0,6}$")


class Mask:
    """One exchange's mask. ``names`` are known people; everything else is found by its form."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = sorted({n for n in names if len(n) >= 2}, key=len, reverse=True)
        self._by_word: dict[str, str] = {}
        self._by_placeholder: dict[str, str] = {}
        self._held = ""

    @property
    def used(self) -> bool:
        return bool(self._by_word)

    def hide(self, text: str) -> str:
        """The text as it may leave: each value has the same placeholder throughout the exchange."""
        for name in self._names:
            if name in text:
                text = text.replace(name, self._placeholder("姓名", name))
        for kind, pattern in _PATTERNS:
            text = pattern.sub(lambda match, kind=kind: self._placeholder(kind, match.group()), text)  # type: ignore[misc]
        return text

    def _placeholder(self, kind: str, word: str) -> str:
        if word not in self._by_word:
            self._by_word[word] = f"〔{kind}{len(self._by_word) + 1}〕"
            self._by_placeholder[self._by_word[word]] = word
        return self._by_word[word]

    def restore(self, text: str) -> str:
        """Placeholders back to what they stood for; one that this exchange never gave out is dropped."""
        return _PLACEHOLDER.sub(lambda match: self._by_placeholder.get(match.group(), ""), text)

    def restore_part(self, delta: str) -> str:
        """Like ``restore`` for a stream: a placeholder cut between two deltas is held back until it is whole."""
        text = self._held + delta
        half = _OPEN.search(text)
        self._held = text[half.start() :] if half else ""
        return self.restore(text[: half.start()] if half else text)

    def rest(self) -> str:
        """What was held back when the stream ended."""
        held, self._held = self._held, ""
        return self.restore(held)
