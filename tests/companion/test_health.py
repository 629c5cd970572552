"""Whether a process can do its work: database, Redis, and a clock that is the database's."""

from datetime import timedelta

import pytest
import redis
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from companion import api

pytestmark = pytest.mark.django_db


def test_all_is_well(client: Client) -> None:
    answer = client.get("/health/")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert set(answer.json()["checks"].values()) == {True}


def test_a_database_that_is_away_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("could not connect to a server at 10.0.0.7")

    monkeypatch.setattr(api.connection, "cursor", away)
    answer = client.get("/health/")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, False)
    assert "10.0.0.7" not in answer.content.decode()


def test_redis_that_is_away_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(redis.Redis, "ping", away)
    assert client.get("/health/").json()["checks"] | {"clock": True} == {
        "database": True,
        "redis": False,
        "clock": True,
    }


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_process_whose_clock_is_not_the_database_s_is_taken_out(
    client: Client, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("this database has no clock of its own")
    off = timezone.now() + timedelta(minutes=minutes)
    monkeypatch.setattr(timezone, "now", lambda: off)
    answer = client.get("/health/")
    assert (answer.status_code, answer.json()["checks"]["clock"]) == (503, False)
