"""Hybrid retrieval: entry names by longest match, BM25 over character bigrams, and vectors where an engine is set.

BM25 as in Robertson & Zaragoza 2009, k1 = 1.2, b = 0.75. Bigrams of a whole text are made by numpy at once, so that a
process has the index in a tenth of a second and needs no word list besides the entries' own names.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from companion.knowledge.values import EmbeddingEngine

_K1, _B = 1.2, 0.75
_VECTOR_WEIGHT = 0.5
_NOT_A_WORD = re.compile(r"[^0-9a-z\u3400-\u9fff+%.]+")


def folded(text: str) -> str:
    """Lower case, one width, no blanks between Chinese characters; what is compared is always folded."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"(?<=[\u3400-\u9fff])\s+(?=[\u3400-\u9fff])", "", plain).strip()


def bigrams(text: str) -> np.ndarray:
    """The character bigrams of a folded text that do not cross a stop, each as one uint64, in order."""
    codes = np.frombuffer(_NOT_A_WORD.sub(" ", text).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    if len(codes) < 2:
        return np.empty(0, np.uint64)
    pairs = (codes[:-1] << np.uint64(32)) | codes[1:]
    return pairs[(codes[:-1] != 32) & (codes[1:] != 32)]


class Lexicon:
    """Names of entries; finds the longest that stand in a text, left to right."""

    def __init__(self, names: Iterable[tuple[str, str, str]]) -> None:
        """``names``: (word, kind, entry id). A word of one character is only taken when it is a whole text."""
        self._known: dict[str, dict[tuple[str, str], None]] = {}
        for word, kind, entry in names:
            self._known.setdefault(folded(word), {})[kind, entry] = None
        self._longest = max(map(len, self._known), default=0)
        self._firsts = {word[0] for word in self._known if word}

    @property
    def names(self) -> Mapping[str, Iterable[tuple[str, str]]]:
        return self._known

    def exact(self, text: str) -> list[tuple[str, str]]:
        return list(self._known.get(folded(text), {}))

    def of_kind(self, kind: str, length: int) -> Iterator[tuple[str, str]]:
        """(name, entry id) of every name of a kind that is ``length`` characters long."""
        for word, entries in self._known.items():
            if len(word) == length:
                yield from ((word, entry) for entry_kind, entry in entries if entry_kind == kind)

    def matches(self, text: str) -> list[tuple[int, int, list[tuple[str, str]]]]:
        """(start, end, [(kind, entry id)]) in a folded text, without overlaps."""
        found, at = [], 0
        while at < len(text):
            if text[at] in self._firsts:
                for end in range(min(len(text), at + self._longest), at + 1, -1):
                    word = text[at:end]
                    if word in self._known and not _inside_latin(text, at, end):
                        found.append((at, end, list(self._known[word])))
                        at = end - 1
                        break
            at += 1
        return found


def _inside_latin(text: str, start: int, end: int) -> bool:
    """Does the match cut a Latin word or a number (``ct`` in ``act``)?"""

    def latin(character: str) -> bool:
        return character.isascii() and character.isalnum()

    return (start > 0 and latin(text[start - 1]) and latin(text[start])) or (
        end < len(text) and latin(text[end]) and latin(text[end - 1])
    )


class Spoken:
    """Residents' words put into those of the entries, longest first, in questions and in entries' names alike."""

    def __init__(self, means: Mapping[str, str]) -> None:
        self._means = {folded(said): folded(word) for said, word in means.items()}
        longest_first = sorted(self._means, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def plain(self, text: str) -> str:
        """A folded text in the entries' words."""
        text = folded(text)
        return self._pattern.sub(lambda hit: self._means[hit.group()], text) if self._pattern else text


@dataclass(frozen=True, slots=True)
class Near:
    """An entry's name found in pieces. ``covered``: how much of it, 0..1; ``at``: the question's characters it took."""

    word: str
    entries: tuple[tuple[str, str], ...]
    covered: float
    at: frozenset[int]


class Pieces:
    """Names whose characters stand in a question, though not side by side: 「病历复印」 in 「住院的病历怎么复印」.

    A character counts whole where a neighbour of the name is beside it, half where it stands alone.
    """

    def __init__(self, names: Mapping[str, Iterable[tuple[str, str]]], least: float) -> None:
        self._least = least
        self._names = [(word, tuple(entries)) for word, entries in names.items() if len(word) >= 3]
        self._with: dict[str, list[int]] = defaultdict(list)
        for number, (word, _entries) in enumerate(self._names):
            for at in range(len(word) - 1):
                self._with[word[at : at + 2]].append(number)

    def near(self, text: str) -> list[Near]:
        pairs = {text[at : at + 2]: at for at in range(len(text) - 1)}
        shared = {number for pair in pairs for number in self._with.get(pair, ())}
        found = []
        for number in shared:
            word, entries = self._names[number]
            whole: set[int] = set()
            at: set[int] = set()
            for n in range(len(word) - 1):
                where = pairs.get(word[n : n + 2])
                if where is not None:
                    whole |= {n, n + 1}
                    at |= {where, where + 1}
            alone = {n for n in set(range(len(word))) - whole if word[n] in text}
            covered = (len(whole) + 0.5 * len(alone)) / len(word)
            if covered >= self._least:
                at |= {text.index(word[n]) for n in alone}
                found.append(Near(word, entries, covered, frozenset(at)))
        return found


class Index:
    """BM25 over texts, with an optional embedding engine beside it."""

    def __init__(self, texts: Sequence[str], engine: EmbeddingEngine | None = None) -> None:
        grams = [bigrams(folded(text)) for text in texts]
        lengths = np.array([len(g) for g in grams], np.float32)
        flat = np.concatenate(grams) if grams else np.empty(0, np.uint64)
        document = np.repeat(np.arange(len(grams), dtype=np.int32), lengths.astype(np.int64))
        self._terms, numbers = np.unique(flat, return_inverse=True)
        pairs, counts = np.unique(numbers.astype(np.int64) * max(1, len(grams)) + document, return_counts=True)
        term_of, self._document = pairs // max(1, len(grams)), (pairs % max(1, len(grams))).astype(np.int32)
        self._start = np.searchsorted(term_of, np.arange(len(self._terms) + 1))
        frequency = np.diff(self._start)
        self.size = len(grams)
        self._idf = np.log1p((self.size - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
        norm = _K1 * (1 - _B + _B * lengths / max(1.0, float(lengths.mean()) if len(lengths) else 1.0))
        weight = counts * (_K1 + 1) / (counts + norm[self._document])
        self._weight = (weight * self._idf[term_of]).astype(np.float32)
        self.unseen_idf = float(np.log1p(self.size + 0.5)) if self.size else 0.0
        self._engine = engine
        self._vectors = engine.encode(list(texts)).astype(np.float32) if engine and texts else None

    def scores(self, question: str) -> np.ndarray:
        """One score a text, float32 [len(texts)]; cosine similarity added where an engine is set."""
        result = np.zeros(self.size, np.float32)
        for gram in np.unique(bigrams(question)):
            at = int(np.searchsorted(self._terms, gram))
            if at < len(self._terms) and self._terms[at] == gram:
                rows = slice(self._start[at], self._start[at + 1])
                result[self._document[rows]] += self._weight[rows]
        if self._engine is not None and self._vectors is not None:
            cosine = self._vectors @ self._engine.encode([question])[0].astype(np.float32)
            result += _VECTOR_WEIGHT * max(1.0, float(result.max(initial=0.0))) * np.maximum(cosine, 0)
        return result

    def idf(self, gram: np.uint64) -> float:
        """How rare a bigram is; one never seen is rarest of all."""
        at = int(np.searchsorted(self._terms, gram))
        if at < len(self._terms) and self._terms[at] == gram:
            return float(self._idf[at])
        return self.unseen_idf
