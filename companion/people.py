"""Real-name cards: the only writer of them (who may act with whose is companion.consents).

An adult keeps her own card in her own account. A minor's card is kept by a parent or guardian who declared to be one; that
ends on the day the minor comes of age. Everything is on the audit log under the resident's UUID. Functions are synchronous
and atomic; async callers go through companion.desks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from companion import card_fields, cards, documents, visits
from companion.exceptions import InvalidCard, NotAllowed, NotFound, NotNow, Outdated
from companion.journey import OPEN
from companion.models import FamilyLink, Patient, Resident, Visit
from hospitals import audit, indexing
from hospitals.audit import Actor
from hospitals.exceptions import KeyDestroyed

Relation = FamilyLink.Relation
MOST_CARDS = 10
MINORS = (Relation.CHILD, Relation.GRANDCHILD, Relation.OTHER)
_FROM_THE_OTHER_SIDE: dict[str, str] = {
    Relation.MOTHER: "子女",
    Relation.FATHER: "子女",
    Relation.CHILD: "父母",
    Relation.GRANDCHILD: "祖辈",
    Relation.SPOUSE: "爱人",
}


@dataclass(frozen=True, slots=True)
class Consent:
    """Why a resident may act for somebody. ``holds``: until ``expires_at``; ``guardian``: declared for a minor."""

    id: int
    given_at: datetime
    expires_at: datetime | None
    guardian: bool
    holds: bool


@dataclass(frozen=True, slots=True)
class Card:
    """A real-name card as its keeper, or who acts with it, sees it: numbers only so far that they are recognised.

    ``relation``: FamilyLink.Relation; ``mine``: kept, and to be changed, in this account; ``version``: for If-Match.
    """

    patient_id: UUID
    name: str
    relation: str
    document: str
    id_number: str
    phone: str
    sex: str
    age_years: int | None
    complete: bool
    mine: bool
    version: int
    consent: Consent | None


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who may act with her own card. ``relation`` in words, as she would say it: 子女, 爱人, ..."""

    name: str
    relation: str
    consent: Consent


@dataclass(frozen=True, slots=True)
class People:
    """Her own card and those she may act with; and who acts with hers, also those whose year is over."""

    cards: tuple[Card, ...]
    agents: tuple[Agent, ...]


def record(action: str, resident_id: UUID, subject: UUID, entity: str = "patient", entity_id: object = "") -> None:
    """What she did to whose card, on the audit log under her UUID."""
    audit.record(
        action,
        actor=Actor("resident", str(resident_id)),
        entity=entity,
        entity_id=entity_id or subject,
        subject=subject,
    )


# --- her own card -------------------------------------------------------------------------------------------


def own_card(resident: Resident) -> Patient:
    """Her own real-name card; a resident who just signed in for the first time gets an empty one to fill."""
    own = resident.family.filter(relation=Relation.SELF).select_related("patient")
    link = own.first()
    if link is None:
        with transaction.atomic():  # her page and her people ask at once: whoever comes second finds the first one's
            Resident.objects.select_for_update().get(id=resident.id)
            link = own.first()
            if link is None:
                return keep(resident, {"name": resident.name or "本人"}, Relation.SELF)
    return link.patient


def keep(
    resident: Resident,
    values: dict[str, str],
    relation: str,
    *,
    expires_at: datetime | None = None,
    guardian: bool = False,
) -> Patient:
    """Write a new card with its link as it is; whether the values are right was looked at before."""
    patient = Patient(
        keeper=resident, **{"name": "", "id_number": "", "phone": "", "birth_date": "", "sex": ""} | values
    )
    patient.id_number_index = _index(patient.id_number)
    patient.save(force_insert=True)
    FamilyLink.objects.create(
        resident=resident,
        patient=patient,
        relation=relation,
        guardian=guardian,
        consented_at=timezone.now(),
        expires_at=expires_at,
    )
    return patient


def complete(patient: Patient) -> bool:
    """Whether a hospital can be told who this is."""
    return bool(patient.name and patient.id_number and patient.phone and patient.birth_date)


def _index(number: str) -> str:
    """The same as booking's: one person is one index, whoever keeps her card."""
    return indexing.blind_index("id_number", number) if number else ""


