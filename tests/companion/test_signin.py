"""Sessions and tickets: short-lived, revocable, forged ones refused; nobody's open id is stored."""

from datetime import timedelta

import pytest
from django.core import signing
from django.db import connection
from django.utils import timezone

from companion import signin
from companion.exceptions import NotSignedIn
from companion.identity.base import Identity
from companion.models import Resident, ResidentSession

WHO = Identity(provider="alipay", app_id="app", open_id="open-id-of-somebody")

pytestmark = pytest.mark.django_db


def test_the_same_identity_is_the_same_resident_again() -> None:
    _token, first = signin.open_session(WHO)
    _token, second = signin.open_session(WHO)
    assert first.resident_id == second.resident_id and Resident.objects.count() == 1


def test_the_same_open_id_in_another_app_is_somebody_else() -> None:
    _token, first = signin.open_session(WHO)
    _token, second = signin.open_session(Identity("alipay", "other-app", WHO.open_id))
    assert first.resident_id != second.resident_id


def test_a_token_verifies_until_it_is_revoked() -> None:
    token, signed_in = signin.open_session(WHO)
    assert signin.verify(token).resident_id == signed_in.resident_id
    signin.revoke(signed_in.session_id)
    with pytest.raises(NotSignedIn) as caught:
        signin.verify(token)
    assert caught.value.code == "token_revoked"


def test_a_token_runs_out() -> None:
    token, signed_in = signin.open_session(WHO)
    ResidentSession.objects.filter(id=signed_in.session_id).update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(NotSignedIn) as caught:
        signin.verify(token)
    assert caught.value.code == "token_expired"


@pytest.mark.parametrize(
    "forged",
    ["", "x", "a:b:c", signing.dumps({"s": "0" * 32}, salt="another-salt"), signing.dumps({"s": 7}, salt=signin.SALT)],
    ids=["empty", "one letter", "three parts", "another salt", "a number"],
)
def test_forged_tokens_are_refused(forged: str) -> None:
    with pytest.raises(NotSignedIn):
        signin.verify(forged)


def test_a_ticket_opens_one_socket_only() -> None:
    _token, signed_in = signin.open_session(WHO)
    ticket = signin.issue_ticket(signed_in.session_id)
    signin.redeem_ticket(ticket)
    for used in (ticket, "unknown", "", "x" * 100):
        with pytest.raises(NotSignedIn):
            signin.redeem_ticket(used)


def test_no_open_id_stands_in_the_database() -> None:
    signin.open_session(WHO)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM companion_externalidentity")
        assert WHO.open_id not in repr(cursor.fetchall())
