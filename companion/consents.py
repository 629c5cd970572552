"""Consent: an adult is asked by a code, answers in her own account, and may end it at once; so may the one who asked.

It holds for a year and is given anew by her with whose card it is done. An elder without a phone of her own is not served
here: that needs a consent at a hospital's desk. Everything is on the audit log under the resident's UUID.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from companion import card_fields, cards, documents, people
from companion.exceptions import InvalidCard, NotAllowed, NotFound, NotNow
from companion.models import FamilyLink, Invitation, Resident
from companion.people import Agent, Consent, Relation
from hospitals import indexing
from hospitals.services import limits
from hospitals.services.limits import Limit

CONSENT_FOR = timedelta(days=365)
INVITATION_FOR = timedelta(hours=72)
INVITED = Limit("invitation", 10, 86400)
WRONG_CODES = Limit("invitation-code", 10, 3600)
# Nothing that is mistaken for something else when it is read aloud or written down.
_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
_CODE_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Invited:
    """``code`` is told this once; nobody can read it again."""

    code: str
    relation: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """An invitation as the one who was handed its code sees it. ``relation`` in words: what the one who asks would be to her."""

    name: str
    relation: str
    expires_at: datetime
    consent_until: datetime
    card_complete: bool


@transaction.atomic
def invite(*, resident_id: UUID, relation: str) -> Invited:
    """Ask an adult to let her act for her. Raises ``NotNow`` (``own_card_first``), ``InvalidCard``, ``TooManyRequests``."""
    if relation not in Relation.values or relation == Relation.SELF:
        raise InvalidCard([card_fields.wrong("relation", "relation")])
    resident = Resident.objects.get(id=resident_id)
    own = people.own_card(resident)
    if not people.complete(own):
        raise NotNow("请先填好您自己的实名信息,家人才知道是谁在请求。", code="own_card_first")
    limits.within(limits.count(INVITED, str(resident_id)))
    code = "".join(secrets.choice(_LETTERS) for _n in range(_CODE_LENGTH))
    row = Invitation.objects.create(
        resident=resident,
        relation=relation,
        code_index=_code_indexes(code)[0],
        expires_at=timezone.now() + INVITATION_FOR,
    )
    people.record("consent.ask", resident_id, own.id, "invitation", row.id)
    return Invited("-".join(code[n : n + 4] for n in range(0, _CODE_LENGTH, 4)), relation, row.expires_at)


def _code_indexes(code: str) -> tuple[str, ...]:
    return indexing.blind_indexes("invitation", "".join(c for c in code.upper() if c in _LETTERS))


def _open(resident_id: UUID, code: str) -> Invitation:
    """Raises ``NotFound`` (``invitation_over``: unknown, used or too old; one answer for all three), ``TooManyRequests``."""
    limits.within(limits.standing(WRONG_CODES, str(resident_id)), least=1)
    row = (
        Invitation.objects.filter(
            code_index__in=_code_indexes(code[:40]), state=Invitation.State.OPEN, expires_at__gt=timezone.now()
        )
        .select_related("resident")
        .first()
    )
    if row is None:
        limits.count(WRONG_CODES, str(resident_id))
        raise NotFound("这个邀请码不对,或者已经用过、过期了。请让家人再发一次。", code="invitation_over")
    if row.resident_id == resident_id:
        raise NotNow("这是您自己发出的邀请,要由家人在自己的手机上打开。", code="own_invitation")
    return row


def invitation(*, resident_id: UUID, code: str) -> Asked:
    """Who asks for what. Raises ``NotFound``, ``NotNow``."""
    row = _open(resident_id, code)
    own = people.own_card(Resident.objects.get(id=resident_id))
    relation = people.from_the_other_side(row.relation)
    return Asked(
        people.name_of(row.resident),
        relation,
        row.expires_at,
        timezone.now() + CONSENT_FOR,
        card_complete=people.complete(own),
    )


@transaction.atomic
def accept(*, resident_id: UUID, code: str) -> Agent:
    """Let her who asked act with one's own card for a year. Raises ``NotFound``, ``NotNow`` (``own_card_first``, ``minor``)."""
    row = _open(resident_id, code)
    own = people.own_card(Resident.objects.get(id=resident_id))
    if not people.complete(own):
        raise NotNow("请先填好您自己的实名信息,再同意。", code="own_card_first")
    if (cards.age_of(own) or 0) < documents.ADULT_AT:
        raise NotNow("未满18岁由父母或监护人添加,不用邀请。", code="minor")
    if own.id_number == people.own_card(row.resident).id_number:
        raise NotNow("这是您自己发出的邀请,要由家人在自己的手机上打开。", code="own_invitation")
    _answer(row, Invitation.State.ACCEPTED)
    now = timezone.now()
    link, _created = FamilyLink.objects.update_or_create(
        resident=row.resident,
        patient=own,
        defaults={
            "relation": row.relation,
            "guardian": False,
            "consented_at": now,
            "expires_at": now + CONSENT_FOR,
            "withdrawn_at": None,
        },
    )
    people.record("consent.give", resident_id, own.id, "consent", link.id)
    return Agent(people.name_of(row.resident), people.from_the_other_side(row.relation), people.consent_of(link))


@transaction.atomic
def decline(*, resident_id: UUID, code: str) -> None:
    """Say no; the code is worth nothing any more. Raises ``NotFound``, ``NotNow``."""
    row = _open(resident_id, code)
    own = people.own_card(Resident.objects.get(id=resident_id))
    _answer(row, Invitation.State.DECLINED)
    people.record("consent.decline", resident_id, own.id, "invitation", row.id)


def _answer(row: Invitation, state: Invitation.State) -> None:
    """Once, whoever is quicker."""
    if not Invitation.objects.filter(id=row.id, state=Invitation.State.OPEN).update(state=state):
        raise NotFound("这个邀请码不对,或者已经用过、过期了。请让家人再发一次。", code="invitation_over")


@transaction.atomic
def withdraw(*, resident_id: UUID, consent_id: int) -> None:
    """End a consent, from either side, at once. Raises ``NotFound``; ``NotNow`` for what was declared for a minor."""
    link = _between(resident_id, consent_id)
    if link.guardian:
        raise NotNow("孩子的信息由您保管,不需要时可以移除。", code="guardian")
    people.end(link, by=resident_id)


@transaction.atomic
def renew(*, resident_id: UUID, consent_id: int) -> Consent:
    """Another year from now; only she with whose card it is done can say so. Raises ``NotFound``, ``NotAllowed``."""
    link = _between(resident_id, consent_id)
    if link.patient.keeper_id != resident_id or link.guardian:
        raise NotAllowed("要由家人本人在自己的手机上续期。")
    link.consented_at = timezone.now()
    link.expires_at = link.consented_at + CONSENT_FOR
    link.save(update_fields=["consented_at", "expires_at"])
    people.record("consent.renew", resident_id, link.patient_id, "consent", link.id)
    return people.consent_of(link)


def _between(resident_id: UUID, consent_id: int) -> FamilyLink:
    """The consent, if she gave or got it; her own card's link is none."""
    links = FamilyLink.objects.select_related("patient", "resident").exclude(relation=Relation.SELF)
    link = links.filter(id=consent_id, withdrawn_at=None).exclude(consented_at=None).first()
    if link is None or resident_id not in (link.resident_id, link.patient.keeper_id):
        raise NotFound("没有找到这份授权。")
    return link
