"""The containers as documented: every variable is read by somebody, every command exists, the key recipe makes a key."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from celery.bin.celery import celery as celery_command
from django.core.management import load_command_class
from uvicorn.main import main as uvicorn_command

from companion.celery import QUEUE_NAMES
from hospitals.keys.file import FileKeyService

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
EXAMPLE = (DEPLOY / "env.example").read_text(encoding="utf-8")
SETTINGS = (ROOT / "companion" / "settings.py").read_text(encoding="utf-8")
READ = set(re.findall(r'env(?:_[a-z]+)?\(\s*"([A-Z_]+)"', SETTINGS))
UVICORNS_OWN = {"FORWARDED_ALLOW_IPS"}
# Of the demo, of one machine without containers, or baked into the image.
NOT_FOR_CONTAINERS = {
    "COMPANION_DATA_DIR",
    "COMPANION_DEBUG",
    "COMPANION_REDIS_PREFIX",
    "COMPANION_SANDBOX_CLOCK",
    "COMPANION_SANDBOX_HTTP",
    "COMPANION_SANDBOX_STEP_S",
    "COMPANION_SHERPA_MODEL",
}
SERVICES = {name: service for name, service in COMPOSE["services"].items() if "build" in service}


def test_each_process_of_the_service_has_a_container() -> None:
    assert set(SERVICES) == {"migrate", "web", "speech", "worker", "calls", "beat", "mllp"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_reaches_every_container_and_none_is_unknown(service: str) -> None:
    given = set(SERVICES[service]["environment"])
    assert given == (READ - NOT_FOR_CONTAINERS) | UVICORNS_OWN


def test_the_example_names_what_the_file_asks_for_and_nothing_else() -> None:
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    assert asked == set(re.findall(r"^([A-Z0-9_]+)=", EXAMPLE, re.M))


def test_only_the_migration_signs_in_as_the_tables_owner() -> None:
    users = {name: re.match(r"postgres://(\w+):", s["environment"]["DATABASE_URL"]) for name, s in SERVICES.items()}
    assert {name for name, found in users.items() if found and found[1] == "owner"} == {"migrate"}
    roles = (DEPLOY / "postgres-roles.sh").read_text()
    assert "CREATE ROLE companion LOGIN" in roles and "NOSUPERUSER NOBYPASSRLS" in roles


def test_every_store_asks_for_a_password_of_its_own() -> None:
    asked = {}
    for store in ("postgres", "redis", "rabbitmq"):
        text = json.dumps(COMPOSE["services"][store])
        asked[store] = set(re.findall(r"\$\{([A-Z_]*PASSWORD):\?", text))
    assert all(asked.values()) and len(set.union(*asked.values())) == sum(map(len, asked.values()))
    shown = SERVICES["web"]["environment"]
    assert all("_PASSWORD:?" in shown[name] for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"))


def test_every_command_exists_with_its_options() -> None:
    (image,) = re.findall(r"^CMD (\[.*?\])$", (DEPLOY / "Dockerfile").read_text(), re.M | re.S)
    commands = [json.loads(image.replace("\\\n", ""))]
    commands += [service["command"] for service in SERVICES.values() if "command" in service]
    queues = set()
    for command in commands:
        program, *rest = [word for word in command if word != "env" and not re.fullmatch(r"[A-Z_]+=\w+", word)]
        if program == "python":
            assert rest[0] == "manage.py"
            app = "hospitals" if (ROOT / f"hospitals/management/commands/{rest[1]}.py").exists() else "django.core"
            load_command_class(app, rest[1]).create_parser("manage.py", rest[1]).parse_args(rest[2:])
        elif program == "uvicorn":
            module, _colon, name = rest[0].partition(":")
            assert (ROOT / f"{module.replace('.', '/')}.py").exists() and name == "application"
            uvicorn_command.make_context("uvicorn", rest)
        else:
            assert program == "celery"
            app, kind = rest[1], rest[2]
            assert importlib.import_module(app).celery_app
            found = celery_command.commands[kind]
            found.make_parser(click.Context(found)).parse_args(rest[3:])
            queues |= set(rest[rest.index("-Q") + 1].split(",")) if "-Q" in rest else set()
    assert queues == set(QUEUE_NAMES)


def test_the_recipe_of_the_example_makes_a_key_that_the_service_takes(tmp_path: Path) -> None:
    """Word for word, with stand-ins for what is not on every machine: the container's start, and becoming root."""
    (recipe,) = re.findall(r"^# +(docker run .*master\.key)$", EXAMPLE, re.M)
    (tmp_path / "deploy").mkdir()
    tools = tmp_path / "tools"
    tools.mkdir()
    python, root = shlex.quote(sys.executable), shlex.quote(str(ROOT))
    stand_ins = {
        "docker": f'test "$1 $2 $3 $4" = "run --rm health-companion python" && shift 4 && cd {root} && exec {python} "$@"',
        "sudo": 'exec "$@"' if os.geteuid() == 0 else r'exec $(echo "$*" | sed "s/ -o [0-9]*//")',
    }
    for name, line in stand_ins.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "COMPANION_MODE": "production"}
    environment |= {"SECRET_KEY": "", "COMPANION_DATA_DIR": str(tmp_path)}
    subprocess.run(["sh", "-ec", recipe], cwd=tmp_path, env=environment, check=True, timeout=60)
    service = FileKeyService(str(tmp_path / "deploy" / "master.key"), create=False)
    name, wrapped = service.wrap(b"k" * 32, context=b"c")
    assert service.unwrap(name, wrapped, context=b"c") == b"k" * 32
    assert not list(tmp_path.glob("*.key"))
