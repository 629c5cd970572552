"""A real token (SoftHSM): what it keeps to itself, and what happens when it is reset, shut or given a wrong PIN."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from hospitals.exceptions import KeyServiceUnavailable
from hospitals.keys.pkcs11 import LOOKED_AGAIN_S, Pkcs11KeyService
from tests.hospitals.key_service_kinds import PIN, SOFTHSM, InToken

pkcs11 = pytest.importorskip("pkcs11")
SECRET, CONTEXT = bytes(range(32)), b"resident|1|1"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InToken]:
    made = InToken(tmp_path, monkeypatch)
    yield made
    made.close()


def opened(made: InToken, /, **other: object) -> Pkcs11KeyService:
    return Pkcs11KeyService(**{**made.settings["OPTIONS"], **other})


def test_the_master_key_cannot_be_read_or_taken_out(token: InToken) -> None:
    keys = opened(token)
    assert keys.current == "p11:health-companion:1"
    with pkcs11.lib(str(SOFTHSM)).get_token(token_label="companion").open() as session:
        key = next(iter(session.get_objects({pkcs11.Attribute.LABEL: "health-companion"})))
        assert key[pkcs11.Attribute.SENSITIVE] and not key[pkcs11.Attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.AttributeSensitive):
            _ = key[pkcs11.Attribute.VALUE]


def test_after_the_token_was_reset_it_signs_in_again_by_itself(token: InToken) -> None:
    keys, other = opened(token), opened(token)
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    assert other.unwrap(name, wrapped, context=CONTEXT) == SECRET
    for _n in range(2):
        token.reset()
        assert keys.unwrap(name, wrapped, context=CONTEXT) == SECRET
        assert other.unwrap(name, wrapped, context=CONTEXT) == SECRET


def test_a_token_that_was_away_serves_again_when_it_is_back(token: InToken) -> None:
    keys = opened(token)
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    away = token.tokens.rename(token.tokens.with_name("away"))
    token.tokens.mkdir()
    token.reset()
    with pytest.raises(KeyServiceUnavailable):
        keys.unwrap(name, wrapped, context=CONTEXT)
    token.tokens.rmdir()
    away.rename(token.tokens)
    assert keys.unwrap(name, wrapped, context=CONTEXT) == SECRET


def test_a_wrong_pin_is_tried_once_so_that_the_token_is_not_locked(
    token: InToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = tmp_path / "other"
    pin.write_text("000000")
    keys, tried = opened(token, pin_file=str(pin)), []
    real = Pkcs11KeyService._token_itself

    def counted(self: Pkcs11KeyService) -> object:
        tried.append(1)
        return real(self)

    monkeypatch.setattr(Pkcs11KeyService, "_token_itself", counted)
    token.reset()
    for _n in range(3):
        with pytest.raises(KeyServiceUnavailable):
            keys.wrap(SECRET, context=CONTEXT)
    assert len(tried) == 1
    pin.write_text(PIN)
    keys.wrap(SECRET, context=CONTEXT)


def test_a_master_key_that_another_process_made_wraps_a_minute_later(token: InToken) -> None:
    now = [0.0]
    keys = opened(token, clock=lambda: now[0])
    assert keys.current.endswith(":1")
    opened(token).make_master()
    assert keys.current.endswith(":1")
    later, wrapped = opened(token).wrap(SECRET, context=CONTEXT)
    assert later.endswith(":2") and keys.unwrap(later, wrapped, context=CONTEXT) == SECRET
    now[0] += LOOKED_AGAIN_S + 1
    assert keys.current.endswith(":2")


def test_two_keys_with_one_number_are_not_chosen_between(token: InToken) -> None:
    token.reset()
    with pkcs11.lib(str(SOFTHSM)).get_token(token_label="companion").open(rw=True, user_pin=PIN) as session:
        for _n in range(2):
            session.generate_key(pkcs11.KeyType.AES, 256, id=b"\x05", label="health-companion", store=True)
    with pytest.raises(KeyServiceUnavailable, match="key_service_unavailable") as caught:
        opened(token).wrap(SECRET, context=CONTEXT)
    assert "编号为5" in caught.value.detail


def test_a_forked_worker_signs_in_for_itself(token: InToken) -> None:
    keys = opened(token)
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    child = os.fork()
    if not child:
        try:
            same = keys.unwrap(name, wrapped, context=CONTEXT) == SECRET
        except BaseException:  # noqa: BLE001  the child must never go on as a second test run
            same = False
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert keys.unwrap(name, wrapped, context=CONTEXT) == SECRET


@pytest.mark.parametrize("other", [{"module": "/nowhere.so"}, {"token": "other"}, {"pin_file": "/nowhere"}])
def test_what_is_not_there_is_said(token: InToken, other: dict[str, str]) -> None:
    with pytest.raises(KeyServiceUnavailable):
        opened(token, **other).wrap(SECRET, context=CONTEXT)


def test_a_token_without_a_master_key_says_how_one_is_made(token: InToken, settings, capsys) -> None:
    options = {**token.settings["OPTIONS"], "label": "other"}
    settings.KEY_SERVICE = {**token.settings, "OPTIONS": options}
    with pytest.raises(KeyServiceUnavailable) as caught:
        Pkcs11KeyService(**options).wrap(SECRET, context=CONTEXT)
    assert "new_master_key --in-token" in caught.value.detail
    call_command("new_master_key", in_token=True)
    assert "p11:other:1" in capsys.readouterr().out
    Pkcs11KeyService(**options).wrap(SECRET, context=CONTEXT)


def test_a_key_can_be_made_in_a_token_only(settings, tmp_path: Path) -> None:
    file = {"BACKEND": "hospitals.keys.file.FileKeyService", "OPTIONS": {"path": str(tmp_path / "k")}}
    settings.KEY_SERVICE = file
    with pytest.raises(CommandError):
        call_command("new_master_key", in_token=True)
