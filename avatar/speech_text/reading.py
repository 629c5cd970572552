"""A text and how it is read: pieces that cover what is written, and the sounds with the written stretch that each belongs to."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from pypinyin.contrib.tone_convert import to_tone3

from avatar.speech_text.homophones import homophone
from avatar.speech_text.pronounce import known, pronounce, split, usual
from avatar.speech_text.rules import parts
from avatar.speech_text.tables import pairs

Lexicon = Iterable[tuple[str, str]]
_HANZI = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ']+")
_LONG_MARKS = "。！？!?；;\n…"
_SHORT_MARKS = "，、,：:（）()—–～~《》【】[]"


@dataclass(frozen=True, slots=True)
class Piece:
    """``text[start:end]`` as it is written is said as ``said``; ``pinyin`` where a lexicon prescribes the syllables."""

    start: int
    end: int
    said: str
    pinyin: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Syllable:
    """``text``: what is said; ``start``..``end``: the written stretch that it belongs to; ``tone`` 1..5, 5 the neutral one.

    ``said_at``: where ``text`` stands in ``Reading.said``. ``initial`` and ``final`` as ``avatar.visemes`` names them: no y or w, ü is v, iu ui un written out.
    """

    text: str
    start: int
    end: int
    said_at: int
    pinyin: str
    initial: str
    final: str
    tone: int


@dataclass(frozen=True, slots=True)
class Foreign:
    """A word in Latin letters that is read, not spelled."""

    text: str
    start: int
    end: int
    said_at: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A pause; a ``long`` one ends a sentence."""

    text: str
    start: int
    end: int
    said_at: int
    long: bool


Sound = Syllable | Foreign | Mark


@dataclass(frozen=True)
class Reading:
    """``pieces`` lie end to end over ``text``; ``said`` is theirs, joined."""

    text: str
    pieces: tuple[Piece, ...]

    @cached_property
    def said(self) -> str:
        return "".join(piece.said for piece in self.pieces)

    @cached_property
    def _begins(self) -> list[int]:
        begins, at = [], 0
        for piece in self.pieces:
            begins.append(at)
            at += len(piece.said)
        return begins

    def written(self, begin: int, end: int) -> tuple[int, int]:
        """The written stretch that ``said[begin:end]`` comes from; whole pieces, and an empty stretch for nothing said."""
        if not self.said or end <= begin:
            at = self._piece_at(min(begin, len(self.said) - 1)).start if self.said else 0
            return at, at
        return self._piece_at(begin).start, self._piece_at(end - 1).end

    def _piece_at(self, position: int) -> Piece:
        """The piece that says the character at ``position``: the last that begins there, silent ones begin before it."""
        return self.pieces[bisect_right(self._begins, position) - 1]

    @cached_property
    def _prescribed(self) -> dict[int, str]:
        """Position in ``said`` -> the syllable that a lexicon wants there."""
        prescribed: dict[int, str] = {}
        for piece, begin in zip(self.pieces, self._begins, strict=True):
            hanzi = [begin + n for n, char in enumerate(piece.said) if _HANZI.match(char)]
            if len(hanzi) == len(piece.pinyin):
                prescribed.update(zip(hanzi, piece.pinyin, strict=True))
        return prescribed

    @cached_property
    def plain(self) -> str:
        """``said`` for an engine that takes no pinyin, character for character: homophones where it would read another way."""
        if not self._prescribed:
            return self.said
        chars, readings = list(self.said), usual(self.said)
        for at, syllable in self._prescribed.items():
            if readings.get(at) != syllable:
                chars[at] = homophone(syllable) or chars[at]
        return "".join(chars)

    @cached_property
    def sounds(self) -> tuple[Sound, ...]:
        """Everything that is heard, in order, pauses included."""
        readings = pronounce(self.said, self._prescribed)
        sounds: list[Sound] = []
        at = 0
        while at < len(self.said):
            char = self.said[at]
            latin = _LATIN.match(self.said, at)
            length = len(latin[0]) if latin else 1
            span = (*self.written(at, at + length), at)
            if at in readings:
                sounds.append(_syllable(char, *span, readings[at]))
            elif latin:
                sounds += _spelled(latin[0], *span)
            elif char in _LONG_MARKS:
                sounds.append(Mark(char, *span, long=True))
            elif char in _SHORT_MARKS:
                sounds.append(Mark(char, *span, long=False))
            at += length
        return tuple(sounds)


