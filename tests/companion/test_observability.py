"""What is written to standard error by whole processes and by libraries: templates, types and places, and never what was said."""

import asyncio
import io
import json
import logging
import logging.config
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.canaries.places import logs
from tests.canaries.words import ALL, NAME, PHONE, found_in

# As the web process and a worker begin: their own set-up of logging first, then what is said when something breaks.
WEB = """
import logging, uvicorn
uvicorn.Config("companion.asgi:application", log_level="warning", access_log=True).load()
logging.getLogger("uvicorn.error").error("Exception in ASGI application\\n", exc_info=ValueError(WORDS))
logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', WORDS, "GET", "/?q=" + WORDS, "1.1", 200)
"""
WORKER = """
import logging
from companion.celery import app
app.log.setup(logging.WARNING, redirect_stdouts=True)
@app.task(name="breaks")
def breaks(said):
    raise ValueError(said)
breaks.apply(args=[WORDS])
logging.getLogger("celery.worker.consumer").error("Received unregistered task of type %s. The body was: %s", "x", WORDS)
logging.getLogger("multiprocessing").error("Pool process error: %r", WORDS)
"""
EVERY = """
for name in ("", *logging.root.manager.loggerDict):
    found = logging.getLogger(name)
    for handler in found.handlers:
        assert type(handler) is logging.NullHandler or type(handler.formatter).__module__.startswith("structlog"), name
    reaches = found.handlers or found.propagate or found.level >= logging.CRITICAL
    assert reaches, f"{name} would be printed as it is"
"""


def said_by(program: str, folder: Path) -> str:
    """What a process of its own writes that runs this program."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "companion.settings",
        "COMPANION_DATA_DIR": str(folder),
        "PYTHONIOENCODING": "utf-8",
    }
    environment.pop("DATABASE_URL", None)
    words = f"WORDS = {ALL!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", words + program + EVERY], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("program", [WEB, WORKER])
def test_a_process_says_where_it_broke_and_not_on_what(program: str, tmp_path: Path) -> None:
    said = said_by(program, tmp_path)
    assert '"exc_type": "ValueError"' in said
    assert found_in(said) == []


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_sentence_that_was_put_together_before_is_not_kept() -> None:
    with logs() as out:
        logging.getLogger("library").warning(f"Could not read {NAME}")
        logging.getLogger("library").warning("Could not read %s", NAME)
    first, second = (line["event"] for line in lines(out))
    assert first.startswith("test_observability.") and second == "Could not read %s"


def test_a_host_that_is_refused_is_not_named() -> None:
    with logs() as out:
        assert Client(headers={"host": f"{PHONE}.example"}).get("/api/session/").status_code == 400
    assert "django.security.DisallowedHost" in out.getvalue() and found_in(out.getvalue()) == []


def test_a_task_that_nobody_waited_for_is_not_shown() -> None:
    async def breaks() -> None:
        raise ValueError(ALL)

    async def forgets() -> None:
        asyncio.ensure_future(breaks())
        await asyncio.sleep(0)

    with logs() as out:
        loop = asyncio.new_event_loop()
        loop.call_exception_handler({"message": f"of {NAME}", "exception": ValueError(ALL)})
        loop.run_until_complete(forgets())
        loop.close()
        loop = None  # type: ignore[assignment]
    assert '"exc_type": "ValueError"' in out.getvalue() and found_in(out.getvalue()) == []
