"""What the commission can mend: a wrong connector, name or verification, and credentials that were lost or seen by others."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from hospitals import tenancy
from hospitals.exceptions import BadSignature, Conflict, InvalidInput, Unauthenticated, WrongState
from hospitals.models import AuditEvent, ConformanceRun, Hospital, HospitalCredential
from hospitals.services import access, connecting, inbox, onboarding
from tests.hospitals.joining import OFFICER
from tests.hospitals.test_onboarding import applied, in_sandbox, live, passed_run, state, token_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def known(settings: Any) -> Any:
    settings.HOSPITALS_CONNECTORS = {"river-fhir": {"BACKEND": "fhir", "OPTIONS": {"base_url": "https://a.example"}}}
    connecting.forget()
    yield
    connecting.forget()


def connect(found: onboarding.Application, name: str = "river-fhir") -> None:
    onboarding.set_connector(hospital_id=found.hospital_id, name=name, actor=OFFICER, reason="改用接口")


def test_a_live_hospital_must_pass_again_with_its_new_connector() -> None:
    found, _claimed = live()
    connect(found)
    assert state(found) == "sandbox"
    with pytest.raises(WrongState):
        onboarding.go_live(hospital_id=found.hospital_id, actor=OFFICER, reason="急")
    passed_run(found.hospital_id, connector="river-fhir")
    onboarding.conformance_finished(hospital_id=found.hospital_id, passed=True, actor=OFFICER)
    onboarding.go_live(hospital_id=found.hospital_id, actor=OFFICER, reason="同意")
    assert state(found) == "live"


def test_a_suspended_hospital_does_not_come_back_live_with_a_connector_it_never_passed_with() -> None:
    found, _claimed = live()
    onboarding.suspend(hospital_id=found.hospital_id, actor=OFFICER, reason="换系统")
    connect(found)
    assert state(found) == "suspended"
    onboarding.resume(hospital_id=found.hospital_id, actor=OFFICER, reason="换好了")
    assert state(found) == "sandbox"


def test_a_hospital_that_was_suspended_while_it_rehearsed_goes_on_rehearsing() -> None:
    """Invented patients may still stand in its slots: they are ended where it goes live, which this is not."""
    found, _claimed = live()
    connect(found)
    passed_run(found.hospital_id, connector="river-fhir")
    onboarding.conformance_finished(hospital_id=found.hospital_id, passed=True, actor=OFFICER)
    onboarding.suspend(hospital_id=found.hospital_id, actor=OFFICER, reason="数据不准")
    onboarding.correct(hospital_id=found.hospital_id, name="河医院", city="岚州市", actor=OFFICER, reason="改名")
    onboarding.resume(hospital_id=found.hospital_id, actor=OFFICER, reason="已改正")
    assert state(found) == "sandbox"


def test_a_live_hospital_comes_back_live_whatever_was_mended_meanwhile() -> None:
    found, _claimed = live()
    onboarding.suspend(hospital_id=found.hospital_id, actor=OFFICER, reason="数据不准")
    onboarding.correct(hospital_id=found.hospital_id, name="河医院", city="岚州市", actor=OFFICER, reason="改名")
    onboarding.resume(hospital_id=found.hospital_id, actor=OFFICER, reason="已改正")
    assert state(found) == "live"


def test_setting_it_before_anything_was_tried_moves_nobody_and_stays_in_the_history() -> None:
    found = applied()
    connect(found)
    assert state(found) == "applied"
    step = onboarding.history(found.hospital_id)[-1]
    assert (step.source, step.target, step.actor) == ("applied", "applied", "officer-li")
    assert "sandbox → river-fhir" in step.reason and "改用接口" in step.reason
    assert AuditEvent.objects.filter(action="onboarding.connector", hospital_id=found.hospital_id).exists()


def test_a_run_that_tried_the_old_connector_ends() -> None:
    found, _claimed = in_sandbox()
    with tenancy.scope(found.hospital_id):
        run = ConformanceRun.objects.create(hospital_id=found.hospital_id, connector="sandbox")
        connect(found)
        run.refresh_from_db()
    assert run.finished_at is not None and run.passed is False


@pytest.mark.parametrize(
    ("name", "error"), [("nowhere", InvalidInput), ("fhir", InvalidInput), ("sandbox", WrongState)]
)
def test_only_a_name_that_is_set_up_here_and_new(name: str, error: type[Exception]) -> None:
    found = applied()
    with pytest.raises(error):
        connect(found, name)
    assert Hospital.objects.get(id=found.hospital_id).connector == "sandbox"


def test_push_is_always_known() -> None:
    assert {"push", "sandbox", "river-fhir"} <= set(connecting.known())


def test_a_client_that_leaked_ends_at_once_and_the_claim_fetches_another() -> None:
    found, claimed = in_sandbox()
    token = token_of(claimed)
    onboarding.end_client(hospital_id=found.hospital_id, environment="sandbox", actor=OFFICER, reason="密钥泄露")
    with pytest.raises(Unauthenticated):
        access.credential(token)
    assert access.client(claimed.client.client_id) is None
    again = onboarding.claim_credentials(hospital_id=found.hospital_id, environment="sandbox")
    assert access.credential(token_of(again)).hospital_code == "river"
    with pytest.raises(InvalidInput):
        onboarding.end_client(hospital_id=found.hospital_id, environment="live", actor=OFFICER, reason="没有这个")


def test_one_client_ends_and_the_other_goes_on() -> None:
    found, _claimed = live()
    real = onboarding.claim_credentials(hospital_id=found.hospital_id, environment="live")
    token = token_of(real)
    onboarding.end_client(hospital_id=found.hospital_id, environment="sandbox", actor=OFFICER, reason="密钥泄露")
    assert access.credential(token).environment == "live"


def test_a_signing_secret_that_leaked_ends_at_once() -> None:
    found, _claimed = live()
    onboarding.end_signing_secrets(hospital_id=found.hospital_id, actor=OFFICER, reason="密钥泄露")
    with pytest.raises(BadSignature):
        inbox.accept(hospital_id=found.hospital_id, body=b"{}", headers={})
    with tenancy.scope(found.hospital_id):
        assert not HospitalCredential.objects.filter(expires_at=None).exists()


def test_a_lost_claim_is_issued_anew_and_the_old_one_opens_nothing() -> None:
    found = applied()
    new = onboarding.reissue_claim(hospital_id=found.hospital_id, actor=OFFICER, reason="凭证遗失")
    assert onboarding.applicant(found.hospital_id, new).code == "river"
    with pytest.raises(Unauthenticated):
        onboarding.applicant(found.hospital_id, found.claim)
    assert new not in str(list(AuditEvent.objects.values())) + str(onboarding.history(found.hospital_id))


def test_a_verification_is_taken_back_until_something_was_issued() -> None:
    found = applied()
    onboarding.verify(hospital_id=found.hospital_id, actor=OFFICER, reason="看错了")
    onboarding.take_back_verification(hospital_id=found.hospital_id, actor=OFFICER, reason="证照是别家的")
    assert state(found) == "applied"
    other, _claimed = in_sandbox("hill")
    with pytest.raises(WrongState):
        onboarding.take_back_verification(hospital_id=other.hospital_id, actor=OFFICER, reason="证照是别家的")
    assert state(other) == "sandbox"


def test_a_wrong_name_and_city_are_mended_and_nobody_elses_name_is_taken() -> None:
    found, other = applied(), applied("hill")
    give = {"hospital_id": found.hospital_id, "actor": OFFICER, "reason": "申请时写错"}
    onboarding.correct(name="河口医院", city="云泽市", **give)
    row = Hospital.objects.get(id=found.hospital_id)
    assert (row.name, row.city) == ("河口医院", "云泽市")
    assert "river医院 → 河口医院" in onboarding.history(found.hospital_id)[-1].reason
    with pytest.raises(Conflict):
        onboarding.correct(name=Hospital.objects.get(id=other.hospital_id).name, city="云泽市", **give)
    with pytest.raises(InvalidInput):
        onboarding.correct(name="河口医院", city="云泽市", **give)


def test_the_command_does_the_same() -> None:
    found, claimed = in_sandbox()
    out = StringIO()
    who = ("--by", "officer-li", "--because", "密钥泄露")
    call_command("onboard", "river", "--end-client", "sandbox", "--end-signing", "--new-claim", *who, stdout=out)
    claim = out.getvalue().split("领取凭证(只显示这一次):")[1].split()[0]
    assert onboarding.applicant(found.hospital_id, claim).code == "river"
    assert access.client(claimed.client.client_id) is None
    call_command("onboard", "river", "--connector", "river-fhir", *who, stdout=out)
    assert Hospital.objects.get(id=found.hospital_id).connector == "river-fhir"
    for wrong in (("--new-claim",), ("--connector", "nowhere", *who)):
        with pytest.raises(CommandError):
            call_command("onboard", "river", *wrong, stdout=out)
