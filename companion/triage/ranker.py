"""The learned ranker at run time: hashed character n-grams times a small quantised matrix, in plain numpy.

Trained by ``manage.py train_triage``; the file and what it was trained on are described in docs/triage.md.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from companion.triage.lexicon import DATA

PATH = DATA / "ranker.npz"
BUCKETS = 1 << 16
LENGTHS = (1, 2, 3)
READ = 400  # characters of a text that are read; titles and first sentences carry the department


@dataclass(frozen=True, slots=True)
class Ranker:
    """``weights``: int8 [BUCKETS, classes]; ``scale``, ``bias``: float32 [classes]; ``names``: the classes."""

    weights: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...]

    def log_probabilities(self, text: str) -> dict[str, float]:
        """The natural logarithm of each department's share for a normalised text."""
        buckets, values = features(text)
        if not buckets.size:
            return {}
        logits = (values @ self.weights[buckets].astype(np.float32)) * self.scale + self.bias
        logits -= logits.max()
        logs = logits - np.log(np.exp(logits).sum())
        return dict(zip(self.names, (float(value) for value in logs), strict=True))


def features(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Buckets (int64) and their weights (float32, Euclidean length 1) of one text's character n-grams."""
    text = text[:READ]
    counts: dict[int, float] = {}
    for length in LENGTHS:
        for at in range(len(text) - length + 1):
            bucket = zlib.crc32(text[at : at + length].encode()) % BUCKETS
            counts[bucket] = counts.get(bucket, 0.0) + 1.0
    buckets = np.fromiter(counts.keys(), dtype=np.int64, count=len(counts))
    values = np.log1p(np.fromiter(counts.values(), dtype=np.float32, count=len(counts)))
    norm = float(np.sqrt((values * values).sum()))
    return buckets, (values / norm if norm else values).astype(np.float32)


def read(path: Path) -> Ranker:
    """One ranker file."""
    with np.load(path, allow_pickle=False) as file:
        return Ranker(file["weights"], file["scale"], file["bias"], tuple(str(name) for name in file["names"]))


@lru_cache(maxsize=1)
def load() -> Ranker | None:
    """The shipped ranker, or None where the file is not there: triage then rests on the knowledge alone."""
    return read(PATH) if PATH.exists() else None
