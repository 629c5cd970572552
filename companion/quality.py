"""The quality loop: turns picked for review, what reviewers decide, and their corrections as rows to test and train on.

Reviewers read words with personal data hidden, because quality work does not need it; what is exported is hidden in the
same way, and whatever still looks personal afterwards is left out.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from companion.exceptions import CompanionError
from companion.llm.masking import Mask
from companion.models import Incident, Patient, Resident, Turn, TurnReview
from companion.triage import LEVELS
from companion.understanding import UNKNOWN
from companion.understanding.intents import NAMES
from companion.understanding.names import DEPARTMENTS
from hospitals import audit
from hospitals.audit import Actor
from hospitals.exceptions import CiphertextInvalid, KeyDestroyed

Because = TurnReview.Because
Label = TurnReview.Label
INTENTS = (*NAMES, UNKNOWN)
DEPARTMENT_NAMES = tuple(dict.fromkeys(DEPARTMENTS.by_word.values()))
# Of every sample, the share that goes to each reason first; what a reason does not use goes to chance.
_SHARES = (
    (Because.LOW_RATING, 0.3),
    (Because.REPLACED, 0.15),
    (Because.EMERGENCY, 0.15),
    (Because.NOT_UNDERSTOOD, 0.15),
    (Because.BY_MODEL, 0.1),
)
_POOL = 40  # turns looked into for each one wanted: what a turn's record says can only be read one by one
_LONGEST_TEXT = 80  # characters; longer ones tell a story by which somebody can be known
_TEST_SHARE = 0.2
_STILL_PERSONAL = re.compile(r"\d{5,}|@|(?:微信|QQ|qq)号?[::是]")
_INSTEAD = {"姓名": "某某", "地址": "某地", "生日": "某年某月某日"}


class CorrectionInvalid(CompanionError):
    """An intent, department or urgency that does not exist."""

    code = "correction_invalid"
    status_code = 400
    detail = "没有这个意图、科室或轻重等级。"


# --- picking ---------------------------------------------------------------------------------------------------


def pick(*, since: datetime, until: datetime, count: int, seed: int) -> list[TurnReview]:
    """At most ``count`` turns of [since, until) for review, none twice; the same seed picks the same."""
    random = Random(seed)
    window = Turn.objects.filter(created_at__gte=since, created_at__lt=until, reviewed_at=None, review=None)
    picked: dict[UUID, TurnReview] = {}
    pool = _some(window, random, max(count * _POOL, 200))
    for because, share in _SHARES:
        room = min(round(count * share), count - len(picked))
        for turn in _candidates(because, window, pool, random, count):
            if room <= 0:
                break
            if turn.id not in picked and _spoken(turn):
                picked[turn.id] = TurnReview(turn=turn, resident_id=turn.resident_id, because=because)
                room -= 1
    for turn in pool:
        if len(picked) >= count:
            break
        if turn.id not in picked and _spoken(turn):
            picked[turn.id] = TurnReview(turn=turn, resident_id=turn.resident_id, because=Because.RANDOM)
    with transaction.atomic():
        taken = set(TurnReview.objects.filter(turn__in=picked).values_list("turn_id", flat=True))
        fresh = [review for turn_id, review in picked.items() if turn_id not in taken]
        for review in fresh:
            review.save(force_insert=True)
    return fresh


def _some(rows: QuerySet[Turn], random: Random, most: int) -> list[Turn]:
    """A uniform sample without counting or sorting the table: ids are random, so any run of them is one."""
    start = UUID(int=random.getrandbits(128))
    found = list(rows.filter(id__gte=start).order_by("id")[:most])
    if len(found) < most:
        found += list(rows.filter(id__lt=start).order_by("id")[: most - len(found)])
    return found


def _candidates(because: str, window: QuerySet[Turn], pool: list[Turn], random: Random, count: int) -> Iterable[Turn]:
    match because:
        case Because.LOW_RATING:
            return _some(window.filter(rating=-1), random, count)
        case Because.EMERGENCY:
            return _some(window.filter(urgency__in=("ambulance", "emergency")), random, count)
        case Because.NOT_UNDERSTOOD:
            return _some(window.filter(Q(intent=UNKNOWN) | Q(intent="")), random, count)
        case Because.REPLACED:
            told = Incident.objects.filter(kind=Incident.Kind.GUARD).values("conversation")
            some = _some(window.filter(conversation__in=told), random, count * 4)
            return [turn for turn in some if "replaced" in _understood(turn)]
        case _:
            return [turn for turn in pool if "by_model" in _understood(turn).get("reasons", ())]


def _understood(turn: Turn) -> dict[str, Any]:
    try:
        return dict(turn.understood)
    except (KeyDestroyed, CiphertextInvalid):
        return {}


def _spoken(turn: Turn) -> bool:
    """Whether she said something: taps need no understanding, and an erased resident's or damaged words are gone."""
    try:
        return bool(turn.said.strip())
    except (KeyDestroyed, CiphertextInvalid):
        return False


# --- deciding --------------------------------------------------------------------------------------------------


