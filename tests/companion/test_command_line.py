"""What ends a command because of the place it runs in is one line that says what to do."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, InterfaceError, OperationalError, ProgrammingError
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError

from companion import command_line
from hospitals.exceptions import KeyServiceUnavailable

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 60


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ImproperlyConfigured("SECRET_KEY is missing."), "improperly_configured: SECRET_KEY is missing."),
        (KeyServiceUnavailable("读不到主密钥文件。"), "key_service_unavailable: 读不到主密钥文件。"),
        (RedisError("secret"), "cache_unavailable: Redis 没有应答。请检查 REDIS_URL"),
        (BrokerError("secret"), "broker_unavailable: 任务队列没有应答。请检查 CELERY_BROKER_URL"),
        (
            FileNotFoundError(2, "No such file or directory", "/nowhere/x"),
            "file: /nowhere/x: No such file or directory",
        ),
        (OperationalError("no such table: hospitals_hospital"), "no_tables: "),
        (caused(ProgrammingError("relation"), psycopg.errors.UndefinedTable()), "no_tables: "),
        (caused(ProgrammingError("denied"), psycopg.errors.InsufficientPrivilege()), "database_role: "),
    ],
)
def test_it_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, error: Exception, line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, error)
    assert str(caught.value.code).startswith(line) and "secret" not in str(caught.value.code)
    assert "\n" not in str(caught.value.code)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], settings: Any
) -> None:
    monkeypatch.setattr("hospitals.checks.reason_of", lambda _connection: "")
    with pytest.raises(SystemExit, match="^storage_unavailable: 数据库没有应答.*请检查 DATABASE_URL"):
        run(monkeypatch, error(""))


@pytest.mark.parametrize(
    "error", [IntegrityError("Key (name)=(陈玉兰) exists"), ProgrammingError("x"), ValueError("x"), OSError("x")]
)
def test_a_fault_of_ours_keeps_its_way_through_the_code(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        run(monkeypatch, error)


def test_who_asks_for_the_traceback_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RedisError):
        run(monkeypatch, RedisError(), "--traceback")


def run(monkeypatch: pytest.MonkeyPatch, error: Exception, *words: str) -> None:
    def ends(_argv: list[str]) -> None:
        raise error

    monkeypatch.setattr(command_line, "execute_from_command_line", ends)
    command_line.run(["manage.py", "x", *words])


# --- processes: the settings are read before anything else is there -----------------------------------------

MANAGE, WEB, WORKER = (
    ["manage.py", "check"],
    ["-m", "uvicorn", "companion.asgi:application", "--port", "0"],
    ["-m", "celery"],
)
WORKER = [*WORKER, "-A", "companion", "worker", "-Q", "nothing", "-c", "1"]


def process(folder: Path, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "COMPANION_MODE")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=kept | {"COMPANION_DATA_DIR": str(folder), "SECRET_KEY": "0123456789" * 6} | environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )


@pytest.mark.parametrize("command", [MANAGE, WEB, WORKER], ids=["manage.py", "web", "worker"])
def test_an_address_of_no_database_ends_every_process_in_one_line(tmp_path: Path, command: list[str]) -> None:
    done = process(tmp_path, command, DATABASE_URL="oracle://scott:tiger@db/companion")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("DATABASE_URL is no address of a database: write postgres://") and "tiger" not in line


def test_a_database_that_is_away_ends_a_command_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "there" / "db.sqlite3"
    done = process(tmp_path, ["manage.py", "migrate"], DATABASE_URL=f"sqlite:///{file}")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("storage_unavailable: 数据库没有应答")


def test_a_database_without_tables_asks_for_migrate(tmp_path: Path) -> None:
    done = process(tmp_path, ["manage.py", "onboard", "river", "verify", "--by", "officer-li"])
    assert done.returncode == 1
    assert done.stderr.strip() == "no_tables: 数据库里没有需要的表或列。请先运行 manage.py migrate。"
