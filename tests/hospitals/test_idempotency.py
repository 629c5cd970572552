"""The same request with the same key from many threads at once, on PostgreSQL: done once, and everybody hears the answer."""

from typing import Any

import pytest
from django.core.cache import cache

from tests.embedded import ON_SERVICES
from tests.hospitals.joining import Joined, fill, joined
from tests.hospitals.test_inbox_copies import at_once

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture()
def river() -> Joined:
    cache.clear()
    found = joined("river")
    fill(found)
    return found


def test_whoever_comes_second_waits_for_the_first_and_hears_its_answer(river: Joined) -> None:
    def ask(_number: int) -> Any:
        return river.call("POST", "/test-appointments/", {}, idempotency_key="k")

    answers = at_once(ask)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["appointment_id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer for answer in answers) == 1
    assert river.get("/directory/slots/T1/").json()["free"] == 4