@transaction.atomic
def record(
    review: TurnReview,
    *,
    reviewer: str,
    label: str,
    intent: str = "",
    department: str = "",
    urgency: str = "",
    better_words: str = "",
    note: str = "",
) -> TurnReview:
    """What the reviewer decided; empty: nothing to correct there. Raises ``CorrectionInvalid``."""
    if (
        label not in Label.values
        or (intent and intent not in INTENTS)
        or (department and department not in DEPARTMENT_NAMES)
        or (urgency and urgency not in LEVELS)
    ):
        raise CorrectionInvalid
    now = timezone.now()
    review.label, review.reviewer, review.reviewed_at = label, reviewer, now
    review.better_words, review.note = better_words, note
    review.save()
    Turn.objects.filter(id=review.turn_id).update(
        corrected_intent=intent, corrected_department=department, corrected_urgency=urgency, reviewed_at=now
    )
    talk = review.turn.conversation
    audit.record(
        "review.record",
        actor=Actor("commission", reviewer),
        entity="turnreview",
        entity_id=review.id,
        subject=talk.patient_id or talk.resident_id,
        why=review.get_because_display(),
    )
    return review


def figures(*, since: datetime, until: datetime) -> dict[str, int]:
    """Counts of the window: turns, thumbs up and down, picked, reviewed, and each label."""
    turns = Turn.objects.filter(created_at__gte=since, created_at__lt=until)
    reviews = TurnReview.objects.filter(turn__created_at__gte=since, turn__created_at__lt=until)
    counts = {
        "turns": turns.count(),
        "rated_up": turns.filter(rating=1).count(),
        "rated_down": turns.filter(rating=-1).count(),
        "picked": reviews.count(),
        "reviewed": reviews.exclude(reviewed_at=None).count(),
    }
    return counts | {label: reviews.filter(label=label).count() for label in Label.values}


# --- reading and exporting -------------------------------------------------------------------------------------


def people_of(resident_id: UUID) -> tuple[str, ...]:
    """Every name on her cards, her own among them."""
    names = [str(resident.name) for resident in Resident.objects.filter(id=resident_id)]
    cards = Patient.objects.filter(Q(keeper_id=resident_id) | Q(links__resident_id=resident_id)).distinct()
    names += [str(card.name) for card in cards]
    return tuple(dict.fromkeys(name for name in names if name))


def hidden(text: str, names: Iterable[str]) -> str:
    """The words with personal data replaced by plain words: 某某, 某地, [电话]."""
    masked = Mask(names).hide(text)
    return re.sub(r"〔(\D+?)\d+〕", lambda match: _INSTEAD.get(match[1], f"[{match[1]}]"), masked)


@dataclass(frozen=True, slots=True)
class Correction:
    """One row to test or to train on. Empty fields say nothing. ``split``: the same words always fall on one side."""

    split: str  # test | train
    text: str
    intent: str = ""
    department: str = ""
    urgency: str = ""
    was_intent: str = ""
    was_urgency: str = ""
    label: str = ""
    better_words: str = ""

    def to_dict(self) -> dict[str, str]:
        return {key: value for key, value in asdict(self).items() if value or key in ("department", "intent")}


class Export:
    """Iterate over it for the rows; afterwards ``left_out`` says how many were not exported, by reason."""

    def __init__(self, since: datetime | None = None) -> None:
        self._since = since
        self.left_out: dict[str, int] = {}

    def __iter__(self) -> Iterator[Correction]:
        """Reviewed turns whose understanding was confirmed or corrected, without times, ids or people; each text once."""
        rows = Turn.objects.exclude(reviewed_at=None).select_related("review").order_by("id")
        if self._since is not None:
            rows = rows.filter(reviewed_at__gte=self._since)
        seen: set[str] = set()
        for turn in rows.iterator(chunk_size=500):
            row = self._row(turn)
            if isinstance(row, str):
                self.left_out[row] = self.left_out.get(row, 0) + 1
            elif row.text in seen:
                self.left_out["twice"] = self.left_out.get("twice", 0) + 1
            else:
                seen.add(row.text)
                yield row

    def _row(self, turn: Turn) -> Correction | str:
        review: TurnReview | None = getattr(turn, "review", None)
        label = review.label if review else ""
        corrected = turn.corrected_intent or turn.corrected_department or turn.corrected_urgency
        if not corrected and label not in ("", Label.RIGHT):
            return "not_corrected"
        try:
            names = people_of(turn.resident_id)
            said = turn.said.strip()
            better = review.better_words.strip() if review else ""
        except KeyDestroyed:
            return "erased"
        except CiphertextInvalid:
            return "damaged"
        if not said:
            return "tapped"
        if len(said) > _LONGEST_TEXT:
            return "long"
        text, better = hidden(said, names), hidden(better, names)
        if _still_personal(text, names) or _still_personal(better, names):
            return "personal"
        return Correction(
            split="test" if hashlib.sha256(text.encode()).digest()[0] < 256 * _TEST_SHARE else "train",
            text=text,
            intent=turn.corrected_intent or turn.intent,
            department=turn.corrected_department,
            urgency=turn.corrected_urgency or turn.urgency,
            was_intent=turn.intent if turn.corrected_intent else "",
            was_urgency=turn.urgency if turn.corrected_urgency else "",
            label=label,
            better_words=better,
        )


def _still_personal(text: str, names: Iterable[str]) -> bool:
    return bool(_STILL_PERSONAL.search(text)) or any(name in text for name in names)
