"""All knowledge of a process in one place: the shelf, the names on it, its passages and their index."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from companion.knowledge.loader import Shelf, spoken
from companion.knowledge.retrieval import Index, Lexicon, Pieces, Spoken, bigrams, folded
from companion.knowledge.sections import passages
from companion.knowledge.values import EmbeddingEngine, Entry, LaboratoryItem, Passage

T = TypeVar("T", bound=Entry)
_SHORTEST_TYPO = 4
# Of a name in pieces so much must be there; below, unlike things share characters.
_LEAST_IN_PIECES = 0.8


class Library:
    """Read-only after it is made. ``by_entry``: the passages of an entry by section."""

    def __init__(self, shelf: Shelf, engine: EmbeddingEngine | None = None) -> None:
        self.shelf = shelf
        self.entries: dict[tuple[str, str], Entry] = {(kind, entry.id): entry for kind, entry in shelf.entries()}
        self.spoken = Spoken(spoken())
        self.lexicon = Lexicon(
            (said, kind, entry.id)
            for kind, entry in shelf.entries()
            for word in (entry.name, *entry.words)
            for said in {word, self.spoken.plain(word)}
        )
        self.pieces = Pieces(self.lexicon.names, _LEAST_IN_PIECES)
        self.passages: list[Passage] = [p for kind, entry in shelf.entries() for p in passages(kind, entry)]
        self.by_entry: dict[tuple[str, str], dict[str, Passage]] = {}
        for passage in self.passages:
            self.by_entry.setdefault((passage.kind, passage.entry_id), {})[passage.section] = passage
        texts = []
        for passage in self.passages:
            entry = self.entries[passage.kind, passage.entry_id]
            texts.append(self.spoken.plain(f"{passage.title} {' '.join(entry.words)} {passage.text}"))
        self.index = Index(texts, engine)
        self._codes = {item.loinc: item for item in shelf.laboratory.values() if item.loinc}
        self._grams: dict[tuple[str, str], np.ndarray] = {}

    def find(self, text: str, kind: str, of: type[T]) -> T | None:
        """The entry of a kind that a name or text names: the whole text if it is a name, else the longest name in it."""
        plain = folded(text)
        whole = [entry for entry_kind, entry in self.lexicon.exact(plain) if entry_kind == kind]
        if not whole:
            spans = [
                (end - start, entry)
                for start, end, named in self.lexicon.matches(plain)
                for entry_kind, entry in named
                if entry_kind == kind
            ]
            whole = [max(spans, key=lambda s: s[0])[1]] if spans else []
        if not whole:
            whole = self._one_letter_off(plain, kind)
        entry = self.entries.get((kind, whole[0])) if whole else None
        return entry if isinstance(entry, of) else None

    def _one_letter_off(self, plain: str, kind: str) -> list[str]:
        """The one entry whose name differs from the whole text by a single character; none where two come near.

        Look-alike names are a known danger with medicines, so a doubt is answered with nothing.
        """
        if len(plain) < _SHORTEST_TYPO:
            return []
        near = {e for word, e in self.lexicon.of_kind(kind, len(plain)) if sum(map(str.__ne__, word, plain)) == 1}
        return list(near) if len(near) == 1 else []

    def item(
        self, name_or_code: str, *, age_years: float | None = None, sex: str | None = None
    ) -> LaboratoryItem | None:
        """A laboratory item by LOINC code, id or name; with age or sex, only the range that fits is kept."""
        item = self._codes.get(name_or_code)
        for name in (name_or_code, _plain_item(name_or_code)) if item is None else ():
            named = [e for kind, e in self.lexicon.exact(name) if kind == "laboratory"]
            if named:
                item = self.shelf.laboratory[named[0]]
                break
        item = item or self.shelf.laboratory.get(name_or_code.lower())
        if item is not None and age_years is not None:
            span = item.range_for(age_years=age_years, sex=sex)
            item = replace(item, ranges=(span,) if span else ())
        return item

    def grams_of(self, kind: str, entry_id: str) -> np.ndarray:
        """The sorted bigrams of an entry's whole text."""
        key = kind, entry_id
        if key not in self._grams:
            text = " ".join(p.text for p in self.by_entry.get(key, {}).values())
            entry = self.entries[key]
            self._grams[key] = np.unique(bigrams(self.spoken.plain(f"{entry.name} {' '.join(entry.words)} {text}")))
        return self._grams[key]


def _plain_item(name: str) -> str:
    """A report's way of writing a name: 「★白细胞计数(WBC)」 is 白细胞计数."""
    plain = folded(name).lstrip("*★☆·△▲ ")
    return plain.split("(")[0].strip() if "(" in plain and not plain.startswith("(") else plain
