"""What was heard wrongly: words found by how they sound, and a sentence with its terms written as they were meant.

Syllables are toneless and fold what dialects and recognisers confuse: zh/z, ch/c, sh/s, n/l, f/h before u, and -ng/-n.
"""

from collections.abc import Iterable
from functools import lru_cache

from pypinyin import Style, lazy_pinyin
from rapidfuzz.distance import Levenshtein

_INITIALS = (("zh", "z"), ("ch", "c"), ("sh", "s"))


def fold(syllable: str) -> str:
    """One toneless syllable without the distinctions that are lost in dialects: zhang → zan, lin → nin."""
    for long, short in _INITIALS:
        if syllable.startswith(long):
            syllable = short + syllable[len(long) :]
    if syllable.startswith("l") and syllable != "l":
        syllable = "n" + syllable[1:]
    if syllable.startswith("hu") and syllable != "hu":
        syllable = "f" + syllable[2:]
    return syllable.removesuffix("g") if syllable.endswith(("ang", "eng", "ing")) else syllable


@lru_cache(maxsize=20_000)
def _of_character(character: str) -> str:
    return fold(lazy_pinyin(character, style=Style.NORMAL)[0])


def syllables(text: str) -> tuple[str, ...]:
    """One folded syllable a character; other characters stand for themselves."""
    return tuple(_of_character(character) for character in text)


class Lexicon:
    """Terms found in text by sound. ``terms``: what may be meant; ``ordinary``: words that are never taken for them."""

    def __init__(self, terms: Iterable[str], ordinary: Iterable[str] = ()) -> None:
        self._by_sound: dict[tuple[str, ...], str] = {}
        for term in terms:
            self._by_sound.setdefault(syllables(term), term)
        self._terms = frozenset(self._by_sound.values())
        self._ordinary = frozenset(ordinary)
        self._lengths = sorted({len(sound) for sound in self._by_sound}, reverse=True)

    def corrected(self, text: str) -> str:
        """The text with every stretch that sounds like a term written as the term; longest first, left to right."""
        sounds = syllables(text)
        out: list[str] = []
        at = 0
        while at < len(text):
            for length in self._lengths:
                said = text[at : at + length]
                term = self._by_sound.get(sounds[at : at + length]) if len(said) == length else None
                if term and said not in self._ordinary:
                    out.append(term)
                    at += length
                    break
            else:
                out.append(text[at])
                at += 1
        return "".join(out)

    def nearest(self, text: str, *, shortest: int = 4, distance: int = 1) -> tuple[str, str] | None:
        """(term, the words that sound almost like it): one syllable may differ in terms of ``shortest`` and more."""
        sounds = syllables(text)
        best: tuple[int, int, str, str] | None = None
        for sound, term in self._by_sound.items():
            length = len(sound)
            if length < shortest:
                continue
            for at in range(len(sounds) - length + 1):
                said = sounds[at : at + length]
                off = sum(a != b for a, b in zip(said, sound, strict=True))
                if off > distance:
                    continue
                near = sum(Levenshtein.distance(a, b) for a, b in zip(said, sound, strict=True))
                if near <= 2 and (best is None or (near, -length) < best[:2]):
                    best = (near, -length, term, text[at : at + length])
        return (best[2], best[3]) if best else None
