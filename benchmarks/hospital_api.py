"""What the hospitals' API carries in one process: rows uploaded, events taken in, rows read back. In a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any


def figures() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="hc-bench-") as folder:
        env = {**os.environ, "COMPANION_DATA_DIR": folder, "SECRET_KEY": "only-for-this-benchmark-0123456789abcdef"}
        for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"):
            env.pop(name, None)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks._hospital_api_work", folder],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    for line in done.stdout.splitlines():
        if line.startswith('{"name"'):
            yield json.loads(line)
