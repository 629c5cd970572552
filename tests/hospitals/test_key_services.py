"""What every key service does alike, wherever its master keys are."""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.models import Resident
from hospitals import ciphers, vault
from hospitals.audit import SERVICE
from hospitals.checks import keys_can_be_used
from hospitals.exceptions import CiphertextInvalid, KeyServiceUnavailable
from hospitals.keys import key_service
from hospitals.models import DataKey
from hospitals.services import rotation
from tests.hospitals.key_service_kinds import KINDS, Kind, service

SECRET, CONTEXT = bytes(range(32)), b"resident|1|1"
HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kind]:
    made = KINDS[request.param](tmp_path, monkeypatch)
    yield made
    made.close()


@pytest.mark.parametrize("length", sorted(set(ciphers.KEY_BYTES.values())))
def test_what_was_wrapped_opens_and_shows_nothing(kind: Kind, length: int) -> None:
    keys, secret = service(kind), os.urandom(length)
    name, wrapped = keys.wrap(secret, context=CONTEXT)
    assert name == keys.current and keys.knows(name) and len(name) <= 64
    assert secret not in wrapped and keys.wrap(secret, context=CONTEXT)[1] != wrapped
    assert service(kind).unwrap(name, wrapped, context=CONTEXT) == secret


def test_a_wrapped_key_opens_for_its_own_owner_only(kind: Kind) -> None:
    keys = service(kind)
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    with pytest.raises(CiphertextInvalid):
        keys.unwrap(name, wrapped, context=b"resident|2|1")
    assert keys.unwrap(name, wrapped, context=CONTEXT) == SECRET


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.booleans())
def test_whatever_is_altered_is_refused(kind: Kind, at: int, bit: int, cut: bool) -> None:
    keys = service(kind)
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    altered = bytearray(wrapped)
    if cut:
        del altered[at % len(wrapped) :]
    else:
        altered[at % len(wrapped)] ^= 1 << bit
    with pytest.raises(CiphertextInvalid):
        keys.unwrap(name, bytes(altered), context=CONTEXT)
    assert keys.unwrap(name, wrapped, context=CONTEXT) == SECRET  # and nobody else is hindered by it


def test_a_master_key_that_is_not_there_is_said_in_words(kind: Kind) -> None:
    keys = service(kind)
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    for unknown in ("", "other", "p11:health-companion:77", "transit:other:v1"):
        with pytest.raises(KeyServiceUnavailable) as caught:
            keys.unwrap(unknown, wrapped, context=CONTEXT)
        assert HAN.search(caught.value.detail)


def test_a_new_master_key_wraps_and_the_old_one_still_opens(kind: Kind) -> None:
    old_name, old = service(kind).wrap(SECRET, context=CONTEXT)
    kind.new_master()
    keys = service(kind)
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    assert name != old_name and keys.current == name
    assert keys.unwrap(old_name, old, context=CONTEXT) == keys.unwrap(name, wrapped, context=CONTEXT) == SECRET
    kind.drop_old_masters()
    keys = service(kind)
    assert keys.unwrap(name, wrapped, context=CONTEXT) == SECRET
    with pytest.raises(KeyServiceUnavailable):
        keys.unwrap(old_name, old, context=CONTEXT)


def test_many_threads_share_one(kind: Kind) -> None:
    keys = service(kind)

    def there_and_back(number: int) -> bool:
        secret, context = os.urandom(32), f"resident|{number}|1".encode()
        name, wrapped = keys.wrap(secret, context=context)
        return keys.unwrap(name, wrapped, context=context) == secret

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(there_and_back, range(80)))


def test_when_it_is_down_that_is_said_in_words(kind: Kind) -> None:
    kind.break_down()
    with pytest.raises(KeyServiceUnavailable) as caught:
        service(kind).wrap(SECRET, context=CONTEXT)
    assert HAN.search(caught.value.detail) and caught.value.retryable and caught.value.status_code == 503


@pytest.mark.django_db
@pytest.mark.parametrize("cipher", ciphers.CIPHERS)
def test_columns_outlive_a_change_of_the_master_key(kind: Kind, cipher: str, settings, capsys) -> None:
    settings.HOSPITALS_CIPHER = cipher
    settings.KEY_SERVICE = kind.settings
    DataKey.objects.all().delete()
    row = Resident.objects.create(name="林小棠", phone="13900000001")
    before = DataKey.objects.get(owner_id=str(row.id)).master_id
    kind.new_master()
    settings.KEY_SERVICE = dict(kind.settings)
    call_command("rotate_keys", master=True)
    assert "已重新封装" in capsys.readouterr().out
    kind.drop_old_masters()
    settings.KEY_SERVICE = dict(kind.settings)
    vault.forget()
    assert Resident.objects.get(id=row.id).name == "林小棠"
    assert {key.master_id for key in DataKey.objects.all()} == {key_service().current} != {before}


@pytest.mark.django_db
def test_data_keys_move_from_the_file_to_any_other(kind: Kind, settings, tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    before = {"BACKEND": "hospitals.keys.file.FileKeyService", "OPTIONS": {"path": str(tmp_path / "before" / "key")}}
    settings.KEY_SERVICE = before
    DataKey.objects.all().delete()
    row = Resident.objects.create(name="周岚")
    settings.KEY_SERVICE = {**kind.settings, "BEFORE": before}
    assert keys_can_be_used(None) == []
    vault.forget()
    assert Resident.objects.get(id=row.id).name == "周岚"
    held = DataKey.objects.count()  # before the audit log has made its own
    assert rotation.rewrap_all(actor=SERVICE).keys == held > 0
    settings.KEY_SERVICE = dict(kind.settings)
    vault.forget()
    assert Resident.objects.get(id=row.id).name == "周岚"


def test_two_services_that_call_their_master_keys_alike_are_refused(kind: Kind, settings) -> None:
    settings.KEY_SERVICE = {**kind.settings, "BEFORE": kind.settings}
    assert [message.id for message in keys_can_be_used(None)] == ["hospitals.E007"]
