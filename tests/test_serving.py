"""Real processes in production's manner: who passes row-level security does not serve, and the tables' owner may migrate."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from hospitals.keys.file import new_master
from tests import service_role
from tests.production import PRODUCTION
from tests.scenario.stack import free_port

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="roles are PostgreSQL's"),
]
ROOT = Path(__file__).resolve().parents[1]
LONGEST_S = 90
UVICORN = ["-m", "uvicorn", "companion.asgi:application", "--log-level", "info", "--port"]
WORKER = [
    "-m",
    "celery",
    "-A",
    "companion",
    "worker",
    "-Q",
    "serving-test",
    "-c",
    "1",
    "--without-mingle",
    "-l",
    "info",
]


@dataclass(frozen=True)
class Installed:
    """A database made as deploy/compose.yaml makes it; ``owner`` and ``role`` are its addresses for either."""

    owner: str
    role: str
    folder: Path

    def environment(self, database: str) -> dict[str, str]:
        more = {
            "DATABASE_URL": database,
            "COMPANION_DATA_DIR": str(self.folder),
            "COMPANION_MASTER_KEY_FILE": str(self.folder / "master.key"),
        }
        return {**os.environ, **PRODUCTION, **more}

    def run(self, database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment(database),
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )


def as_role(address: str, database: str, role: str, password: str = "") -> str:
    parts = urlsplit(address)
    who = f"{role}:{password}" if password else role
    return urlunsplit(parts._replace(netloc=f"{who}@{parts.hostname}:{parts.port or 5432}", path=f"/{database}"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    address = os.environ["DATABASE_URL"]
    superuser = urlsplit(address).username or "postgres"
    name = f"{urlsplit(address).path[1:]}_serving"  # of the database and of the role, which the whole server shares
    with psycopg.connect(address, autocommit=True) as server:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        server.execute(drop)
        server.execute(f"DROP ROLE IF EXISTS {name}")
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            owner = as_role(address, name, superuser)
            with psycopg.connect(owner, autocommit=True) as made:
                for statement in service_role.made(name, database=name, password="pass"):
                    made.execute(statement)
            folder = tmp_path_factory.mktemp("serving")
            (folder / "master.key").write_text(new_master())
            (folder / "master.key").chmod(0o600)
            yield Installed(owner, as_role(address, name, name, "pass"), folder)
        finally:
            server.execute(drop)
            server.execute(f"DROP ROLE IF EXISTS {name}")


@pytest.fixture(scope="module")
def migrated(installed: Installed) -> Installed:
    done = installed.run(installed.owner, "manage.py", "migrate", "--noinput")
    assert done.returncode == 0, done.stdout + done.stderr
    return installed


def test_the_owner_who_passes_every_policy_may_migrate(migrated: Installed) -> None:
    assert migrated.run(migrated.owner, "manage.py", "migrate", "--check").returncode == 0


@pytest.mark.parametrize(
    "command",
    [[*UVICORN, "0"], WORKER, ["manage.py", "mllp", "--plain", "--port", "0"]],
    ids=["web", "worker", "mllp"],
)
def test_nothing_serves_as_a_role_that_bypasses_row_level_security(migrated: Installed, command: list[str]) -> None:
    done = migrated.run(migrated.owner, *command)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "bypasses row-level security" in said and "hospitals.E002" in said
    assert "startup complete" not in said and "worker_ready" not in said


def started(migrated: Installed, command: list[str], word: str) -> subprocess.Popen[str]:
    """The process, once it has said ``word``."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=migrated.environment(migrated.role),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = ""
    assert process.stdout is not None
    watch = threading.Timer(LONGEST_S, kill, [process])
    watch.start()
    try:
        for line in process.stdout:
            said += line
            if word in line:
                return process
    finally:
        watch.cancel()
    process.wait()
    raise AssertionError(said)


def kill(process: subprocess.Popen[str]) -> None:
    """With its children: a worker's would hold the pipe that we read to its end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        kill(process)
        process.communicate()


def test_the_service_s_own_role_serves_and_the_container_s_health_check_finds_it_well(migrated: Installed) -> None:
    port = free_port()
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    (probe,) = re.findall(r"^  CMD (\[.*\])$", text, re.M)
    _python, flag, program = json.loads(probe)
    web = started(migrated, [*UVICORN, str(port)], "Uvicorn running")
    try:
        environment = migrated.environment(migrated.role)
        program = program.replace(":8000", f":{port}")
        subprocess.run([sys.executable, flag, program], env=environment, check=True, timeout=30)
        with pytest.raises(urllib.error.HTTPError):  # a host that is not served
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/", timeout=10)
    finally:
        stop(web)
    stop(started(migrated, WORKER, "worker_ready"))
