"""What a turn costs without a model: compute, turns a second on one core, memory and load of a process that knows all.

The world behind the skills is the in-memory desk of the tests, so that only the companion's own work is measured; the
texts are residents' questions, red flags and look-alikes from the tests' data.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "tests" / "companion" / "data"
TEXTS_EACH = 150
LOAD = """
import asyncio, os, time
from pathlib import Path
os.environ["DJANGO_SETTINGS_MODULE"] = "companion.settings"
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
import django
django.setup()
started = time.perf_counter()
from tests.companion.talking import Talk
async def all_of_it():
    for text in ("眼睛干涩挂什么科", "高血压平时要注意什么", "血常规要空腹吗", "阿司匹林怎么吃"):
        await Talk().say(text)
asyncio.run(all_of_it())
print(time.perf_counter() - started, resident())
"""


def texts() -> list[str]:
    found: list[str] = []
    for name in ("fresh_cases", "red_flag_cases", "look_alike_cases"):
        lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        found += [json.loads(line)["text"] for line in lines[:TEXTS_EACH]]
    return found


def figures() -> Iterator[dict[str, Any]]:
    loaded = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, timeout=120)
    seconds, memory = (float(value) for value in loaded.stdout.split()[-2:])

    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
    import django

    django.setup()
    from tests.companion.talking import Talk

    async def measured() -> list[float]:
        await Talk().say("眼睛干涩挂什么科")
        spent = []
        for text in texts():
            talk = Talk()
            began = time.process_time()
            await talk.say(text)
            spent.append((time.process_time() - began) * 1000)
        return spent

    spent = sorted(asyncio.run(measured()))
    yield {"name": "turn_compute_p50_ms", "value": round(spent[len(spent) // 2], 2), "unit": "ms"}
    yield {"name": "turn_compute_p95_ms", "value": round(spent[int(len(spent) * 0.95)], 2), "unit": "ms"}
    yield {"name": "turns_per_second_core", "value": round(1000 * len(spent) / sum(spent)), "unit": "1/s"}
    yield {"name": "companion_load_s", "value": round(seconds, 2), "unit": "s"}
    yield {"name": "companion_memory_mb", "value": round(memory, 1), "unit": "MiB"}
