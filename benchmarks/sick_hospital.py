"""One hospital's system resets connections, is silent for 30 s, or answers a byte each half second: do the others notice?

Ten hospitals behind real connectors, the calling worker as in deploy/compose.yaml, PostgreSQL, a Redis of its own. A command's time is
from the deed to the hospital's having it. Each illness is measured between two healthy stretches and compared with those;
SICK_S is a stretch's length. The circuit is closed again before each, so that it cannot hide what the first calls cost.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks._postgres import database

ROOT = Path(__file__).resolve().parent.parent
SECONDS = float(os.environ.get("SICK_S", "20"))
HOSPITALS, A_SECOND, SICK_EVERY = 10, 40, 5  # every fifth command is the sick one's
ROUNDS = 3
ILLNESSES = ("reset", "silent", "trickle")
WORKER = ["-m", "celery", "-A", "companion", "--quiet", "--skip-checks", "worker", "-Q", "hospitals", "-P", "threads"]


class Stub:
    def __init__(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._his_stub"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.child.stdout is not None
        self.port = int(self.child.stdout.readline())

    def do(self, kind: str, **fields: Any) -> Any:
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.write(json.dumps({"do": kind, **fields}) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def close(self) -> None:
        self.child.kill()
        self.child.wait()


def _connectors(folder: Path, port: int) -> Path:
    """The operator's file: ten hospitals, each behind an address of its own."""
    from hospitals.connectors import push

    (folder / "secret").write_text(push.new_secret())
    options = {"secret_file": str(folder / "secret"), "networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}
    backend = "webhook"
    entries = {
        f"h{n}": {"BACKEND": backend, "OPTIONS": {**options, "url": f"http://127.0.0.1:{port}/h{n}"}}
        for n in range(HOSPITALS)
    }
    path = folder / "connectors.yaml"
    path.write_text(json.dumps(entries))  # JSON is YAML
    return path


def _hospitals() -> list[Any]:
    """(hospital, slot) of each; one slot is enough, its place is not what is measured."""
    from benchmarks._booking_web import seed
    from hospitals import tenancy
    from hospitals.models import Hospital, Slot

    made = seed(residents=0, hospitals=HOSPITALS, half_days=1, capacity=1)
    found = []
    for number, (slot,) in enumerate(made["slots"]):
        hospital = Hospital.objects.get(code=f"h{number}")
        hospital.connector = f"h{number}"
        with tenancy.scope(hospital.id):
            hospital.save(update_fields=["connector"])
        found.append((hospital, Slot.objects.get(id=slot)))
    return found


def _put(hospital: Any, slot: Any) -> str:
    """A resident checks in: the deed and its command in one transaction, as the service writes them."""
    from django.db import transaction

    from hospitals import tenancy
    from hospitals.connectors.base import CommandKind
    from hospitals.models import Appointment
    from hospitals.services import outbox

    key = str(uuid4())
    with tenancy.scope(hospital.id), transaction.atomic():
        row = Appointment.objects.create(
            hospital=hospital, slot=slot, subject=uuid4(), card={}, id_number_index=key, idempotency_key=key
        )
        outbox.put(row, CommandKind.CHECK_IN, key=key)
    return key


def _stretch(stub: Stub, hospitals: list[Any], how: str) -> tuple[list[float], int]:
    """Milliseconds of each command of the healthy ones, and how many of theirs had not come when it ended."""
    from hospitals.services import circuit
    from hospitals.tasks import sweep_outbox

    for hospital, _slot in hospitals:
        circuit.succeeded(hospital.id)
    stub.do("ill", path="h0", how=how)
    stub.do("seen")
    put: dict[str, float] = {}
    healthy: set[str] = set()
    began = swept = time.monotonic()
    for count in range(int(A_SECOND * SECONDS)):
        time.sleep(max(0.0, began + count / A_SECOND - time.monotonic()))
        sick = count % SICK_EVERY == 0
        hospital, slot = hospitals[0 if sick else 1 + count % (HOSPITALS - 1)]
        at = time.monotonic()
        key = _put(hospital, slot)
        put[key] = at
        if not sick:
            healthy.add(key)
        if time.monotonic() - swept > 15:
            sweep_outbox()
            swept = time.monotonic()
    time.sleep(1)
    seen = stub.do("seen")
    return [1000 * (seen[key] - put[key]) for key in healthy & seen.keys()], len(healthy - seen.keys())


def _settle(hospitals: list[Any], stub: Stub) -> None:
    """All is well again: what waits for the sick one is taken away, so that each stretch begins alike."""
    from hospitals import tenancy
    from hospitals.models import OutboxCommand

    stub.do("ill", path="h0", how="")
    with tenancy.scope(hospitals[0][0].id):
        OutboxCommand.objects.filter(state="waiting").update(state="given_up")


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def figures() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="hc-sick-") as name, database("bench_sick_hospital") as made:
        folder = Path(name)
        stub = Stub()
        os.environ |= {"COMPANION_DATA_DIR": name, "SECRET_KEY": "only-for-this-benchmark-0123456789abcdef"}
        os.environ |= {"REDIS_URL": f"unix://{name}/redis.sock?db=0", "DATABASE_URL": made.service}
        os.environ |= {"COMPANION_CONNECTORS_FILE": str(_connectors(folder, stub.port)), "PYTHONWARNINGS": "ignore"}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
        os.environ.pop("CELERY_BROKER_URL", None)
        from companion.embedded import RedisServer

        redis = RedisServer(folder / "redis.sock", folder=folder).start()
        worker = None
        try:
            migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
            subprocess.run(migrate, cwd=ROOT, env={**os.environ, "DATABASE_URL": made.owner}, check=True)
            import django

            django.setup()
            hospitals = _hospitals()
            with (folder / "worker.log").open("w") as log:
                worker = subprocess.Popen([sys.executable, *WORKER, "-c", "16"], cwd=ROOT, stdout=log, stderr=log)
            _stretch(stub, hospitals, "")  # the worker's start
            p99s, missing = [], 0
            order = ["", *(how for _ in range(ROUNDS) for illness in ILLNESSES for how in (illness, ""))]
            for how in order:
                times, lost = _stretch(stub, hospitals, how)
                p99s.append(_p99(times))
                missing += lost
                _settle(hospitals, stub)
            well = statistics.median(p99s[::2])
            yield {"name": "sick_hospital.others_p99_well", "value": round(well, 1), "unit": "ms"}
            for how in ILLNESSES:
                mine = [at for at, name in enumerate(order) if name == how]
                p99 = statistics.median(p99s[at] for at in mine)
                # With its own neighbours: this machine's speed changes from one minute to the next.
                growth = statistics.median(2 * p99s[at] / (p99s[at - 1] + p99s[at + 1]) - 1 for at in mine) * 100
                yield {"name": f"sick_hospital.others_p99_{how}", "value": round(p99, 1), "unit": "ms"}
                yield {"name": f"sick_hospital.others_p99_{how}_growth", "value": round(growth, 1), "unit": "%"}
            yield {"name": "sick_hospital.others_not_delivered", "value": missing, "unit": "commands"}
        finally:
            if worker is not None:
                worker.kill()
                worker.wait()
            stub.close()
            redis.stop()
            from django.db import connection

            connection.close()
