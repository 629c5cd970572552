"""A hospital's name and nicknames mean that hospital: nobody comes or is renamed under another's."""

from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, transaction

from hospitals import tenancy
from hospitals.exceptions import Conflict, InvalidInput
from hospitals.models import Hospital
from hospitals.services import onboarding, profile
from tests.embedded import ON_SERVICES
from tests.hospitals.elsewhere import elsewhere
from tests.hospitals.joining import CONTACT, OFFICER, Joined, joined

pytestmark = pytest.mark.django_db


def wishes(hospital: Joined, *nicknames: str) -> None:
    with tenancy.scope(hospital.hospital_id):
        profile.change(hospital_id=hospital.hospital_id, facts={"nicknames": list(nicknames)}, actor=OFFICER)


def applies(name: str) -> onboarding.Application:
    return onboarding.apply(code="newcomer", name=name, city="岚州市", licence_number="PDY0002", contact=CONTACT)


def is_renamed(hospital: Joined, name: str) -> None:
    onboarding.correct(hospital_id=hospital.hospital_id, name=name, city="岚州市", actor=OFFICER, reason="写错了")


def test_nobody_applies_under_another_s_nickname() -> None:
    wishes(joined("river"), "市一院")
    with pytest.raises(Conflict) as caught:
        applies("市一院")
    assert caught.value.code == "name_taken"
    assert not Hospital.objects.filter(code="newcomer").exists()


def test_nobody_is_renamed_to_another_s_nickname_and_everybody_may_to_her_own() -> None:
    river, hill = joined("river"), joined("hill")
    wishes(river, "市一院")
    with pytest.raises(Conflict) as caught:
        is_renamed(hill, "市一院")
    assert caught.value.code == "name_taken"
    is_renamed(river, "市一院")
    assert Hospital.objects.get(id=river.hospital_id).name == "市一院"


def test_a_name_may_hold_another_s_nickname_and_the_other_keeps_it() -> None:
    river = joined("river")
    wishes(river, "市一院")
    applies("市一院北院")
    wishes(river, "市一院", "江一院")
    assert Hospital.objects.get(id=river.hospital_id).nicknames == ["市一院", "江一院"]
    with pytest.raises(InvalidInput) as caught:
        wishes(river, "市一院", "江一院", "北院")  # a new one, which the other would hear
    assert caught.value.extra["errors"] == [{"pointer": "/nicknames/2", "code": "nickname_taken"}]


def test_the_nickname_of_a_hospital_that_has_left_is_free() -> None:
    river = joined("river")
    wishes(river, "市一院")
    onboarding.leave(hospital_id=river.hospital_id, actor=OFFICER, reason="合并了")
    assert applies("市一院").state == Hospital.State.APPLIED


@pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL")
@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    """The second waits, and then hears that it is taken."""

    @pytest.mark.parametrize("second", ["wishes", "applies", "is_renamed"])
    def test_a_nickname_goes_to_one_of_two_who_ask_at_once(self, second: str) -> None:
        cache.clear()
        river, hill = joined("river"), joined("hill")
        asks: dict[str, Any] = {
            "wishes": lambda: wishes(hill, "江山医院"),
            "applies": lambda: applies("江山医院"),
            "is_renamed": lambda: is_renamed(hill, "江山医院"),
        }
        with transaction.atomic():
            wishes(river, "江山医院")
            with pytest.raises(OperationalError):
                elsewhere(hill.hospital_id, asks[second])
        with pytest.raises((InvalidInput, Conflict)) as caught:
            elsewhere(hill.hospital_id, asks[second])
        assert caught.value.code in ("nickname_taken", "name_taken")
