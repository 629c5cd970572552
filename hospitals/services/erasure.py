"""To erase is to destroy the owner's data key: her rows stay, backups stay, and nobody can read either any more."""

from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from hospitals import audit, tenancy, vault
from hospitals.audit import Actor
from hospitals.exceptions import InvalidInput, NotFound, UnknownHospital, WrongState
from hospitals.models import DataKey, Hospital
from hospitals.services import onboarding


def _because(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("请写明理由。", code="reason_missing")
    return reason.strip()


@transaction.atomic
def erase_hospital(hospital_id: UUID, *, actor: Actor, reason: str) -> int:
    """Destroy the keys of a hospital that has left; returns how many.

    Raises ``UnknownHospital``, ``WrongState`` while it has not left, ``InvalidInput`` without a reason.
    """
    why = _because(reason)
    with tenancy.scope(hospital_id):
        row = Hospital.objects.select_for_update().filter(id=hospital_id).first()
    if row is None:
        raise UnknownHospital
    if row.state != Hospital.State.LEFT:
        raise WrongState("医院还没有退出,不能清除。", code="not_left")
    count = vault.erase("hospital", hospital_id)
    audit.record("erased", actor=actor, hospital_id=hospital_id, entity="hospital", entity_id=hospital_id, why=why)
    return count


@transaction.atomic
def leave_and_erase(hospital_id: UUID, *, actor: Actor, reason: str) -> int:
    """A hospital goes and takes its data along, in one step or not at all; returns how many keys were destroyed.

    Raises as ``onboarding.leave`` and ``erase_hospital``.
    """
    onboarding.leave(hospital_id=hospital_id, actor=actor, reason=reason)
    return erase_hospital(hospital_id, actor=actor, reason=reason)


@transaction.atomic
def erase_resident(resident_id: UUID, *, actor: Actor, reason: str) -> int:
    """Destroy the keys of a resident who asked, and have settings.HOSPITALS_ERASURE_SINK end what hangs on her.

    Returns how many keys, 0 when it was done before.
    Raises ``NotFound`` for somebody who never had a key, ``InvalidInput`` without a reason.
    """
    why = _because(reason)
    if not DataKey.objects.filter(owner_kind="resident", owner_id=str(resident_id)).exists():
        raise NotFound
    count = vault.erase("resident", resident_id)
    import_string(settings.HOSPITALS_ERASURE_SINK)(resident_id)
    audit.record("erased", actor=actor, entity="resident", entity_id=resident_id, subject=resident_id, why=why)
    return count
