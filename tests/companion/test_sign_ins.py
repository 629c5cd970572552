"""A resident sees where she is signed in and ends one of them or all others; nobody else's."""

import pytest

from companion.models import ResidentSession
from tests.companion.people import Person

pytestmark = pytest.mark.django_db


@pytest.fixture()
def phones() -> list[Person]:
    """The same resident three times, oldest first."""
    return [Person("陈玉兰", filled=False) for _phone in range(3)]


def listed(who: Person) -> list[dict]:
    answer = who.call("get", "sign-ins/")
    assert answer.status_code == 200
    return list(answer.json())


def test_when_and_with_which_app_newest_first(phones: list[Person]) -> None:
    found = listed(phones[0])
    assert [one["id"] for one in found] == [str(p.session_id) for p in reversed(phones)]
    assert {one["app"] for one in found} == {"alipay"}
    assert [one["current"] for one in found] == [False, False, True]


def test_one_is_ended_and_its_token_is_worth_nothing(phones: list[Person]) -> None:
    here, lost, _tablet = phones
    assert here.call("delete", f"sign-ins/{lost.session_id}/").status_code == 204
    assert lost.call("get", "sign-ins/").json()["code"] == "token_revoked"
    assert len(listed(here)) == 2
    assert here.call("delete", f"sign-ins/{lost.session_id}/").status_code == 404


def test_all_but_this_one(phones: list[Person]) -> None:
    assert phones[1].call("delete", "sign-ins/").status_code == 204
    assert [one["current"] for one in listed(phones[1])] == [True]
    assert [phone.call("get", "sign-ins/").status_code for phone in phones] == [401, 200, 401]


def test_somebody_else_s_is_not_there(phones: list[Person]) -> None:
    stranger = Person("林晓雨", filled=False)
    assert stranger.call("delete", f"sign-ins/{phones[0].session_id}/").status_code == 404
    assert stranger.call("delete", "sign-ins/").status_code == 204
    assert ResidentSession.objects.filter(revoked_at=None).count() == 4
    assert len(listed(stranger)) == 1
