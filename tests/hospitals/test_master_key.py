"""A master key that is valid and another installation's: said once at the start and by each command, instead of at every row."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from companion.models import Resident
from hospitals import audit, indexing, vault
from hospitals.checks import keys_can_be_used
from hospitals.exceptions import KeyServiceUnavailable, WrongMasterKey
from hospitals.keys import key_service
from hospitals.keys.file import new_master
from hospitals.models import AuditEvent, DataKey
from hospitals.services import master_key

pytestmark = pytest.mark.django_db


def hold(settings: Any, file: Path, *masters: str) -> None:
    """The key service with these master keys, in a process that remembers nothing."""
    file.write_text("\n".join(masters))
    file.chmod(0o600)
    options = {"path": str(file), "create": False}
    settings.KEY_SERVICE = {"BACKEND": "hospitals.keys.file.FileKeyService", "OPTIONS": options}
    vault.forget()


@pytest.fixture()
def used(settings: Any, tmp_path: Path) -> tuple[Path, str]:
    """A database in which somebody has done something, and the master key that it was done with."""
    file, right = tmp_path / "master.key", new_master()
    DataKey.objects.all().delete()
    hold(settings, file, right)
    Resident.objects.create(name="陈玉兰")
    indexing.blind_index("id_number", "1")
    audit.record("x")
    return file, right


def found() -> list[str | None]:
    return [message.id for message in keys_can_be_used(None, databases=["default"])]


def test_the_right_key_serves_also_behind_a_new_one(settings: Any, used: tuple[Path, str]) -> None:
    file, right = used
    assert found() == []
    hold(settings, file, new_master(), right)
    assert found() == []


@pytest.mark.parametrize("alike", [False, True], ids=["another id", "the same id"])
def test_another_installation_s_key_is_refused_at_the_start(settings: Any, used: tuple[Path, str], alike: bool) -> None:
    file, right = used
    other = new_master()
    hold(settings, file, f"{right.partition(':')[0]}:{other.partition(':')[2]}" if alike else other)
    with pytest.raises(WrongMasterKey):
        master_key.check()
    assert found() == ["hospitals.E008"]
    assert [message.id for message in keys_can_be_used(None)] == [], "only where the database is asked as well"


def test_any_key_serves_a_database_that_nobody_has_used(settings: Any, tmp_path: Path) -> None:
    DataKey.objects.all().delete()
    hold(settings, tmp_path / "master.key", new_master())
    assert found() == []


def test_one_damaged_key_is_no_wrong_master_key(used: tuple[Path, str]) -> None:
    DataKey.objects.filter(owner_kind="audit").update(wrapped=bytes(60))
    vault.forget()
    assert found() == []


def test_a_key_service_that_does_not_answer_is_called_that(used: tuple[Path, str]) -> None:
    file, _right = used
    file.chmod(0o644)
    key_service.cache_clear()
    with pytest.raises(KeyServiceUnavailable, match="key_service_unavailable"):
        master_key.check()
    assert found() == ["hospitals.E004"]


def test_a_database_without_tables_is_for_migrate(used: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_owner: str) -> Any:
        raise DatabaseError("no such table")

    monkeypatch.setattr(vault, "versions", missing)
    assert found() == []


COMMANDS = [
    ("rotate_keys",),
    ("rotate_keys", "--master"),
    ("rotate_keys", "--index"),
    ("rotate_keys", "--audit"),
    ("verify_audit",),
    ("audit_heads",),
    ("erase", "resident", "{resident}", "--by", "officer", "--reason", "本人要求"),
]


@pytest.mark.parametrize("line", COMMANDS, ids=" ".join)
def test_every_command_that_needs_it_says_so_once_and_does_nothing(
    settings: Any, used: tuple[Path, str], line: tuple[str, ...]
) -> None:
    file, _right = used
    hold(settings, file, new_master())
    keys, done = list(DataKey.objects.order_by("id").values()), AuditEvent.objects.count()
    told = StringIO()
    with pytest.raises(CommandError, match="^wrong_master_key: .*请换回原来的主密钥"):
        call_command(*(word.format(resident=Resident.objects.get().id) for word in line), stdout=told, stderr=told)
    assert told.getvalue() == ""
    assert (list(DataKey.objects.order_by("id").values()), AuditEvent.objects.count()) == (keys, done)


@pytest.mark.parametrize("line", COMMANDS, ids=" ".join)
def test_a_key_file_that_others_may_read_is_said_with_what_to_do(used: tuple[Path, str], line: tuple[str, ...]) -> None:
    file, _right = used
    file.chmod(0o644)
    key_service.cache_clear()
    vault.forget()
    with pytest.raises(CommandError, match="^key_service_unavailable: .*chmod 600"):
        call_command(*(word.format(resident=Resident.objects.get().id) for word in line), stdout=StringIO())
