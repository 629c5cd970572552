"""The knowledge base, pure: health questions answered from passages with sources, medicines, examinations, reports.

Nothing here asks the network or the database. Entries are data (companion/data/knowledge), each with a source and a
review state; ``configure`` adds a province's own folder, narrows the review states, or sets an embedding engine.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from companion.knowledge import medicines as _medicines
from companion.knowledge import reports as _reports
from companion.knowledge.answers import compose
from companion.knowledge.library import Library
from companion.knowledge.loader import DATA, load
from companion.knowledge.values import (
    REVIEW_STATES,
    Answer,
    Caution,
    EmbeddingEngine,
    ExaminationEntry,
    KnowledgeInvalid,
    LaboratoryItem,
    MedicineEntry,
    Observed,
    Passage,
    ProcedureEntry,
    ReasonEntry,
    Reported,
    ReportLine,
)

__all__ = [
    "Answer",
    "Caution",
    "ExaminationEntry",
    "KnowledgeInvalid",
    "LaboratoryItem",
    "MedicineEntry",
    "Passage",
    "ProcedureEntry",
    "ReasonEntry",
    "ReportLine",
    "ask",
    "configure",
    "examination",
    "explain_observation",
    "explain_report",
    "is_critical",
    "laboratory_item",
    "library",
    "medicine",
    "medicine_cautions",
    "names_medicine",
    "procedure",
    "reason",
    "spoken_plain",
]

_configured: dict[str, Any] = {"folders": (), "states": REVIEW_STATES, "embedding": "", "options": {}}


def configure(
    *,
    folders: Sequence[Path] = (),
    states: Sequence[str] = REVIEW_STATES,
    embedding: str = "",
    options: Mapping[str, Any] | None = None,
) -> None:
    """Set what the next call loads. ``folders``: a province's own, over ours; ``embedding``: dotted path of an
    EmbeddingEngine class, made with ``options``. Raises ``KnowledgeInvalid`` at the next call, not here."""
    _configured.update(folders=tuple(folders), states=tuple(states), embedding=embedding, options=dict(options or {}))
    library.cache_clear()


@lru_cache(maxsize=1)
def library() -> Library:
    """All knowledge, read once a process."""
    engine: EmbeddingEngine | None = None
    if _configured["embedding"]:
        module, _, name = _configured["embedding"].rpartition(".")
        engine = getattr(import_module(module), name)(**_configured["options"])
    return Library(load((DATA, *_configured["folders"]), _configured["states"]), engine)


def ask(
    question: str, *, context: str | None = None, age_years: float | None = None, sex: str | None = None
) -> Answer | None:
    """An answer made of passages, or None where we are not sure. ``context``: what was spoken of before (a title)."""
    return compose(library(), question, context=context, age_years=age_years, sex=sex)


def reason(text: str) -> ReasonEntry | None:
    """The reason for a visit that the text names, longest name first."""
    return library().find(text, "reason", ReasonEntry)


def medicine(name: str) -> MedicineEntry | None:
    """The medicine that this name or text names: generic name, brand word or everyday word."""
    return library().find(name, "medicine", MedicineEntry)


def spoken_plain(text: str) -> str:
    """The text with residents' words put into those of the entries: 「咋」 is 「怎么」."""
    return library().spoken.plain(text)


def names_medicine(text: str) -> bool:
    """Whether the text holds the name of a medicine or of a class of them."""
    known = library()
    return any(
        kind == "medicine" for _, _, named in known.lexicon.matches(known.spoken.plain(text)) for kind, _ in named
    )


def examination(name: str) -> ExaminationEntry | None:
    """The examination that this name or text names."""
    return library().find(name, "examination", ExaminationEntry)


def procedure(name: str) -> ProcedureEntry | None:
    """The step of a visit that this name or text names: refund, report print-out, wheelchair."""
    return library().find(name, "procedure", ProcedureEntry)


def laboratory_item(
    name_or_code: str, *, age_years: float | None = None, sex: str | None = None
) -> LaboratoryItem | None:
    """The item of this name, alias or LOINC code; with age and sex, only the range that fits is left in it."""
    return library().item(name_or_code, age_years=age_years, sex=sex)


def explain_observation(observation: Observed, age_years: float | None = None, sex: str | None = None) -> ReportLine:
    """One line of a report in plain words, marked by the report's own range first."""
    known = library()
    item = known.item(observation.code) or known.item(observation.name)
    return _reports.explain(observation, item, age_years=age_years, sex=sex)


def explain_report(
    report: Reported, *, age_years: float | None = None, sex: str | None = None
) -> tuple[ReportLine, ...]:
    """Every line of a report, in its order."""
    return tuple(explain_observation(line, age_years, sex) for line in report.observations)


def is_critical(report: Reported, *, age_years: float | None = None, sex: str | None = None) -> bool:
    """Is there a panic value, by the hospital's mark or by our limits? Then the clinician hears of it first."""
    return any(line.mark == "critical" for line in explain_report(report, age_years=age_years, sex=sex))


def medicine_cautions(
    name: str,
    *,
    age_years: float | None = None,
    sex: str | None = None,
    pregnant: bool | None = None,
    other_medicines: Iterable[str] = (),
) -> list[Caution]:
    """What to heed, the most important first; empty for a medicine we do not know."""
    entry = medicine(name)
    if entry is None:
        return []
    others = [other for other in map(medicine, other_medicines) if other is not None]
    return _medicines.cautions_for(
        entry, others, library().shelf.interactions.values(), age_years=age_years, sex=sex, pregnant=pregnant
    )
