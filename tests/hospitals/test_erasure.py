"""After erasure nobody reads what was stored, and it is on the audit log who did it and why."""

import uuid

import pytest
from django.core.management import CommandError, call_command

from companion import signin
from companion.exceptions import NotSignedIn
from companion.identity.base import Identity
from companion.models import ExternalIdentity, Resident
from hospitals import vault
from hospitals.audit import SERVICE
from hospitals.exceptions import InvalidInput, KeyDestroyed, NotFound, WrongState
from hospitals.models import AuditEvent, Hospital, HospitalApplication
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


def test_what_goes_wrong_in_an_erasure_is_not_taken_for_a_wrong_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_args: object, **_given: object) -> None:
        raise ValueError("within")

    monkeypatch.setattr(erasure, "erase_resident", breaks)
    with pytest.raises(ValueError, match="within"):
        call_command("erase", "resident", str(uuid.uuid4()), by="li", reason="本人申请")


def test_an_erased_resident_is_signed_out_and_her_super_app_leads_to_somebody_new() -> None:
    who, other = Identity("alipay", "app", "open-id"), Identity("alipay", "app", "somebody-else")
    token, signed_in = signin.open_session(who)
    second, _again = signin.open_session(who)
    others, _other = signin.open_session(other)
    ticket = signin.issue_ticket(signed_in.session_id)
    signin.redeem_ticket(ticket)
    erasure.erase_resident(signed_in.resident_id, actor=SERVICE, reason="本人申请")
    for ended in (token, second):
        with pytest.raises(NotSignedIn) as raised:
            signin.verify(ended)
        assert raised.value.code == "token_revoked"
    assert not ExternalIdentity.objects.filter(resident_id=signed_in.resident_id).exists()
    assert signin.verify(others)
    _token, anew = signin.open_session(who)
    assert anew.resident_id != signed_in.resident_id


def test_when_the_erasure_fails_nothing_of_it_has_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    token, signed_in = signin.open_session(Identity("alipay", "app", "open-id"))
    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(signin, "forget", broken)
        erasure.erase_resident(signed_in.resident_id, actor=SERVICE, reason="本人申请")
    assert signin.verify(token).resident_id == signed_in.resident_id
    assert Resident.objects.get(id=signed_in.resident_id).name == ""
    assert not AuditEvent.objects.filter(action="erased").exists()


def broken(_resident_id: object) -> None:
    raise RuntimeError


def test_a_hospital_leaves_and_is_erased_in_one_step() -> None:
    contact = onboarding.Contact("沈一帆", "0571-1", "a@example.org")
    made = onboarding.apply(code="h1", name="甲医院", city="杭州", licence_number="L", contact=contact)
    onboarding.verify(hospital_id=made.hospital_id, actor=SERVICE, reason="核验")
    call_command("erase", "hospital", "h1", "--leave", by="li", reason="退出并清除")
    assert Hospital.objects.get(id=made.hospital_id).state == Hospital.State.LEFT
    vault.forget()
    with scope(made.hospital_id), pytest.raises(KeyDestroyed):
        _ = HospitalApplication.objects.get().contact
    assert [step.reason for step in onboarding.history(made.hospital_id)][-1] == "退出并清除"


def test_without_a_reason_it_neither_leaves_nor_is_erased() -> None:
    contact = onboarding.Contact("沈一帆", "0571-1", "a@example.org")
    made = onboarding.apply(code="h1", name="甲医院", city="杭州", licence_number="L", contact=contact)
    with pytest.raises(InvalidInput):
        erasure.leave_and_erase(made.hospital_id, actor=SERVICE, reason=" ")
    assert Hospital.objects.get(id=made.hospital_id).state == Hospital.State.APPLIED
