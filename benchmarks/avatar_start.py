"""The whole avatar from nothing: Redis and a speech worker start where no network can be reached, and a sentence is heard.

Needs root for the empty network namespace (``unshare -n``); without, the processes keep the machine's network, and the figure's name
says so. The listener is the client, up before the clock starts.
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5
WITHIN_S = 60.0


def figures() -> Iterator[dict]:
    alone = shutil.which("unshare") is not None and os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix="hc-start-") as folder:
        listener = subprocess.Popen(
            [sys.executable, "-m", __name__, folder, "unshare -n" if alone else ""], cwd=ROOT, stdout=subprocess.PIPE
        )
        printed, _ = listener.communicate(timeout=ROUNDS * WITHIN_S)
    times = [float(line) for line in printed.split()][1:]  # the first finds a cold disk
    name = "avatar_start_without_network" if alone else "avatar_start"
    yield {"name": f"{name}_median_s", "value": round(statistics.median(times), 2), "unit": "s"}


async def rounds(folder: Path, alone: list[str]) -> None:
    from companion.embedded import RedisServer

    for _ in range(ROUNDS + 1):
        started = time.monotonic()
        redis = RedisServer(folder / "r.sock", folder=folder)
        redis.start()
        celery = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "companion",
            "--quiet",
            "--skip-checks",
            "worker",
            "-Q",
            "speech",
        ]
        worker = await asyncio.create_subprocess_exec(
            *(*alone, *celery, "-c", "1", "-n", "start@%h", "--without-mingle"),
            cwd=ROOT,
            env=os.environ | {"COMPANION_TASKS": "avatar"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            print(await asyncio.wait_for(heard(), WITHIN_S) - started, flush=True)
        finally:
            worker.terminate()
            await worker.wait()
            redis.stop()


async def heard() -> float:
    """The monotonic time of the first sound; a sentence that fell back to its caption is asked for again."""
    from avatar import sessions
    from avatar.protocol import Audio, Fallback, decode

    session, index = uuid4().hex, 0

    async def ask(generation: int) -> None:
        text = "您好,我是小兰,今天我陪您看病。"
        await sessions.speak(
            sessions.Utterance(session=session, generation=generation, utterance_id=f"u{index}", index=index, text=text)
        )

    async with sessions.Feed(session) as feed:
        await ask(feed.generation)
        async for message in feed:
            for packet in decode(message):
                if isinstance(packet, Audio):
                    return time.monotonic()
                if isinstance(packet, Fallback):
                    index += 1
                    await ask(feed.generation)
    raise RuntimeError("the feed ended")


if __name__ == "__main__":
    home = Path(sys.argv[1])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
    os.environ |= {"REDIS_URL": f"unix://{home / 'r.sock'}?db=0", "COMPANION_DATA_DIR": str(home)}
    os.environ.pop("CELERY_BROKER_URL", None)
    import django

    django.setup()
    asyncio.run(rounds(home, sys.argv[2].split()))
