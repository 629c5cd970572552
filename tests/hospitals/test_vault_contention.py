"""Erasure while another process changes the same person's key, on PostgreSQL: none of her keys is left alive."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any

import pytest
from django.db import connection

from companion.models import Resident
from hospitals import vault
from hospitals.audit import SERVICE
from hospitals.exceptions import KeyDestroyed
from hospitals.keys import key_service
from hospitals.models import DataKey
from hospitals.services import rotation

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="two transactions at once are PostgreSQL's"),
]
LONGEST_S = 30
WAITED_FOR = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


def until_somebody_waits_for_us() -> None:
    ends = time.monotonic() + LONGEST_S
    with connection.cursor() as cursor:
        while time.monotonic() < ends:
            cursor.execute(WAITED_FOR)
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits")


class Slow:
    """A key service that is still wrapping when somebody else comes to wait for the rows held meanwhile."""

    def __init__(self) -> None:
        self.service, self.wrapping = key_service(), Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)

    def wrap(self, data_key: bytes, *, context: bytes) -> tuple[str, bytes]:
        self.wrapping.set()
        until_somebody_waits_for_us()
        return self.service.wrap(data_key, context=context)


def test_a_key_that_is_being_made_is_destroyed_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    resident, slow = Resident.objects.create(name="林小棠"), Slow()
    monkeypatch.setattr(vault, "key_service", lambda: slow)

    def rotate() -> None:
        try:
            with suppress(KeyDestroyed):
                rotation.rotate("resident", resident.id, actor=SERVICE)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(rotate)
        assert slow.wrapping.wait(LONGEST_S)
        assert vault.erase("resident", resident.id) == 2
        changed.result()
    assert not DataKey.objects.filter(owner_id=str(resident.id), destroyed_at=None).exists()
    with pytest.raises(KeyDestroyed):
        rotation.rotate("resident", resident.id, actor=SERVICE)
