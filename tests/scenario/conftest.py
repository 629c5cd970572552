"""The running service and a phone-sized browser on it. Screenshots of each step land in var/screenshots."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.embedded import ON_SERVICES
from tests.obedient import obeyed
from tests.scenario.legible import hard_to_read
from tests.scenario.stack import ROOT, UP_WITHIN_S, Stack

PHONE = {"width": 390, "height": 844}
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The browser's driver keeps an event loop running in this thread: tests with loops of their own come first.
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
    if CHROMIUM is None:
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason="no system Chromium (install the package chromium)"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One service for the session; each test signs in as a resident of its own."""
    services = {}
    if ON_SERVICES:
        services = {
            "DATABASE_URL": fresh_database("hc_scenario"),
            "REDIS_URL": "redis://127.0.0.1:6379/2",
            "CELERY_BROKER_URL": "amqp://guest:guest@127.0.0.1:5672//",
        }
    running = Stack(tmp_path_factory.mktemp("stack"), services).start()
    yield running
    running.stop()


def fresh_database(name: str) -> str:
    """A PostgreSQL database of this name with the tables alone, and the address where the service obeys row security."""
    import psycopg

    server = os.environ.get("TEST_DATABASE_SERVER", "postgres://postgres@127.0.0.1:5432")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    address = f"{server}/{name}"
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=ROOT, env=os.environ | {"DATABASE_URL": address}, check=True, timeout=UP_WITHIN_S)
    with psycopg.connect(address, autocommit=True) as owner:
        obeyed(owner.execute)
    return address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture()
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    context = browser.new_context(viewport=PHONE, device_scale_factor=2, locale="zh-CN", timezone_id="Asia/Shanghai")
    context.set_default_timeout(15_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert not problems, problems


@pytest.fixture()
def shoot(page: Page, request: pytest.FixtureRequest) -> Any:
    folder = Path(ROOT) / "var" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    kind = "services-" if ON_SERVICES else ""

    def take(name: str) -> None:
        page.screenshot(path=folder / f"{kind}{name}.png")
        assert not hard_to_read(page), name

    return take
