"""Loaded with ``-p`` before Django's settings: gives each test process a data folder and its own Redis.

With ``TEST_ON_SERVICES=1`` the settings point at PostgreSQL, Redis and RabbitMQ on their usual local ports instead;
a service that does not answer is named in the summary and its tests are skipped.
"""

import atexit
import os
import shutil
import socket
import tempfile
from pathlib import Path

ON_SERVICES = os.environ.get("TEST_ON_SERVICES") == "1"
USUAL_PORTS = {"PostgreSQL": 5432, "Redis": 6379, "RabbitMQ": 5672}


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


MISSING = [name for name, port in USUAL_PORTS.items() if not answers(port)] if ON_SERVICES else []

folder = Path(tempfile.mkdtemp(prefix="hc-"))
atexit.register(shutil.rmtree, folder, ignore_errors=True)
os.environ["COMPANION_DATA_DIR"] = str(folder)
os.environ.setdefault("SECRET_KEY", "a-secret-for-tests-only-0123456789abcdef0123456789")
os.environ["COMPANION_SANDBOX_HTTP"] = "0"

if ON_SERVICES:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:6379/{int(worker[2:]) + 3}"
    os.environ["CELERY_BROKER_URL"] = "amqp://guest:guest@127.0.0.1:5672//"
else:
    for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"):
        os.environ.pop(name, None)
    from companion.embedded import RedisServer

    server = RedisServer(folder / "redis.sock", folder=folder).start()
    atexit.register(server.stop)
    os.environ["REDIS_URL"] = server.url
