"""The values of the knowledge base: entries as written, passages as retrieved, and what is answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

REVIEW_STATES = ("draft", "reviewed", "published")
KINDS = ("reason", "medicine", "examination", "laboratory", "procedure")


class KnowledgeInvalid(ValueError):
    """A data file breaks the rules; the message names file, row and what is wrong."""

    code = "knowledge_invalid"


@dataclass(frozen=True, slots=True)
class Entry:
    """What every entry has. ``words``: other names, brand and everyday words. ``updated``: ISO date."""

    id: str
    name: str
    words: tuple[str, ...]
    source: str
    review: str
    updated: str

    @property
    def title(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ReasonEntry(Entry):
    """A reason for an outpatient visit, in plain words; never a diagnosis."""

    departments: tuple[str, ...]
    may_be: str
    self_care: str
    see_doctor: str
    red_flags: str
    prepare: str


@dataclass(frozen=True, slots=True)
class MedicineEntry(Entry):
    """A medicine without its dose: that is only ever the prescription's.

    ``tags`` name the groups that interactions are written for; ages in years; ``sex`` "male" | "female" | "".
    """

    tags: tuple[str, ...]
    purpose: str
    use: str
    cautions: str
    pregnant: str
    children: str
    elderly: str
    organs: str
    food: str
    missed: str
    storage: str
    call: str
    min_age_years: float | None
    max_age_years: float | None
    sex: str
    prescription: bool


@dataclass(frozen=True, slots=True)
class Interaction:
    """Two medicines, or groups of them (``tag:...``), that should not meet without the doctor knowing."""

    id: str
    one: str
    other: str
    text: str
    severe: bool
    source: str
    review: str
    updated: str


@dataclass(frozen=True, slots=True)
class ExaminationEntry(Entry):
    """An examination. ``fasting``: yes | no | ask. ``minutes``: how long it takes, in words."""

    what: str
    prepare: str
    fasting: str
    avoid: str
    pregnant: str
    minutes: str
    results: str


@dataclass(frozen=True, slots=True)
class ProcedureEntry(Entry):
    """A step of a visit: how it goes, what to bring, and what each hospital settles for itself."""

    steps: str
    bring: str
    differs: str


@dataclass(frozen=True, slots=True)
class Range:
    """A reference range; age in years, low end included, high end excluded; ``sex`` "" is for both."""

    sex: str
    age_low: float
    age_high: float
    low: float | None
    high: float | None
    source: str

    def words(self) -> str:
        if self.low is None or self.low == 0:
            return f"≤{self.high:g}" if self.high is not None else ""
        if self.high is None:
            return f"≥{self.low:g}"
        return f"{self.low:g}~{self.high:g}"


@dataclass(frozen=True, slots=True)
class LaboratoryItem(Entry):
    """A laboratory or eye-test item. ``expected``: the normal word of a qualitative one (阴性).

    ``critical_low`` / ``critical_high``: panic limits for adults in ``unit``; a hospital's own list goes first.
    """

    loinc: str
    unit: str
    meaning: str
    low_means: str
    high_means: str
    expected: str
    critical_low: float | None
    critical_high: float | None
    ranges: tuple[Range, ...]

    def range_for(self, *, age_years: float | None, sex: str | None) -> Range | None:
        """The range that fits; None where age or sex would decide and is not known."""
        fitting = [r for r in self.ranges if not r.sex or r.sex == sex]
        if not sex and any(r.sex for r in self.ranges):
            fitting = [r for r in self.ranges if not r.sex]
        if age_years is None:
            grown = [r for r in fitting if r.age_low <= 30 < r.age_high]
            return grown[0] if grown and all(r.age_high <= 18 or r is grown[0] for r in fitting) else None
        return next((r for r in fitting if r.age_low <= age_years < r.age_high), None)


@dataclass(frozen=True, slots=True)
class Passage:
    """One section of one entry, short enough to be said."""

    id: str
    entry_id: str
    kind: str
    title: str
    section: str
    text: str
    source: str
    review: str


@dataclass(frozen=True, slots=True)
class Answer:
    """``text`` is made of ``passages`` alone; ``confidence`` 0..1, calibrated on a written set of questions."""

    text: str
    passages: tuple[Passage, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Caution:
    """One sentence to heed with a medicine. ``severe``: ask the doctor before the next dose."""

    text: str
    source: str
    severe: bool = False


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of a report in plain words. ``mark``: normal | high | low | abnormal | critical | unknown.

    A critical line has no explanation: the clinician's channel comes first.
    """

    name: str
    value: str
    unit: str
    range: str
    mark: str
    explanation: str
    source: str


class Observed(Protocol):
    """A line of a laboratory report; hospitals.connectors.base.Observation has this shape."""

    @property
    def code(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def interpretation(self) -> str: ...


class Reported(Protocol):
    @property
    def observations(self) -> Sequence[Observed]: ...


class EmbeddingEngine(Protocol):
    """Turns texts into rows of unit length, float32 [len(texts), d]. Chosen by a dotted path."""

    def encode(self, texts: Sequence[str]) -> np.ndarray: ...


Rows = Mapping[str, str]
