"""What triage costs: one assessment, reading the knowledge, and its memory (Linux). No database, no network."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from companion.triage import assess

CASES = Path(__file__).resolve().parent.parent / "tests" / "companion" / "data" / "fresh_cases.jsonl"
ROUNDS = 5
LOAD = """
import time
from pathlib import Path
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
before, started = resident(), time.perf_counter()
from companion.triage import assess
assess("头疼")
print(time.perf_counter() - started, resident() - before)
"""


def figures() -> Iterator[dict[str, Any]]:
    """Milliseconds of ``assess`` over the fresh cases, and seconds and MiB of a new process until its first answer."""
    loaded = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, timeout=120)
    seconds, memory = (float(value) for value in loaded.stdout.split())
    texts = [json.loads(line)["text"] for line in CASES.read_text(encoding="utf-8").splitlines()]
    assess(texts[0])
    taken = []
    for text in texts * ROUNDS:
        started = time.perf_counter()
        assess(text)
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    yield {"name": "triage.assess.p50", "value": round(taken[len(taken) // 2], 3), "unit": "ms"}
    yield {"name": "triage.assess.p95", "value": round(taken[int(len(taken) * 0.95)], 3), "unit": "ms"}
    yield {"name": "triage.load", "value": round(seconds, 2), "unit": "s"}
    yield {"name": "triage.memory", "value": round(memory, 1), "unit": "MiB"}
