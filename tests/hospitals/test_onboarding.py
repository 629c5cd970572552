"""Joining step by step: who may do which step, what it leaves behind, and what no longer opens anything."""

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from hospitals import tenancy
from hospitals.audit import Actor
from hospitals.exceptions import Conflict, Forbidden, InvalidInput, Unauthenticated, WrongState
from hospitals.models import ApiClient, AuditEvent, ConformanceRun, Hospital, HospitalCredential
from hospitals.services import access, inbox, onboarding
from tests.hospitals.own_rows import change
from tests.obedient import as_owner

pytestmark = pytest.mark.django_db
OFFICER = Actor("commission", "officer-li")
CONTACT = onboarding.Contact("王工", "13900000001", "it@river.example")


def applied(code: str = "river") -> onboarding.Application:
    return onboarding.apply(
        code=code, name=f"{code}医院", city="岚州市", licence_number="PDY0001", contact=CONTACT, connector="sandbox"
    )


def in_sandbox(code: str = "river") -> tuple[onboarding.Application, onboarding.Claimed]:
    found = applied(code)
    onboarding.verify(hospital_id=found.hospital_id, actor=OFFICER, reason="证照齐全")
    return found, onboarding.claim_credentials(hospital_id=found.hospital_id, environment="sandbox")


def passed_run(hospital_id, passed: bool = True, connector: str = "sandbox") -> None:
    with tenancy.scope(hospital_id):
        ConformanceRun.objects.create(
            hospital_id=hospital_id, connector=connector, passed=passed, finished_at=timezone.now()
        )


def live(code: str = "river") -> tuple[onboarding.Application, onboarding.Claimed]:
    found, claimed = in_sandbox(code)
    passed_run(found.hospital_id)
    onboarding.conformance_finished(hospital_id=found.hospital_id, passed=True, actor=OFFICER)
    onboarding.go_live(hospital_id=found.hospital_id, actor=OFFICER, reason="同意上线")
    return found, claimed


def token_of(claimed: onboarding.Claimed) -> str:
    row = access.client(claimed.client.client_id)
    assert row is not None and access.check_secret(row, claimed.client.client_secret)
    token = access.new_token()
    access.keep_token(row, token, list(claimed.client.scopes))
    return token


def state(found: onboarding.Application) -> str:
    return Hospital.objects.get(id=found.hospital_id).state


def test_the_whole_way_leaves_a_history_of_who_when_and_why() -> None:
    found, _claimed = live()
    steps = [(s.source, s.target, s.actor, s.reason) for s in onboarding.history(found.hospital_id)]
    assert steps == [
        ("", "applied", "applicant", ""),
        ("applied", "verified", "officer-li", "证照齐全"),
        ("verified", "sandbox", "applicant", "领取联调账号"),
        ("sandbox", "conformance_passed", "officer-li", "一致性测试全部通过"),
        ("conformance_passed", "live", "officer-li", "同意上线"),
    ]
    actions = set(AuditEvent.objects.filter(hospital_id=found.hospital_id).values_list("action", flat=True))
    assert {"onboarding.verified", "onboarding.live", "client.create"} <= actions


def test_a_code_or_name_is_applied_for_once_until_it_is_refused() -> None:
    found = applied()
    with pytest.raises(Conflict):
        applied()
    onboarding.leave(hospital_id=found.hospital_id, actor=OFFICER, reason="不是医院")
    assert applied().hospital_id != found.hospital_id


def test_no_credentials_before_verification_and_only_once() -> None:
    found = applied()
    with pytest.raises(WrongState):
        onboarding.claim_credentials(hospital_id=found.hospital_id, environment="sandbox")
    onboarding.verify(hospital_id=found.hospital_id, actor=OFFICER, reason="证照齐全")
    onboarding.claim_credentials(hospital_id=found.hospital_id, environment="sandbox")
    with pytest.raises(Conflict):
        onboarding.claim_credentials(hospital_id=found.hospital_id, environment="sandbox")
    with pytest.raises(WrongState):
        onboarding.claim_credentials(hospital_id=found.hospital_id, environment="live")


def test_the_commission_must_say_why() -> None:
    found = applied()
    with pytest.raises(InvalidInput):
        onboarding.verify(hospital_id=found.hospital_id, actor=OFFICER, reason="  ")
    assert state(found) == "applied"


@pytest.mark.parametrize("step", [onboarding.go_live, onboarding.suspend, onboarding.resume])
def test_no_step_out_of_turn(step) -> None:
    found = applied()
    with pytest.raises(WrongState):
        step(hospital_id=found.hospital_id, actor=OFFICER, reason="急")
    assert state(found) == "applied"


