"""After erasure nobody reads what was stored, and it is on the audit log who did it and why."""

import uuid

import pytest
from django.core.management import CommandError, call_command

from companion.models import Resident
from hospitals import vault
from hospitals.audit import SERVICE
from hospitals.exceptions import InvalidInput, KeyDestroyed, NotFound, WrongState
from hospitals.models import AuditEvent, HospitalApplication
from hospitals.services import erasure, onboarding
from hospitals.tenancy import scope

pytestmark = pytest.mark.django_db


def test_a_resident_who_asked_cannot_be_read_any_more() -> None:
    row, other = Resident.objects.create(name="林小棠"), Resident.objects.create(name="周岚")
    call_command("erase", "resident", str(row.id), by="li", reason="本人申请")
    with pytest.raises(KeyDestroyed) as raised:
        _ = Resident.objects.get(id=row.id).name
    assert raised.value.code == "key_destroyed"
    assert Resident.objects.get(id=other.id).name == "周岚"
    Resident.objects.get(id=row.id).save()  # what is not encrypted may still change
    event = AuditEvent.objects.get(action="erased")
    assert (event.actor, event.subject, event.why) == ("li", row.id, "本人申请")
    assert erasure.erase_resident(row.id, actor=SERVICE, reason="再来一次") == 0


def test_a_hospital_is_erased_only_after_it_left() -> None:
    contact = onboarding.Contact("沈一帆", "0571-1", "a@example.org")
    made = onboarding.apply(code="h1", name="甲医院", city="杭州", licence_number="L", contact=contact)
    with pytest.raises(WrongState):
        erasure.erase_hospital(made.hospital_id, actor=SERVICE, reason="退出")
    onboarding.verify(hospital_id=made.hospital_id, actor=SERVICE, reason="核验")
    onboarding.leave(hospital_id=made.hospital_id, actor=SERVICE, reason="退出")
    call_command("erase", "hospital", "h1", by="li", reason="退出")
    vault.forget()
    with scope(made.hospital_id), pytest.raises(KeyDestroyed):
        _ = HospitalApplication.objects.get().contact


def test_a_reason_and_somebody_known_are_needed() -> None:
    row = Resident.objects.create(name="林小棠")
    with pytest.raises(InvalidInput):
        erasure.erase_resident(row.id, actor=SERVICE, reason=" ")
    with pytest.raises(NotFound):
        erasure.erase_resident(uuid.uuid4(), actor=SERVICE, reason="本人申请")
    with pytest.raises(CommandError):
        call_command("erase", "resident", "nobody", by="li", reason="x")
