"""Everything is killed in the middle of everything, and afterwards the database is asked what became of each call.

Residents book over HTTP while, by a seeded dice, the web process, the worker, Redis, PostgreSQL (of their own, in a folder of their
own) and a running change of keys are ended with kill -9 and started again. Each call's outcome is a line of calls.jsonl. Then:
acknowledged means there once, unknown means there at most once; no place is sold twice; every booking has its visit and reached the
sandbox hospital once; the audit chain is whole; every name still opens. FAULTS_S, FAULTS_SEED.
"""

import contextlib
import glob
import http.client
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from companion.embedded import RedisServer

SECONDS = float(os.environ.get("FAULTS_S", "60"))
SEED = int(os.environ.get("FAULTS_SEED", "1"))
CLIENTS, RESIDENTS = 6, 120
QUIET_S = (1.5, 4.0)  # between two kills
HEALED_WITHIN_S = 120.0
# Run in the service's own Django when all is well again; prints what is wrong, counted.
CHECK = """
import json
from django.core.management import call_command
from companion.models import Patient, Visit
from hospitals import tenancy
from hospitals.connectors.sandbox.models import SandboxVisit
from hospitals.models import Appointment, OutboxCommand
with tenancy.service("fault check"):
    made = list(Appointment.objects.values_list("id", "idempotency_key", "state"))
    waiting = OutboxCommand.objects.filter(state="waiting").count()
    commands = OutboxCommand.objects.filter(kind="book").count()
names = {str(patient.name) for patient in Patient.objects.all()}
call_command("verify_audit", verbosity=0)
print("ANSWER" + json.dumps({
    "keys": [key for _id, key, _state in made],
    "waiting": waiting, "commands": commands,
    "visits": Visit.objects.filter(id__in=[i for i, _k, _s in made]).count(),
    "sandbox": SandboxVisit.objects.filter(appointment_id__in=[i for i, _k, _s in made]).count(),
    "names": sorted(names),
}))
"""
SWEEP = "from hospitals.services import inbox, outbox; from hospitals.connectors.sandbox import sending\n"
SWEEP += "print('ANSWER', outbox.sweep(), inbox.sweep(after_s=0), sending.flush())"


class Postgres:
    """A cluster of its own; ``kill`` is the power going out."""

    def __init__(self, folder: Path) -> None:
        binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not binaries or os.geteuid() != 0:
            raise RuntimeError("needs root and PostgreSQL's own programs (postgresql)")
        self.bin, self.folder = Path(binaries[-1]), folder
        account = pwd.getpwnam("postgres")
        self.account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        shutil.chown(folder, "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync")
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

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")

    def url(self, user: str = "postgres") -> str:
        return f"postgres://{user}@127.0.0.1:{self.port}/faults"