def test_only_a_full_pass_with_todays_connector_goes_live() -> None:
    found, _claimed = in_sandbox()
    with pytest.raises(WrongState):
        onboarding.go_live(hospital_id=found.hospital_id, actor=OFFICER, reason="急")
    passed_run(found.hospital_id)
    onboarding.conformance_finished(hospital_id=found.hospital_id, passed=True, actor=OFFICER)
    change(Hospital, found.hospital_id, connector="fhir")
    with pytest.raises(WrongState):
        onboarding.go_live(hospital_id=found.hospital_id, actor=OFFICER, reason="急")
    change(Hospital, found.hospital_id, connector="sandbox")
    passed_run(found.hospital_id, passed=False)
    onboarding.conformance_finished(hospital_id=found.hospital_id, passed=False, actor=OFFICER)
    assert state(found) == "sandbox"
    with pytest.raises(WrongState):
        onboarding.go_live(hospital_id=found.hospital_id, actor=OFFICER, reason="急")


def test_suspending_shuts_tokens_and_the_events_door_at_once() -> None:
    found, claimed = live()
    token = token_of(claimed)
    onboarding.suspend(hospital_id=found.hospital_id, actor=OFFICER, reason="数据不准")
    with pytest.raises(Unauthenticated):
        access.credential(token)
    assert access.client(claimed.client.client_id) is None
    with pytest.raises(Unauthenticated):
        inbox.hospital_of("river")
    onboarding.resume(hospital_id=found.hospital_id, actor=OFFICER, reason="已改正")
    assert state(found) == "live" and access.credential(token).hospital_code == "river"


def test_leaving_ends_every_credential_for_good() -> None:
    found, claimed = live()
    token = token_of(claimed)
    onboarding.leave(hospital_id=found.hospital_id, actor=OFFICER, reason="合并")
    with pytest.raises(Unauthenticated):
        access.credential(token)
    with tenancy.scope(found.hospital_id):
        assert not HospitalCredential.objects.filter(expires_at=None).exists()
    with pytest.raises(WrongState):
        onboarding.resume(hospital_id=found.hospital_id, actor=OFFICER, reason="回来")


def test_after_going_live_the_sandbox_client_cannot_write_what_residents_see() -> None:
    found, claimed = live()
    assert "directory:write" not in access.credential(token_of(claimed)).scopes
    real = onboarding.claim_credentials(hospital_id=found.hospital_id, environment="live")
    assert "directory:write" in access.credential(token_of(real)).scopes


def test_after_going_live_the_sandbox_client_cannot_change_what_signs_real_events() -> None:
    found, _claimed = live()

    def secrets() -> dict[Any, Any]:
        with tenancy.scope(found.hospital_id):
            return dict(HospitalCredential.objects.filter(kind="events").values_list("id", "expires_at"))

    before = secrets()
    for overlap_s in (0, access.OVERLAP_S):
        with pytest.raises(Forbidden) as refused:
            access.rotate_signing_secret(
                hospital_id=found.hospital_id, environment="sandbox", overlap_s=overlap_s, actor=OFFICER
            )
        assert refused.value.code == "live_credentials"
    assert secrets() == before
    access.rotate_signing_secret(hospital_id=found.hospital_id, environment="live", actor=OFFICER)
    assert len(secrets()) == 2


def test_sandbox_credentials_of_a_live_hospital_bring_no_new_signing_secret() -> None:
    found, claimed = live()
    change(ApiClient, claimed.client.client_id, revoked_at=timezone.now())
    assert onboarding.claim_credentials(hospital_id=found.hospital_id, environment="sandbox").signing_secret == ""
    with tenancy.scope(found.hospital_id):
        assert HospitalCredential.objects.get(kind="events").expires_at is None


def test_a_new_secret_overlaps_with_the_old_one_and_ends_any_older() -> None:
    _found, claimed = in_sandbox()
    row = access.client(claimed.client.client_id)
    first = claimed.client.client_secret
    second = access.rotate_client_secret(client_id=row.id, actor=OFFICER).secret
    assert access.check_secret(row, first) and access.check_secret(row, second)
    third = access.rotate_client_secret(client_id=row.id, overlap_s=0, actor=OFFICER).secret
    assert [access.check_secret(row, s) for s in (first, second, third)] == [False, False, True]


def test_nothing_that_opens_a_door_stands_in_the_database_in_clear() -> None:
    found, claimed = in_sandbox()
    token = token_of(claimed)
    secrets = [found.claim, claimed.client.client_secret, claimed.signing_secret, token, CONTACT.phone]
    dump = b""
    with as_owner(), connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith(("hospitals_", "oauth2_")):
                cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608  table names come from the database itself
                dump += repr([tuple(bytes(v) if isinstance(v, memoryview) else v for v in r) for r in cursor]).encode()
    assert b"river" in dump
    assert not [s for s in secrets if s.encode() in dump]


def test_a_claim_opens_its_own_application_only() -> None:
    mine, other = applied(), applied("hill")
    assert onboarding.applicant(mine.hospital_id, mine.claim).code == "river"
    for hospital_id, claim in ((other.hospital_id, mine.claim), (mine.hospital_id, "hcc_wrong")):
        with pytest.raises(Unauthenticated):
            onboarding.applicant(hospital_id, claim)
