"""The whole service as a stranger starts it, in a folder of its own: real web, workers, Redis, database; no mock."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
UP_WITHIN_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stack:
    """``manage.py demo`` on a free port; ``services`` (environment variables) puts it on PostgreSQL, Redis, RabbitMQ."""

    def __init__(self, folder: Path, services: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        for_children = {
            k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"}
        }
        self.environment = for_children | {
            "COMPANION_DATA_DIR": str(folder),
            "COMPANION_PUBLIC_URL": self.url,
            "COMPANION_SANDBOX_HTTP": "1",
            **(services or {}),
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Stack":
        self.log = (self.folder / "demo.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", str(self.port), "--no-clock"],
            cwd=ROOT,
            env=self.environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if "is running" in self.output():
                return self
            time.sleep(0.2)
        raise RuntimeError(f"the demo did not start:\n{self.output()[-4000:]}")

    def output(self) -> str:
        return (self.folder / "demo.log").read_text()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout=20)
        finally:
            if self.process.poll() is None:
                self.process.kill()

    def ask_database(self, code: str) -> Any:
        """Run Python in the service's own Django, on its own database; ``code`` ends by assigning ``answer``."""
        script = f"import json\n{code}\nprint('ANSWER' + json.dumps(answer, default=str))"
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", script],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        found = re.search(r"^ANSWER(.*)$", done.stdout, re.M)
        if not found:
            raise AssertionError(done.stderr[-2000:])
        return json.loads(found.group(1))

    def pids(self, needle: str) -> list[int]:
        """Processes of this stack whose command line holds ``needle`` (its children are found by their environment)."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if needle in command and str(self.folder).encode() in environment:
                found.append(int(entry.name))
        return sorted(found)
