"""A database that is away or full is a refusal that may be tried again, and never an error without a code."""

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from companion import port
from companion.exceptions import Unavailable
from hospitals.connectors import push
from hospitals.services import inbox
from tests.hospitals.test_api_events import DOOR, hospital, message

FAULTS = [
    OperationalError("could not extend file: No space left on device"),
    InterfaceError("connection already closed"),
]


@pytest.mark.django_db
@pytest.mark.parametrize("fault", FAULTS, ids=["full", "gone"])
def test_a_hospital_is_told_when_to_send_again(
    client: Client, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise fault

    row, secret = hospital()
    monkeypatch.setattr(inbox, "accept", full)
    body = message("0" * 8 + "-0000-4000-8000-" + "0" * 12)
    headers = push.sign(secret, "m1", body) | {"hospital-code": row.code}
    answer = client.post(DOOR, body, content_type="application/json", headers=headers)
    assert (answer.status_code, answer["retry-after"]) == (503, "5")
    assert (answer.json()["code"], answer.json()["retryable"]) == ("storage_unavailable", True)
    assert "No space" not in answer.content.decode()


@pytest.mark.parametrize("fault", FAULTS, ids=["full", "gone"])
async def test_a_resident_is_told_that_she_may_try_again(fault: Exception) -> None:
    def full() -> None:
        raise fault

    with pytest.raises(Unavailable) as raised:
        await port.asking(full)
    assert (raised.value.status_code, raised.value.retryable) == (503, True)