def _only_once(patient: Patient, number: str) -> None:
    """While the blind index's key is being changed, the database's own constraint sees only cards under the same one.

    Raises ``NotNow`` (``already_there``).
    """
    indexes = indexing.blind_indexes("id_number", number)
    if len(indexes) == 1:
        return
    same = Patient.objects.filter(keeper_id=patient.keeper_id, id_number_index__in=indexes)
    if same.exclude(id=patient.id).exists():
        raise NotNow("这个证件号码已经在您的名单里了。", code="already_there")


# --- reading ------------------------------------------------------------------------------------------------


def of(resident_id: UUID) -> People:
    """Her people, herself first."""
    resident = Resident.objects.get(id=resident_id)
    own = own_card(resident)
    links = resident.family.filter(withdrawn_at=None).exclude(consented_at=None).select_related("patient")
    rows = sorted(links, key=lambda link: (link.relation != Relation.SELF, link.id))
    theirs = own.links.filter(withdrawn_at=None).exclude(resident=resident).exclude(consented_at=None)
    agents = (
        Agent(name_of(link.resident), from_the_other_side(link.relation), consent_of(link))
        for link in theirs.select_related("resident").order_by("id")
    )
    return People(tuple(_card(link) for link in rows), tuple(agents))


def consent_of(link: FamilyLink) -> Consent:
    assert link.consented_at is not None
    holds = link.expires_at is None or link.expires_at > timezone.now()
    return Consent(link.id, link.consented_at, link.expires_at, link.guardian, holds)


def _card(link: FamilyLink) -> Card:
    """Of somebody whose consent is over only the name and that it is over."""
    patient, self_ = link.patient, link.relation == Relation.SELF
    consent = None if self_ else consent_of(link)
    hidden = consent is not None and not consent.holds
    return Card(
        patient_id=patient.id,
        name=patient.name,
        relation=link.relation,
        document=patient.document,
        id_number="" if hidden else documents.masked(patient.id_number),
        phone="" if hidden else documents.masked(patient.phone),
        sex="" if hidden else patient.sex,
        age_years=None if hidden else cards.age_of(patient),
        complete=complete(patient),
        mine=patient.keeper_id == link.resident_id,
        version=patient.version,
        consent=consent,
    )


def from_the_other_side(relation: str) -> str:
    """What the one who acts is to her with whose card it is done, in words."""
    return _FROM_THE_OTHER_SIDE.get(relation, "家人")


def name_of(resident: Resident) -> str:
    """As the others in the family see it."""
    try:
        return resident.name or "家人"
    except KeyDestroyed:
        return "已注销的用户"


# --- cards --------------------------------------------------------------------------------------------------


@transaction.atomic
def create(*, resident_id: UUID, relation: str, guardian: bool = False, **given: Any) -> Card:
    """Fill her own card, or make one for a minor. ``given``: the fields of a card.

    Raises ``InvalidCard``; ``NotNow`` (``already_there``, ``own_card_first``, ``needs_consent`` for an adult, ``too_many``).
    """
    resident = Resident.objects.select_for_update().get(id=resident_id)
    own = own_card(resident)
    if relation == Relation.SELF:
        if own.id_number:
            raise NotNow("您的实名信息已经填过了,可以修改。", code="already_there")
        return _write(resident, own, given, "card.create")
    if not complete(own):
        raise NotNow("请先填好您自己的实名信息,再添加家人。", code="own_card_first")
    patient = Patient(keeper=resident, name="", id_number="", phone="", birth_date="", sex="")
    values = card_fields.checked(patient, given)
    born = date.fromisoformat(values["birth_date"])
    if documents.age(born, timezone.localdate()) >= documents.ADULT_AT:
        raise NotNow("满18岁的家人要本人同意:请给家人发邀请,由家人自己填写。", code="needs_consent")
    wrong = [] if relation in MINORS else [card_fields.wrong("relation", "relation")]
    wrong += [] if guardian else [card_fields.wrong("guardian", "guardian")]
    if wrong:
        raise InvalidCard(wrong)
    # each once, however many act with it
    if resident.kept_patients.filter(links__withdrawn_at=None).distinct().count() > MOST_CARDS:
        raise NotNow(f"最多添加{MOST_CARDS}位家人。请先移除不用的。", code="too_many")
    ends = timezone.make_aware(datetime.combine(documents.coming_of_age(born), time()))
    _only_once(patient, values["id_number"])
    try:
        with transaction.atomic():
            made = keep(resident, values, relation, expires_at=ends, guardian=True)
    except IntegrityError as error:
        raise NotNow("这位家人已经在您的名单里了。", code="already_there") from error
    record("card.create", resident_id, made.id)
    return _card(made.links.select_related("patient").get())