def _syllable(text: str, start: int, end: int, said_at: int, pinyin: str) -> Syllable:
    initial, final, tone = split(pinyin)
    return Syllable(text, start, end, said_at, pinyin, initial, final, tone)


def _spelled(word: str, start: int, end: int, said_at: int) -> list[Sound]:
    """Letters by their names, or the word itself where it looks like one."""
    names = pairs("letters.tsv")
    letters = [letter for letter in word.upper() if letter in names]
    if not word.isupper() and len(word) > 3 and any(c in "aeiouyAEIOUY" for c in word):
        return [Foreign(word, start, end, said_at)]
    return [_syllable(letter, start, end, said_at, name) for letter in letters for name in names[letter].split()]


def read(text: str, lexicon: Lexicon = ()) -> Reading:
    """How ``text`` is said. ``lexicon``: words of one hospital and their pinyin (``yi1 yuan4``, ``yī yuàn``) or what to say instead."""
    return _read(text, tuple(lexicon))


@lru_cache(maxsize=256)
def _read(text: str, lexicon: tuple[tuple[str, str], ...]) -> Reading:
    place, words = _words(lexicon)
    pieces: list[Piece] = []
    at = 0
    for m in place.finditer(text) if words else ():
        pieces += _ruled(text, at, m.start())
        pieces += _own_word(text, m.start(), m.end(), words[m[0]])
        at = m.end()
    return Reading(text, (*pieces, *_ruled(text, at, len(text))))


@lru_cache(maxsize=64)
def _words(lexicon: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """Where a hospital's words stand, the longest first where several could, and what they say."""
    words = {written: said.strip() for written, said in lexicon if written}
    return re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))), words


def _own_word(text: str, begin: int, end: int, said: str) -> list[Piece]:
    """One of them: each character with its syllable where ``said`` is pinyin for all that are Chinese, else what to say instead."""
    syllables = [to_tone3(syllable).lower() for syllable in said.split()]
    if not all(syllable.isascii() or "ü" in syllable for syllable in syllables) or not all(map(known, syllables)):
        return [Piece(begin, end, read(said).said)]
    pieces = _ruled(text, begin, end)
    own = [n for n, piece in enumerate(pieces) if _HANZI.fullmatch(piece.said) and piece.said == text[piece.start]]
    if not syllables or len(own) != len(syllables):
        return [Piece(begin, end, read(said).said)]
    for n, syllable in zip(own, syllables, strict=True):
        pieces[n] = replace(pieces[n], pinyin=(syllable,))
    return pieces


def _ruled(text: str, begin: int, end: int) -> list[Piece]:
    """Pieces for ``text[begin:end]``: what the rules say, and each other character by itself."""
    pieces: list[Piece] = []
    at = 0
    stretch = text[begin:end]
    for first, last, said in (*parts(stretch), (len(stretch), len(stretch), "")):
        pieces += [Piece(begin + n, begin + n + 1, _itself(stretch[n])) for n in range(at, first)]
        if last > first:
            pieces.append(Piece(begin + first, begin + last, said))
        at = last
    return pieces


def _itself(char: str) -> str:
    """The character, or nothing for half a surrogate pair, which no engine can be sent."""
    return "" if "\ud800" <= char <= "\udfff" else char


def spoken(text: str, lexicon: Lexicon = ()) -> str:
    """What is said for ``text``."""
    return read(text, lexicon).said
