"""Staff's second factor: nothing of the admin before it is given, each code once, no guessing, a way back for lost phones."""

import base64
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from companion import second_factor
from companion.models import StaffFactor
from hospitals.models import AuditEvent

pytestmark = pytest.mark.django_db
PAGE, INDEX = "/admin/auth/user/second-factor/", "/admin/"
NOON = 1_800_000_000


class Clock:
    """Seconds, where a test puts them."""

    now = float(NOON)

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    cache.clear()
    made = Clock()
    monkeypatch.setattr(second_factor, "time", made)
    return made


@pytest.fixture()
def officer() -> User:
    return User.objects.create_superuser("officer", password="a-long-password")


def signed_in(officer: User) -> Client:
    client = Client()
    client.force_login(officer)
    return client


def code(secret: str, clock: Clock, steps: int = 0) -> str:
    totp = TOTP(base64.b32decode(secret), 6, SHA1(), 30)
    return totp.generate(int(clock.now) + 30 * steps).decode()


def set_up(client: Client, officer: User, clock: Clock) -> tuple[str, list[str]]:
    """(secret, recovery codes), by the pages."""
    shown = client.get(PAGE).content.decode()
    secret = re.search(r'id="key">([A-Z2-7 ]+)<', shown)[1].replace(" ", "")  # type: ignore[index]
    answer = client.post(PAGE, {"code": code(secret, clock)}).content.decode()
    return secret, re.findall(r"<li><code>([A-Z2-7-]+)</code>", answer)


def test_the_codes_are_those_of_rfc_6238() -> None:
    """Appendix B's SHA-1 vectors, as this module makes and cuts them to six digits."""
    factor = StaffFactor(user_id=1)
    factor.secret = base64.b32encode(b"12345678901234567890").decode()
    for at, expected in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert second_factor._totp(factor).generate(at).decode() == expected


def test_in_production_nothing_is_shown_before_one_is_set_up(officer: User, clock: Clock, settings: Any) -> None:
    settings.MODE = "production"
    client = signed_in(officer)
    for address in (INDEX, "/admin/companion/visit/", "/admin/hospitals/hospital/", "/admin/password_change/"):
        answer = client.get(address)
        assert (answer.status_code, answer["Location"]) == (302, PAGE), address
    page = client.get(PAGE).content.decode()
    assert "data:image/svg+xml;base64," in page
    set_up(client, officer, clock)
    assert client.get(INDEX).status_code == 200


def test_in_the_demo_who_has_none_goes_in_and_who_has_one_gives_it(officer: User, clock: Clock) -> None:
    first = signed_in(officer)
    assert first.get(INDEX).status_code == 200
    secret, _codes = set_up(first, officer, clock)
    other = signed_in(officer)
    assert other.get(INDEX)["Location"] == PAGE
    assert secret not in other.get(PAGE).content.decode()
    clock.now += 60
    assert other.post(PAGE, {"code": code(secret, clock)})["Location"] == INDEX
    assert other.get(INDEX).status_code == 200


def test_an_api_of_the_admin_is_closed_as_well(officer: User, clock: Clock, settings: Any) -> None:
    settings.MODE = "production"
    client = signed_in(officer)
    assert client.get(reverse("admin:autocomplete")).status_code == 302
    assert client.post("/admin/hospitals/inboxevent/", {"action": "replay"}).status_code == 302


def test_each_code_counts_once_and_only_about_now(officer: User, clock: Clock) -> None:
    secret, _codes = set_up(signed_in(officer), officer, clock)
    used = code(secret, clock)
    assert signed_in(officer).post(PAGE, {"code": used}).status_code == 200  # no way on: it set the factor up
    clock.now += 300
    for steps, good in ((-2, False), (2, False), (1, True), (0, False)):
        answer = signed_in(officer).post(PAGE, {"code": code(secret, clock, steps)})
        assert (answer.status_code == 302) is good, steps


def test_guessing_is_held_back_even_with_the_right_code_at_last(officer: User, clock: Clock) -> None:
    secret, codes = set_up(signed_in(officer), officer, clock)
    clock.now += 60
    client = signed_in(officer)
    wrong = str((int(code(secret, clock)) + 1) % 10**6).zfill(6)
    for _ in range(second_factor.WRONG_CODES.quota):
        client.post(PAGE, {"code": wrong})
    for right in (code(secret, clock), codes[0]):
        assert client.post(PAGE, {"code": right}).status_code == 200
    assert client.get(INDEX)["Location"] == PAGE


def test_a_recovery_code_opens_once_however_it_is_typed(officer: User, clock: Clock) -> None:
    _secret, codes = set_up(signed_in(officer), officer, clock)
    assert len(set(codes)) == second_factor.RECOVERY_CODES
    assert signed_in(officer).post(PAGE, {"code": f" {codes[0].lower()} "}).status_code == 302
    assert signed_in(officer).post(PAGE, {"code": codes[0]}).status_code == 200
    assert AuditEvent.objects.filter(action="staff.recovery_code", actor="officer").count() == 1


def test_nothing_that_opens_stands_in_the_database_in_clear(officer: User, clock: Clock) -> None:
    secret, codes = set_up(signed_in(officer), officer, clock)
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret, recovery FROM companion_stafffactor")
        kept = repr([tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor])
    assert not [found for found in (secret, *codes) if found in kept or found.replace("-", "") in kept]
    assert base64.b32decode(secret) not in kept.encode()


def test_a_new_phone_ends_what_the_old_one_opened(officer: User, clock: Clock) -> None:
    client, other = signed_in(officer), signed_in(officer)
    secret, _codes = set_up(client, officer, clock)
    clock.now += 60
    other.post(PAGE, {"code": code(secret, clock)})
    client.post(PAGE, {"anew": "1"})
    new, _codes = set_up(client, officer, clock)
    assert new != secret
    assert other.get(INDEX)["Location"] == PAGE


def test_who_has_not_given_it_cannot_replace_it(officer: User, clock: Clock) -> None:
    secret, _codes = set_up(signed_in(officer), officer, clock)
    signed_in(officer).post(PAGE, {"anew": "1"})
    assert StaffFactor.objects.get().secret == secret


def test_an_administrator_takes_it_away_from_who_has_lost_the_phone(officer: User, clock: Clock) -> None:
    clerk = User.objects.create_user("clerk", password="a-long-password", is_staff=True)
    set_up(signed_in(clerk), clerk, clock)
    chosen = {"action": "reset_factor", "_selected_action": [clerk.pk]}
    assert signed_in(clerk).post("/admin/auth/user/", chosen).status_code == 302 and StaffFactor.objects.exists()
    asked = signed_in(officer).post("/admin/auth/user/", chosen).content.decode()
    assert "请先当面或电话核实本人" in asked and "clerk" in asked and StaffFactor.objects.exists()
    signed_in(officer).post("/admin/auth/user/", chosen | {"confirmed": "1"})
    assert not StaffFactor.objects.exists()
    assert AuditEvent.objects.get(action="staff.factor_reset").entity_id == "clerk"


def test_the_command_does_so_where_nobody_is_left(officer: User, clock: Clock) -> None:
    set_up(signed_in(officer), officer, clock)
    call_command("reset_factor", "officer", "--by", "root", "--because", "手机和恢复码都丢了", verbosity=0)
    assert not StaffFactor.objects.exists()
    with pytest.raises(CommandError):
        call_command("reset_factor", "officer", "--by", "root", "--because", "再来一次")