class Child:
    """A process that is started again whenever it was killed."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self.command, self.env, self.log = command, env, log
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command], env=self.env, stdout=log, stderr=log, start_new_session=True
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
    return python(env, "manage.py", "shell", "--no-imports", "-c", code).partition("ANSWER")[2]


class Residents(threading.Thread):
    """One client: books, again and again; what became of each call is written down before the next."""

    def __init__(self, number: int, port: int, seeded: dict[str, Any], note: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(daemon=True)
        self.dice, self.number, self.port, self.seeded, self.note = random.Random(number), number, port, seeded, note
        self.over = threading.Event()

    def run(self) -> None:
        count = 0
        while not self.over.is_set():
            count += 1
            token, patient = self.dice.choice(self.seeded["residents"][self.number :: CLIENTS])
            slot = self.dice.choice(self.dice.choice(self.seeded["slots"]))
            key = f"c{self.number}-{count}"
            for attempt in range(3):  # the page sends the same turn again; then she gives up
                status = self._ask(token, {"patient": patient, "slot": slot, "key": key})
                self.note({"key": key, "attempt": attempt, "slot": slot, "status": status})
                if status in (201, 404, 409) or self.over.wait(0.5):
                    break

    def _ask(self, token: str, wish: dict[str, str]) -> int:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            link.request("POST", "/", json.dumps(wish), {"authorization": f"Bearer {token}"})
            return link.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0  # nobody knows
        finally:
            link.close()


def figures() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="hc-faults-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pg").mkdir()
        calls, kills, answer, healed_s = _run(folder)
    outcome: dict[str, str] = {}
    for call in calls:
        if call["status"] == 201:
            outcome[call["key"]] = "acknowledged"
        elif call["status"] in (404, 409):
            outcome.setdefault(call["key"], "refused")
        else:
            outcome.setdefault(call["key"], "unknown")
    kept = Counter(key.rpartition(":")[2] for key in answer["keys"])
    of = {
        kind: [key for key, what in outcome.items() if what == kind] for kind in ("acknowledged", "unknown", "refused")
    }
    wrong = {
        "faults_acknowledged_lost": sum(kept[key] != 1 for key in of["acknowledged"]),
        "faults_unknown_twice": sum(kept[key] > 1 for key in of["unknown"]),
        "faults_slots_out_of_balance": answer["unbalanced"],
        "faults_bookings_without_visit": len(answer["keys"]) - answer["visits"],
        "faults_bookings_not_at_the_hospital": len(answer["keys"]) - answer["sandbox"],
        "faults_commands_left": answer["waiting"],
        "faults_commands_twice": answer["commands"] - len(answer["keys"]),
        "faults_names_unreadable": len(set(answer["names"]) - {"林晓雨"}),
    }
    yield {"name": "faults_calls", "value": len(calls), "unit": "calls"}
    for kind, keys in of.items():
        yield {"name": f"faults_{kind}", "value": len(keys), "unit": "bookings"}
    for kind, count in sorted(kills.items()):
        yield {"name": f"faults_killed_{kind}", "value": count, "unit": "kills"}
    for name, value in wrong.items():
        yield {"name": name, "value": value, "unit": "must be 0"}
    yield {"name": "faults_healed_s", "value": round(healed_s, 1), "unit": "s"}


def _run(folder: Path) -> tuple[list[dict[str, Any]], Counter[str], dict[str, Any], float]:
    postgres = Postgres(folder / "pg")
    redis = RedisServer(folder / "redis.sock", folder=folder)
    redis.start()
    log = folder / "calls.jsonl"
    children: dict[str, Child] = {}
    try:
        with psycopg.connect(f"postgres://postgres@127.0.0.1:{postgres.port}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE faults")
        env = os.environ | {
            "COMPANION_DATA_DIR": str(folder),
            "DATABASE_URL": postgres.url(),
            "REDIS_URL": redis.url,
            "SECRET_KEY": "only-for-this-benchmark-0123456789abcdef",
            "PYTHONWARNINGS": "ignore",
        }
        env.pop("CELERY_BROKER_URL", None)
        python(env, "manage.py", "migrate", "--verbosity", "0")
        rows = {"residents": RESIDENTS, "hospitals": 3, "half_days": 20, "capacity": 12, "sandbox": True}
        seeded = json.loads(python(env, "-m", "benchmarks._booking_web", json.dumps(rows)))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        web = ["-m", "uvicorn", "benchmarks._booking_web:application", "--port", str(port), "--log-level", "error"]
        worker = [
            "-m",
            "celery",
            "-A",
            "companion",
            "--quiet",
            "--skip-checks",
            "worker",
            "-Q",
            "default,batch",
            "-c",
            "1",
        ]
        children = {
            "web": Child(web, env, folder / "web.log"),
            "worker": Child([*worker, "--without-mingle"], env, folder / "worker.log"),
            "rotation": Child(["manage.py", "rotate_keys"], env, folder / "rotation.log"),
        }
        kills = _storm(port, seeded, log, postgres, redis, children)
        healing = time.monotonic()
        _heal(env, children)
        answer = json.loads(shell(env, CHECK))
        with psycopg.connect(postgres.url()) as owner:
            taken = "SELECT count(*) FROM hospitals_appointment a WHERE a.slot_id = s.id AND a.state IN ('pending','booked','checked_in')"
            unbalanced = owner.execute(f"SELECT count(*) FROM hospitals_slot s WHERE s.free + ({taken}) <> s.capacity")
            answer["unbalanced"] = unbalanced.fetchone()[0]  # type: ignore[index]
        calls = [json.loads(line) for line in log.read_text().splitlines()]
        return calls, kills, answer, time.monotonic() - healing
    finally:
        for child in children.values():
            child.kill()
        redis.stop()
        postgres.stop()


def _storm(
    port: int, seeded: dict[str, Any], log: Path, postgres: Postgres, redis: RedisServer, children: dict[str, Child]
) -> Counter[str]:
    """Bookings go on while the dice kills; returns how often each was killed."""
    _until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True)
    dice, kills, lock = random.Random(SEED), Counter[str](), threading.Lock()
    with log.open("a") as written:

        def note(call: dict[str, Any]) -> None:
            with lock:
                written.write(json.dumps(call) + "\n")

        clients = [Residents(number, port, seeded, note) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(dice.uniform(*QUIET_S))
            victim = dice.choice(["web", "worker", "redis", "postgres", "rotation"])
            kills[victim] += 1
            if victim == "postgres":
                postgres.kill()
                _until(lambda: postgres.start() or True)
            elif victim == "redis":
                redis.kill()
                redis.start()
            else:
                children[victim].kill()
                children[victim].start()
        for client in clients:
            client.over.set()
        for client in clients:
            client.join(15)
    return kills


def _heal(env: dict[str, str], children: dict[str, Child]) -> None:
    """What the beat does every few seconds, until nothing waits any more; and the change of keys to its end."""
    children["rotation"].kill()
    python(env, "manage.py", "rotate_keys")
    deadline = time.monotonic() + HEALED_WITHIN_S
    while time.monotonic() < deadline:
        shell(env, SWEEP)
        if json.loads(shell(env, CHECK))["waiting"] == 0:
            return
        time.sleep(2)


def _until(work: Callable[[], Any], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            if work():
                return
        except (OSError, subprocess.SubprocessError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)
