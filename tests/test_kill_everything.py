"""Web, worker, Redis, PostgreSQL and a change of keys are killed while residents book; then each call is checked."""

import glob
import os

import pytest

from benchmarks import faults
from tests.embedded import ON_SERVICES

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(1200),  # each of its waits has an end of its own
    pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL"),
    pytest.mark.skipif(
        os.geteuid() != 0 or not glob.glob("/usr/lib/postgresql/*/bin/initdb"),
        reason="needs root and PostgreSQL's own programs for a server that may be killed",
    ),
]


def test_what_was_acknowledged_is_there_once_and_what_is_unknown_at_most_once(monkeypatch) -> None:
    monkeypatch.setattr(faults, "SECONDS", 12.0)
    figures = {row["name"]: row for row in faults.figures()}
    assert figures["faults_bookings_acknowledged"]["value"] > 0
    assert sum(row["value"] for row in figures.values() if row["name"].startswith("faults_killed_")) >= 2
    assert {name: row["value"] for name, row in figures.items() if row["unit"] == "must be 0" and row["value"]} == {}
