"""Keys change while other processes read and write the same rows: nobody fails to read, and no write is lost."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from companion.models import Patient, Resident
from hospitals import vault
from hospitals.audit import SERVICE
from hospitals.models import DataKey
from hospitals.services import rotation

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="several writers at once are PostgreSQL's"),
]
PEERS, CHANGES = 3, 3


@pytest.fixture()
def family() -> list[Patient]:
    keeper = Resident.objects.create(name="林小棠")
    return [
        Patient.objects.create(
            keeper=keeper, name="家人", id_number=str(n), phone="13900000001", birth_date="1950-01-01", sex="male"
        )
        for n in range(PEERS)
    ]


@pytest.fixture()
def peers(family: list[Patient], tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    chosen = connection.settings_dict
    address = f"postgres://{chosen['USER']}:{chosen['PASSWORD']}@{chosen['HOST']}:{chosen['PORT']}/{chosen['NAME']}"
    environment = {**os.environ, "DATABASE_URL": address, "DJANGO_SETTINGS_MODULE": "companion.settings"}
    stop = tmp_path / "stop"
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.hospitals.rotation_peer", str(patient.id), str(stop)],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for patient in family
        ]
        stack.callback(stop.touch)
        yield running


def heard(peer: subprocess.Popen[str], version: int) -> dict[str, Any]:
    """The peer's first round from which on it seals with this version."""
    assert peer.stdout is not None and peer.stderr is not None
    for line in peer.stdout:
        told: dict[str, Any] = json.loads(line)
        if told["version"] == version:
            return told
    raise AssertionError(peer.stderr.read()[-2000:])


def test_three_changes_under_three_readers_and_writers(
    family: list[Patient], peers: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    owner = family[0].keeper_id
    for version in range(1, CHANGES + 1):
        for peer in peers:
            heard(peer, version)
        assert rotation.rotate("resident", owner, actor=SERVICE, batch=2).version == version + 1
        for peer in peers:  # none will seal with the old version any more: the grace of ten minutes stands for this
            heard(peer, version + 1)
        later = timezone.now() + rotation.GRACE + timedelta(seconds=1)
        done = rotation.rotate("resident", owner, actor=SERVICE, now=later, batch=2)
        assert (done.version, done.retired, done.waiting) == (version + 1, 1, 0)
    (tmp_path / "stop").touch()
    last = []
    for peer in peers:
        out, errors = peer.communicate(timeout=60)
        assert peer.returncode == 0, errors[-2000:]
        last.append(json.loads(out.splitlines()[-1])["written"] if out else None)
    vault.forget()
    stored = [Patient.objects.get(id=patient.id) for patient in family]
    assert {row.__dict__["name"].key_version for row in stored} == {CHANGES + 1}
    assert [row.name for row in stored] == [
        written or row.name for written, row in zip(last, stored, strict=True)
    ] and any(last)
    alive = DataKey.objects.filter(owner_kind="resident", owner_id=str(owner), destroyed_at=None)
    assert [row.version for row in alive] == [CHANGES + 1]
