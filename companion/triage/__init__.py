"""Triage, pure: what a resident said → how urgent it is, which departments, why, and the one question to ask next.

Knowledge first (companion/data/triage: words, diseases, body parts, pairs of facts, questions, each row with a source
and a review state), red flags before all of it (companion.safety), and a small learned ranker blended in at the end.
``assess`` decides, ``Assessment.to_log`` stores, ``replay`` makes the same decision again.

    TriageError > InputRefused, ReplayMismatch
"""

from companion.triage.engine import assess, replay, with_departments
from companion.triage.values import (
    LEVELS,
    Assessment,
    DepartmentScore,
    Facts,
    InputRefused,
    Mention,
    Question,
    Reason,
    ReplayMismatch,
    TriageError,
    Utterance,
)

__all__ = [
    "LEVELS",
    "Assessment",
    "DepartmentScore",
    "Facts",
    "InputRefused",
    "Mention",
    "Question",
    "Reason",
    "ReplayMismatch",
    "TriageError",
    "Utterance",
    "assess",
    "replay",
    "with_departments",
]