@transaction.atomic
def change(*, resident_id: UUID, patient_id: UUID, version: int, **given: Any) -> Card:
    """Mend a card that she keeps; what is not given stays. Raises ``Outdated``, ``InvalidCard``, ``NotNow``, ``NotAllowed``."""
    patient = _kept(resident_id, patient_id)
    if patient.version != version:
        raise Outdated
    return _write(patient.keeper, patient, given, "card.change")


def _write(resident: Resident, patient: Patient, given: Mapping[str, Any], action: str) -> Card:
    values = card_fields.checked(patient, given)
    if patient.id_number and values["id_number"] != patient.id_number and _on_the_way(patient):
        raise NotNow("还有没看完的预约,现在不能改证件号码。", code="has_visits")
    link = patient.links.select_related("patient").get(resident=resident)
    if link.guardian:
        born = date.fromisoformat(values["birth_date"])
        if documents.age(born, timezone.localdate()) >= documents.ADULT_AT:
            raise NotNow("满18岁的家人要本人同意:请给家人发邀请,由家人自己填写。", code="needs_consent")
        link.expires_at = timezone.make_aware(datetime.combine(documents.coming_of_age(born), time()))
        link.save(update_fields=["expires_at"])
    _only_once(patient, values["id_number"])
    for field, value in values.items():
        setattr(patient, field, value)
    patient.id_number_index = _index(patient.id_number)
    patient.version += 1
    try:
        with transaction.atomic():
            patient.save()
    except IntegrityError as error:
        raise NotNow("这个证件号码已经在您的名单里了。", code="already_there") from error
    if link.relation == Relation.SELF:
        resident.name, resident.phone = patient.name, patient.phone
        resident.save(update_fields=["name", "phone"])
    record(action, resident.id, patient.id)
    link.patient = patient
    return _card(link)


@transaction.atomic
def remove(*, resident_id: UUID, patient_id: UUID) -> None:
    """Take a card off her list: her own and a minor's are emptied, and nobody acts with them any more; of an adult she only
    lets go. Raises ``NotNow`` while a visit is open, ``NotFound``.
    """
    link = FamilyLink.objects.filter(resident_id=resident_id, patient_id=patient_id, withdrawn_at=None).first()
    if link is None:
        raise NotFound("没有找到这位家人。")
    patient = Patient.objects.select_for_update().get(id=patient_id)
    if patient.keeper_id != resident_id:
        end(link, by=resident_id)
        return
    if _on_the_way(patient):
        raise NotNow("还有没看完的预约。请先看完或者取消,再移除。", code="has_visits")
    for other in patient.links.filter(withdrawn_at=None).exclude(relation=Relation.SELF):
        end(other, by=resident_id)
    patient.name = "本人" if link.relation == Relation.SELF else "已移除"
    patient.id_number = patient.phone = patient.birth_date = patient.sex = patient.id_number_index = ""
    patient.version += 1
    patient.save()
    if link.relation == Relation.SELF:
        resident = Resident.objects.get(id=resident_id)
        resident.name = resident.phone = ""
        resident.save(update_fields=["name", "phone"])
    record("card.remove", resident_id, patient.id)


def _kept(resident_id: UUID, patient_id: UUID) -> Patient:
    patient = Patient.objects.select_for_update().select_related("keeper").filter(id=patient_id).first()
    if patient is None or not patient.links.filter(resident_id=resident_id, withdrawn_at=None).exists():
        raise NotFound("没有找到这位家人。")
    if patient.keeper_id != resident_id:
        raise NotAllowed("这张卡由家人本人保管,只有本人能修改。")
    return patient


def _on_the_way(patient: Patient) -> bool:
    return Visit.objects.filter(patient=patient, state__in=[state.value for state in OPEN]).exists()


# --- consent ------------------------------------------------------------------------------------------------


def end(link: FamilyLink, *, by: UUID) -> None:
    """Nobody acts with this card through this link any more; what is under way is its keeper's to hear of."""
    link.withdrawn_at = timezone.now()
    link.save(update_fields=["withdrawn_at"])
    if link.patient.keeper_id != link.resident_id:
        visits.hand_over(link.patient, from_resident=link.resident_id)
    record("consent.withdraw", by, link.patient_id, "consent", link.id)
