"""Servers and processes of a benchmark's own that may be killed: PostgreSQL, RabbitMQ, and our own processes."""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), "")
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def skewed(env: dict[str, str], seconds: int) -> dict[str, str]:
    """An environment in which the clock is wrong; waiting is not. The same where libfaketime is not installed."""
    if not FAKETIME or not seconds:
        return env
    return env | {"LD_PRELOAD": FAKETIME, "FAKETIME": f"{seconds:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class Postgres:
    """A cluster of its own; ``kill`` is the power going out."""

    def __init__(self, folder: Path, *options: str) -> None:
        """``options``: of initdb."""
        binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not binaries or os.geteuid() != 0:
            raise RuntimeError("needs root and PostgreSQL's own programs (postgresql)")
        self.bin, self.folder = Path(binaries[-1]), folder
        account = pwd.getpwnam("postgres")
        self.account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        shutil.chown(folder, "postgres")
        self.port = free_port()
        self._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync", *options)
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.bin / program), *arguments]
        subprocess.run(
            command,
            cwd=self.folder,
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.account,
        )

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=60"
        log = str(self.folder / "postgres.log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-o", options, "-l", log, "-w", "start")

    def kill(self) -> None:
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)  # its children see that it is gone

    def running(self) -> bool:
        status = [str(self.bin / "pg_ctl"), "-D", str(self.folder / "data"), "status"]
        done = subprocess.run(
            status, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.account
        )
        return done.returncode == 0

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")

    def url(self, user: str = "postgres") -> str:
        return f"postgres://{user}@127.0.0.1:{self.port}/faults"


class Rabbit:
    """A RabbitMQ node of its own; its queues are on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        for name in ("enabled_plugins", "advanced.config"):
            (folder / name).write_text("[].")
        self.log = folder / "rabbitmq.log"
        self.start()

    def start(self) -> None:
        env = os.environ | {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"hc-{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.port + 20000 if self.port < 40000 else self.port - 20000),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([str(RABBITMQ)], env=env, stdout=log, stderr=log, start_new_session=True)
        until(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() or True)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"


class Child:
    """A process that is started again whenever it was killed."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self.command, self.env, self.log = command, env, log
        self.start()

    def start(self, clock_s: int = 0) -> None:
        """``clock_s``: how far its clock is off."""
        env = skewed(self.env, clock_s)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command], env=env, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def python(env: dict[str, str], *arguments: str, within_s: float = 300) -> str:
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=within_s)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


def shell(env: dict[str, str], code: str) -> str:
    """What the code prints behind the word ANSWER."""
    return python(env, "manage.py", "shell", "--no-imports", "-c", code).partition("ANSWER")[2]


def until(work: Callable[[], Any], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            if work():
                return
            if time.monotonic() > deadline:
                raise TimeoutError
        except (OSError, subprocess.SubprocessError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)
