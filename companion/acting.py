"""Who may act for whom: asked before anything of a patient's is shown or changed, and never written here."""

from collections.abc import Iterable
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q
from django.utils import timezone

from companion.exceptions import NotAllowed
from companion.models import FamilyLink, Patient
from hospitals.compiled import Compiled

_PATIENT = [field.attname for field in Patient._meta.concrete_fields]
_consents = Compiled(  # whatever is asked about somebody begins with it
    lambda resident, patient: FamilyLink.objects.filter(resident=resident, patient=patient).values_list(
        *("relation", "consented_at", "expires_at", "withdrawn_at"), *(f"patient__{name}" for name in _PATIENT)
    ),
    shared=True,
)


def acts_for(resident_id: UUID, patient_id: UUID | str) -> bool:
    """Whether ``may_act_for`` would give the patient."""
    try:
        may_act_for(resident_id, patient_id)
    except NotAllowed:
        return False
    return True


def pairs(residents: Iterable[UUID], patients: Iterable[UUID]) -> set[tuple[UUID, UUID]]:
    """Of many at once the pairs (resident, patient) for which ``acts_for`` is true."""
    holds = Q(withdrawn_at=None) & (Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
    links = FamilyLink.objects.filter(holds, resident_id__in=residents, patient_id__in=patients)
    agreed = links.exclude(~Q(relation=FamilyLink.Relation.SELF), consented_at=None)
    return set(agreed.values_list("resident_id", "patient_id"))


def may_act_for(resident_id: UUID, patient_id: UUID | str) -> Patient:
    """The patient, if the resident is she or has consent that still holds. Raises ``NotAllowed``."""
    found = _consents.rows(resident=resident_id, patient=_uuid(patient_id))
    if not found:
        raise NotAllowed
    relation, consented_at, expires_at, withdrawn_at, *patient = found[0]
    if withdrawn_at or (expires_at and expires_at <= timezone.now()):
        raise NotAllowed
    if relation != FamilyLink.Relation.SELF and not consented_at:
        raise NotAllowed
    return Patient.from_db(DEFAULT_DB_ALIAS, _PATIENT, patient)


def _uuid(value: UUID | str) -> UUID:
    """Raises ``NotAllowed``: nobody acts for somebody who cannot be."""
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except ValueError as error:
        raise NotAllowed from error
