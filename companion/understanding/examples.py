"""The intent of the most similar sentence on file, for words that no pattern knows.

Sentences and their intents stand in data/dialogue/examples.yaml; what reviewers correct is added there. Similarity is the cosine of
TF-IDF weighted characters and pairs of characters, so that order and small changes of wording cost little.
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from companion import knowledge

_NEIGHBOURS = 4
_DATA = Path(__file__).parent.parent / "data" / "dialogue" / "examples.yaml"


@dataclass(frozen=True, slots=True)
class Nearest:
    """``similarity`` 0..1; ``sentence``: the one on file."""

    intent: str
    similarity: float
    sentence: str


class Examples:
    """An inverted index over sentences: a look-up touches only those that share a piece with the words asked for."""

    def __init__(self, by_intent: dict[str, list[str]]) -> None:
        self.sentences = [(intent, text) for intent, texts in by_intent.items() for text in texts]
        pieces = [_pieces(text) for _intent, text in self.sentences]
        seen = Counter(piece for found in pieces for piece in found)
        self._weight = {piece: math.log(1 + len(pieces) / count) for piece, count in seen.items()}
        self._unknown = math.log(1 + len(pieces))
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, found in enumerate(pieces):
            length = self._length(found)
            for piece in found:
                self._postings[piece].append((number, self._weight[piece] / length))

    def nearest(self, text: str) -> Nearest | None:
        """The most similar sentence; None where none shares anything.

        The next ones lend their weight: an intent with several sentences nearly as like goes before a lone one.
        """
        asked = _pieces(text)
        length = self._length(asked)
        scores: Counter[int] = Counter()
        for piece in asked:
            for number, weight in self._postings.get(piece, ()):
                scores[number] += weight * self._weight[piece] / length  # type: ignore[assignment]
        if not scores:
            return None
        near = sorted(scores, key=lambda n: (-scores[n], n))[:_NEIGHBOURS]
        votes: Counter[str] = Counter()
        for number in near:
            votes[self.sentences[number][0]] += scores[number]
        intent = max(votes, key=lambda name: votes[name])
        number = next(n for n in near if self.sentences[n][0] == intent)
        return Nearest(intent, float(scores[number]), self.sentences[number][1])

    def _length(self, pieces: frozenset[str]) -> float:
        return math.sqrt(sum(self._weight.get(piece, self._unknown) ** 2 for piece in pieces)) or 1.0


def _pieces(text: str) -> frozenset[str]:
    letters = [c for c in knowledge.spoken_plain(text) if c.isalnum()]
    return frozenset(letters) | {a + b for a, b in zip(letters, letters[1:], strict=False)}


@cache
def on_file() -> Examples:
    return Examples(yaml.safe_load(_DATA.read_text(encoding="utf-8"))["examples"])
