"""A real dump, loaded elsewhere: unreadable without the master key, identical with it, and erased stays erased."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core import serializers
from django.db import connection

from companion.models import Patient, Resident
from hospitals.audit import SERVICE
from hospitals.models import DataKey
from hospitals.services import erasure
from tests.hospitals.appointments import an_appointment
from tests.hospitals.clinics import a_clinic
from tests.hospitals.lives import a_life, full
from tests.hospitals.sealed_rows import a_row, everything, sealed

pytestmark = pytest.mark.django_db(transaction=True)
COPY = "hc_restored"
READ = """
import django, json
django.setup()
from tests.hospitals.sealed_rows import everything
print(json.dumps(dict(everything())))
"""
Restore = Callable[[], str]


def postgres(*command: str, feed: bytes | None = None) -> bytes:
    chosen = connection.settings_dict
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    environment = {"PGPASSWORD": chosen["PASSWORD"] or "", "PATH": os.environ["PATH"]}
    where = ["-h", chosen["HOST"], "-p", str(chosen["PORT"]), "-U", chosen["USER"]]
    done = subprocess.run(
        [command[0], *where, *command[1:]], env=environment, input=feed, capture_output=True, timeout=120
    )
    if b"version mismatch" in done.stderr:
        pytest.skip("pg_dump does not fit this server")
    assert done.returncode == 0, done.stderr.decode()[-1000:]
    return done.stdout


@pytest.fixture()
def restore(tmp_path: Path) -> Iterator[Restore]:
    """Dumps this database and loads the dump into an empty one; returns that one's address."""

    def sqlite() -> str:
        import sqlite3

        connection.ensure_connection()
        with sqlite3.connect(tmp_path / "copy.sqlite3") as copy:
            copy.executescript("\n".join(connection.connection.iterdump()))
        return f"sqlite:///{tmp_path / 'copy.sqlite3'}"

    def server() -> str:
        chosen = connection.settings_dict
        dumped = postgres("pg_dump", f"--role={chosen['USER']}", chosen["NAME"])
        postgres("psql", "-d", "postgres", "-c", f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")
        postgres("psql", "-d", "postgres", "-c", f"CREATE DATABASE {COPY}")
        postgres("psql", "-q", "-d", COPY, feed=dumped)
        return f"postgres://{chosen['USER']}:{chosen['PASSWORD']}@{chosen['HOST']}:{chosen['PORT']}/{COPY}"

    yield sqlite if connection.vendor == "sqlite" else server
    if connection.vendor == "postgresql":
        postgres("psql", "-d", "postgres", "-c", f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")


def read(address: str, folder: Path) -> dict[str, str]:
    """What another machine reads there, whose master key is in this folder: every encrypted value, by where it stands."""
    environment = {
        **os.environ,
        "DATABASE_URL": address,
        "COMPANION_DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "companion.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", READ], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, str] = json.loads(done.stdout)
    return told


def read_with_keys_of_today(address: str, keys: Path) -> list[str]:
    """All that another machine can read in an old dump when today's table of keys stands in the place of the dump's."""
    keys.write_text(serializers.serialize("json", DataKey.objects.all()))
    environment = {
        **os.environ,
        "DATABASE_URL": address,
        "COMPANION_DATA_DIR": str(settings.DATA_DIR),
        "DJANGO_SETTINGS_MODULE": "companion.settings",
    }
    command = [sys.executable, "-m", "tests.hospitals.walking", str(keys)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told: list[str] = json.loads(done.stdout)
    return told


def somebody(name: str) -> Resident:
    row = Resident.objects.create(name=name, phone="13900000001")
    Patient.objects.create(keeper=row, name=name, id_number="1", phone="1", birth_date="1950-01-01", sex="female")
    return row


def test_a_restored_dump_opens_with_the_master_key_and_without_it_tells_nothing(
    restore: Restore, tmp_path: Path
) -> None:
    """Every encrypted column of every model."""
    owners = somebody("林小棠"), an_appointment("push")
    for model in sealed():
        a_row(model, *owners)
    before = dict(everything())
    assert {place.partition(" ")[0].rpartition(".")[0] for place in before} == {m._meta.label for m in sealed()}
    address = restore()
    assert read(address, Path(settings.DATA_DIR)) == before
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    told = read(address, stranger)
    assert told.keys() == before.keys()
    assert set(told.values()) <= {"CiphertextInvalid", "KeyServiceUnavailable"}


def test_what_was_erased_before_the_dump_stays_erased_with_the_master_key(restore: Restore) -> None:
    gone, stays = somebody("林小棠"), somebody("周岚")
    erasure.erase_resident(gone.id, actor=SERVICE, reason="本人申请")
    told = read(restore(), Path(settings.DATA_DIR))
    assert told[f"companion.Resident.name {gone.id}"] == "KeyDestroyed"
    assert told[f"companion.Resident.name {stays.id}"] == "周岚"
    assert sorted(told.values()).count("KeyDestroyed") == 6


def test_a_dump_made_before_the_erasure_tells_nothing_of_her_with_the_keys_of_today(
    restore: Restore, tmp_path: Path
) -> None:
    clinics = a_clinic("lake"), a_clinic("hill")
    gone = full(a_life("林晚照", "甲甲", born="19610115", phone="13900001111"), *clinics)
    stays = full(a_life("周望舒", "乙乙", born="19720220", phone="13900002222"), *clinics)
    address = restore()
    keys_before = read_with_keys_of_today(address, tmp_path / "before.json")
    for life in (gone, stays):
        assert not [word for word in life.words if not any(word in line for line in keys_before)]
    erasure.erase_resident(gone.person.resident_id, actor=SERVICE, reason="本人申请")
    told = read_with_keys_of_today(address, tmp_path / "after.json")
    assert not [word for word in gone.words if any(word in line for line in told)]
    assert not [word for word in stays.words if not any(word in line for line in told)]
