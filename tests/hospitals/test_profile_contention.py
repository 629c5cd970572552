"""Two hospitals that wish for one nickname at the same moment: the second waits, and then hears that it is taken."""

import pytest
from django.core.cache import cache
from django.db import OperationalError, transaction

from hospitals import tenancy
from hospitals.exceptions import InvalidInput
from hospitals.services import profile
from tests.embedded import ON_SERVICES
from tests.hospitals.elsewhere import elsewhere
from tests.hospitals.joining import OFFICER, Joined, joined

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


def wishes(hospital: Joined, nickname: str) -> None:
    profile.change(hospital_id=hospital.hospital_id, facts={"nicknames": [nickname]}, actor=OFFICER)


def test_a_nickname_goes_to_one_of_two_who_ask_at_once() -> None:
    cache.clear()
    river, hill = joined("river"), joined("hill")
    with tenancy.scope(river.hospital_id), transaction.atomic():
        wishes(river, "江山医院")
        with pytest.raises(OperationalError):
            elsewhere(hill.hospital_id, lambda: wishes(hill, "江山医院"))
    with pytest.raises(InvalidInput) as caught:
        elsewhere(hill.hospital_id, lambda: wishes(hill, "江山医院"))
    assert caught.value.code == "nickname_taken"
