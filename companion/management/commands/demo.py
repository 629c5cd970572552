"""The whole service on this machine: Redis, database, demo province, workers, web; Ctrl-C stops every child."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any

from celery.utils.nodenames import nodename
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from companion.celery import app
from companion.embedded import RedisDidNotStart, RedisServer
from hospitals.services import master_key

READY_WITHIN_S = 60
SPEECH = nodename("speech", socket.gethostname())
WATCH_EVERY_S = 0.5


class Stop(Exception):
    """A signal asked us to end."""


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise Stop


class Command(BaseCommand):
    requires_system_checks: list[str] = []  # done while the web process starts
    help = "Run the whole service on this machine and open the demo province on http://127.0.0.1:PORT."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--no-clock", action="store_true", help="the sandbox hospital waits for the clock panel")

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        self._require_free(port)
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
        url = f"http://127.0.0.1:{port}"
        self.environment = os.environ | {
            "COMPANION_PUBLIC_URL": url,
            "COMPANION_SANDBOX_HTTP": "1",
            "COMPANION_SANDBOX_CLOCK": "0" if options["no_clock"] else "1",
            "PYTHONUNBUFFERED": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.children: dict[str, tuple[list[str], subprocess.Popen[bytes]]] = {}
        self.logs = settings.DATA_DIR / "logs"
        self.logs.mkdir(exist_ok=True)
        self.redis: RedisServer | None = None
        try:
            if "REDIS_URL" not in os.environ:
                try:
                    self.redis = RedisServer(settings.EMBEDDED_REDIS_SOCKET, folder=settings.DATA_DIR / "redis").start()
                except RedisDidNotStart as error:
                    raise CommandError(f"The embedded Redis did not start: {error}") from error
            self.stdout.write("Preparing the database and the demo province ...")
            call_command("migrate", verbosity=0, interactive=False)
            master_key.check()
            self._start_web(port)
            self._start_worker("speech", "-Q", "speech", "-c", "2", tasks="avatar")
            self.check()
            call_command("seed_demo", verbosity=0)
            connection.close()
            self._wait_ready(url)
            # Last, so that the page and the voice have both cores: what it does waits in its queue.
            self._start_worker(
                "default", "-Q", "default,hospitals,batch", "-c", "1", "-B", "-s", str(settings.DATA_DIR / "beat")
            )
            self._say(url)
            self._watch()
        except Stop:
            self.stdout.write("\nStopping ...")
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._stop_children()
            if self.redis:
                self.redis.stop()

    def _require_free(self, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise CommandError(f"Port {port} is taken. Free it, or choose another: make demo PORT=8001") from None

    def _start_web(self, port: int) -> None:
        self._spawn(
            "web",
            [
                *(sys.executable, "-m", "uvicorn", "companion.asgi:application"),
                *("--host", "127.0.0.1", "--port", str(port)),
                *("--ws", "websockets-sansio", "--loop", "uvloop", "--http", "httptools"),
                *("--ws-per-message-deflate", "false"),  # media is packed already; a context a socket costs memory
                *("--ws-max-size", str(2 * 1024 * 1024), "--timeout-graceful-shutdown", "3"),
                *("--no-access-log", "--log-level", "warning"),
            ],
        )

    def _start_worker(self, name: str, *options: str, tasks: str = "") -> None:
        # This process has made the checks that each worker would make again.
        python = ["env", f"COMPANION_TASKS={tasks}", sys.executable]
        celery = [*python, "-m", "celery", "-A", "companion", "--quiet", "--skip-checks", "worker"]
        self._spawn(name, [*celery, "-n", f"{name}@%h", "--without-mingle", *options])

    def _spawn(self, name: str, command: list[str]) -> None:
        with Path(self.logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                env=self.environment,
                cwd=settings.BASE_DIR,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.children[name] = (command, child)

    def _wait_ready(self, url: str) -> None:
        """Until the page answers and the first voice would be heard."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            for name, (_command, child) in self.children.items():
                if (code := child.poll()) is not None:
                    raise CommandError(f"The {name} process ended with {code}; see {self.logs / f'{name}.log'}")
            try:
                with urllib.request.urlopen(f"{url}/health/", timeout=2) as answer:
                    if answer.status == 200 and app.control.ping([SPEECH], timeout=0.5):
                        return
            except OSError:
                time.sleep(0.1)
        raise CommandError(f"Web and speech were not ready within {READY_WITHIN_S} s; see {self.logs}")

    def _say(self, url: str) -> None:
        lines = [
            "",
            "健康伴行 is running.",
            f"  居民页面  Resident's page    {url}/",
            f"  卫健委后台 Commission admin   {url}/admin/   user: commission  password: demo-only",
            f"  接口文档  API for hospitals  {url}/api/hospitals/developers/",
            f"  日志      Logs               {self.logs}",
            "Try: 眼睛干涩挂什么科?   Ctrl-C stops everything.",
            "",
        ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()

    def _watch(self) -> None:
        """A child that dies is started again: what it was doing is redelivered to the next one."""
        while True:
            time.sleep(WATCH_EVERY_S)
            if self.redis and self.redis.process and self.redis.process.poll() is not None:
                self.stderr.write("redis ended; starting it again.")
                self.redis.start()
            for name, (command, child) in list(self.children.items()):
                if child.poll() is not None:
                    self.stderr.write(f"{name} ended with {child.returncode}; starting it again.")
                    self._spawn(name, command)

    def _stop_children(self) -> None:
        for _command, child in self.children.values():
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + 8
        for _command, child in self.children.values():
            try:
                child.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
