"""Everything is killed in the middle of everything, clocks are wrong and a disk is full; then the database is asked about each call.

Residents book and hospitals send signed events over HTTP while, by a seeded dice, the web process, the events door, both workers,
Redis, RabbitMQ, PostgreSQL (of their own, in a folder of their own) and a running change of keys are ended with kill -9 and
started again, some of them with a clock that is ten minutes off. Near the end the database's disk is full for a while. Each call's outcome
is a line of calls.jsonl. Then: acknowledged means there once, unknown means there at most once; no place is sold twice; every booking
has its visit and reached the sandbox hospital once; the audit chain is whole; every name still opens. FAULTS_S, FAULTS_SEED.
"""

import http.client
import json
import os
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from benchmarks._killable import RABBITMQ, Child, Postgres, Rabbit, free_port, python, shell, skewed, until
from companion.embedded import RedisServer
from hospitals.connectors import codec, push
from hospitals.connectors.base import EventType, QueuePosition
from tests.obedient import obeyed

SECONDS = float(os.environ.get("FAULTS_S", "90"))
SEED = int(os.environ.get("FAULTS_SEED", "1"))
CLIENTS, SENDERS, RESIDENTS = 6, 3, 120
QUIET_S = (1.0, 3.0)  # between two kills
FULL_S, SPARE_MIB = 8.0, 6
DISK_MIB = 400
CLOCK_S = 600
HEALED_WITHIN_S = 120.0
# Run in the service's own Django when all is well again; prints what is wrong, counted.
CHECK = """
import json
from django.core.management import call_command
from companion.models import Patient, Visit, VisitEvent
from hospitals import tenancy
from hospitals.connectors.sandbox.models import SandboxVisit
from hospitals.models import Appointment, InboxEvent, OutboxCommand
with tenancy.service("outbox sweep"):
    made = list(Appointment.objects.values_list("id", "idempotency_key", "state"))
    waiting = OutboxCommand.objects.filter(state="waiting").count()
    commands = OutboxCommand.objects.filter(kind="book").count()
    inbox = list(InboxEvent.objects.filter(event_id__startswith="sent-").values_list("event_id", "state"))
names = {str(patient.name) for patient in Patient.objects.all()}
call_command("verify_audit", verbosity=0)
print("ANSWER" + json.dumps({
    "keys": [key for _id, key, _state in made],
    "waiting": waiting + sum(state == "received" for _id, state in inbox), "commands": commands,
    "visits": Visit.objects.filter(id__in=[i for i, _k, _s in made]).count(),
    "sandbox": SandboxVisit.objects.filter(appointment_id__in=[i for i, _k, _s in made]).count(),
    "inbox": [event for event, _state in inbox],
    "told": list(VisitEvent.objects.filter(key__startswith="sent-").values_list("key", flat=True)),
    "names": sorted(names),
}))
"""
SWEEP = """
from hospitals.connectors.sandbox import sending
from hospitals.services import inbox, outbox
while outbox.sweep() + inbox.sweep(after_s=0):
    pass
print("ANSWER", sending.flush())
"""
CELERY = ["-m", "celery", "-A", "companion", "--quiet", "--skip-checks", "worker", "--without-mingle"]

Note = Callable[[dict[str, Any]], None]


def _post(port: int, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Status 0: nobody knows."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request("POST", path, body, headers)
        answer = link.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException):
        return 0, {}
    finally:
        link.close()
    with suppress(ValueError):
        return answer.status, json.loads(said)
    return answer.status, {}


class Resident(threading.Thread):
    """One client: books, again and again; what became of each call is written down before the next."""

    def __init__(
        self, number: int, port: int, seeded: dict[str, Any], made: deque[tuple[str, int]], note: Note
    ) -> None:
        super().__init__(daemon=True)
        self.dice, self.number, self.port, self.seeded, self.note = random.Random(number), number, port, seeded, note
        self.made = made
        self.over = threading.Event()

    def run(self) -> None:
        count = 0
        while not self.over.is_set():
            count += 1
            token, patient = self.dice.choice(self.seeded["residents"][self.number :: CLIENTS])
            hospital = self.dice.randrange(len(self.seeded["slots"]))
            slot = self.dice.choice(self.seeded["slots"][hospital])
            key = f"c{self.number}-{count}"
            wish = json.dumps({"patient": patient, "slot": slot, "key": key}).encode()
            for attempt in range(3):  # the page sends the same turn again; then she gives up
                status, answer = _post(self.port, "/", wish, {"authorization": f"Bearer {token}"})
                self.note({"what": "booking", "key": key, "attempt": attempt, "slot": slot, "status": status})
                if status == 201:
                    self.made.append((answer["visit"], hospital))
                if status in (201, 404, 409) or self.over.wait(0.5):
                    break


class Hospital(threading.Thread):
    """A hospital's system tells, signed, where somebody stands in the queue; it sends again what was not taken."""

    def __init__(
        self, number: int, port: int, seeded: dict[str, Any], made: deque[tuple[str, int]], note: Note
    ) -> None:
        super().__init__(daemon=True)
        self.dice, self.number, self.port, self.seeded, self.note = random.Random(-number), number, port, seeded, note
        self.made = made
        self.over = threading.Event()

    def run(self) -> None:
        count = 0
        while not self.over.wait(0.05):
            if not self.made:
                continue
            count += 1
            visit, hospital = self.dice.choice(list(self.made))
            event = f"sent-{self.number}-{count}"
            position = QueuePosition("7", count % 9, "1", "R1", "一诊室", "1楼", as_of=datetime.now(UTC))
            sequence = 1000 * (1 + self.number) + count
            body = codec.encode(event, EventType.QUEUE_CHANGED, visit, sequence, datetime.now(UTC), position)
            for attempt in range(3):
                headers = push.sign(self.seeded["secrets"][hospital], str(uuid4()), body)
                headers |= {"hospital-code": f"h{hospital}", "content-type": "application/json"}
                status, answer = _post(self.port, "/api/hospitals/v1/events/", body, headers)
                told = {"status": status, "code": answer.get("code", "")}
                self.note({"what": "event", "key": event, "attempt": attempt} | told)
                if 200 <= status < 300 or (400 <= status < 500 and status != 429) or self.over.wait(0.5):
                    break


# --- the figures ----------------------------------------------------------------------------------------------


def _outcomes(calls: list[dict[str, Any]], what: str) -> dict[str, list[str]]:
    outcome: dict[str, str] = {}
    for call in (call for call in calls if call["what"] == what):
        if 200 <= call["status"] < 300:
            outcome[call["key"]] = "acknowledged"
        elif 400 <= call["status"] < 500:
            outcome.setdefault(call["key"], "refused")
        else:
            outcome.setdefault(call["key"], "unknown")
    return {kind: [k for k, is_ in outcome.items() if is_ == kind] for kind in ("acknowledged", "unknown", "refused")}


def figures() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="hc-faults-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _small_disk(folder / "pg"):
            calls, kills, answer, healed_s = _run(folder)
    bookings, events = _outcomes(calls, "booking"), _outcomes(calls, "event")
    kept = Counter(key.rpartition(":")[2] for key in answer["keys"])
    inbox, told = Counter(answer["inbox"]), Counter(answer["told"])
    wrong = {
        "faults_acknowledged_lost": sum(kept[key] != 1 for key in bookings["acknowledged"]),
        "faults_unknown_twice": sum(kept[key] > 1 for key in bookings["unknown"]),
        "faults_events_lost": sum(inbox[key] != 1 or told[key] != 1 for key in events["acknowledged"]),
        "faults_events_twice": sum(inbox[key] > 1 or told[key] > 1 for key in events["unknown"]),
        "faults_events_refused_yet_there": sum(inbox[key] for key in events["refused"]),
        "faults_slots_out_of_balance": answer["unbalanced"],
        "faults_bookings_without_visit": len(answer["keys"]) - answer["visits"],
        "faults_bookings_not_at_the_hospital": len(answer["keys"]) - answer["sandbox"],
        "faults_commands_left": answer["waiting"],
        "faults_commands_twice": answer["commands"] - len(answer["keys"]),
        "faults_names_unreadable": len(set(answer["names"]) - {"林晓雨"}),
        "faults_full_disk_untyped": sum(call["status"] == 500 for call in calls if call.get("full")),
    }
    yield {"name": "faults_calls", "value": len(calls), "unit": "calls"}
    for what, of in (("bookings", bookings), ("events", events)):
        for kind, keys in of.items():
            yield {"name": f"faults_{what}_{kind}", "value": len(keys), "unit": what}
    for kind, count in sorted(kills.items()):
        yield {"name": f"faults_{kind}", "value": count, "unit": "times"}
    full = Counter(call["status"] for call in calls if call.get("full"))
    yield {"name": "faults_full_disk_503", "value": full[503], "unit": f"of {full.total()} calls"}
    for name, value in wrong.items():
        yield {"name": name, "value": value, "unit": "must be 0"}
    yield {"name": "faults_healed_s", "value": round(healed_s, 1), "unit": "s"}


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """The folder on a disk of its own that can be filled."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _run(folder: Path) -> tuple[list[dict[str, Any]], Counter[str], dict[str, Any], float]:
    postgres = Postgres(folder / "pg", "--wal-segsize=1")
    redis = RedisServer(folder / "redis.sock", folder=folder)
    redis.start()
    rabbit = Rabbit(folder) if RABBITMQ.exists() else None
    log = folder / "calls.jsonl"
    children: dict[str, Child] = {}
    try:
        with psycopg.connect(f"postgres://postgres@127.0.0.1:{postgres.port}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE faults")
        port, door = free_port(), free_port()
        env = os.environ | {
            "COMPANION_DATA_DIR": str(folder),
            "DATABASE_URL": postgres.url(),
            "REDIS_URL": redis.url,
            "SECRET_KEY": "only-for-this-benchmark-0123456789abcdef",
            "PYTHONWARNINGS": "ignore",
        }
        env.pop("CELERY_BROKER_URL", None)
        if rabbit is not None:
            env["CELERY_BROKER_URL"] = rabbit.url()
        python(env, "manage.py", "migrate", "--verbosity", "0")
        rows = {"residents": RESIDENTS, "hospitals": 3, "half_days": 20, "capacity": 90, "sandbox": True}
        seeded = json.loads(python(env, "-m", "benchmarks._booking_web", json.dumps(rows)))
        with psycopg.connect(postgres.url(), autocommit=True) as owner:
            obeyed(owner.execute)
        serve = ["-m", "uvicorn", "--log-level", "error", "--port"]
        commands = {
            "web": [*serve, str(port), "benchmarks._booking_web:application"],
            "door": [*serve, str(door), "companion.asgi:application"],
            "worker": [*CELERY, "-Q", "default,batch", "-c", "1", "-n", "default@%h"],
            "calls": [*CELERY, "-Q", "hospitals", "-P", "threads", "-c", "8", "-n", "calls@%h"],
            "rotation": ["manage.py", "rotate_keys"],
        }
        for name, command in commands.items():
            children[name] = Child(command, env, folder / f"{name}.log")
        servers = {"postgres": postgres, "redis": redis} | ({"rabbitmq": rabbit} if rabbit else {})
        kills = _storm(port, door, seeded, log, folder / "pg" / "filler", servers, children)
        healing = time.monotonic()
        _heal(env, children)
        answer = json.loads(shell(env, CHECK))
        with psycopg.connect(postgres.url(), options="-c role=none") as owner:
            taken = "SELECT count(*) FROM hospitals_appointment a WHERE a.slot_id = s.id AND a.state IN ('pending','booked','cancelling','checked_in')"
            unbalanced = owner.execute(f"SELECT count(*) FROM hospitals_slot s WHERE s.free + ({taken}) <> s.capacity")
            answer["unbalanced"] = unbalanced.fetchone()[0]  # type: ignore[index]
        calls = [json.loads(line) for line in log.read_text().splitlines()]
        return calls, kills, answer, time.monotonic() - healing
    finally:
        for child in children.values():
            child.kill()
        if rabbit is not None:
            rabbit.kill()
        redis.stop()
        postgres.stop()


def _storm(
    port: int,
    door: int,
    seeded: dict[str, Any],
    log: Path,
    filler: Path,
    servers: dict[str, Any],
    children: dict[str, Child],
) -> Counter[str]:
    """Bookings and events go on while the dice kills; returns what was done how often."""
    for listening in (port, door):
        until(lambda listening=listening: _post(listening, "/", b"{}", {})[0] or None)  # type: ignore[misc]
    dice, kills, lock, full = random.Random(SEED), Counter[str](), threading.Lock(), threading.Event()
    made: deque[tuple[str, int]] = deque(maxlen=200)
    with log.open("a") as written:

        def note(call: dict[str, Any]) -> None:
            with lock:
                written.write(json.dumps(call | ({"full": True} if full.is_set() else {})) + "\n")

        clients: list[Resident | Hospital] = [Resident(n, port, seeded, made, note) for n in range(CLIENTS)]
        clients += [Hospital(n, door, seeded, made, note) for n in range(SENDERS)]
        for client in clients:
            client.start()
        ends, victims = time.monotonic() + SECONDS, list[str]()
        while time.monotonic() < ends:
            time.sleep(dice.uniform(*QUIET_S))
            if not victims:  # each once, in another order each time
                victims = dice.sample([*servers, *children], len(servers) + len(children))
            victim = victims.pop()
            clock_s = dice.choice([0, 0, CLOCK_S, -CLOCK_S])
            if victim in servers:
                kills[f"killed_{victim}"] += 1
                servers[victim].kill()
                until(lambda victim=victim: servers[victim].start() or True)  # type: ignore[misc]
            else:
                kills[f"killed_{victim}"] += 1
                kills["clock_off"] += bool(clock_s) and skewed({}, clock_s) != {}
                children[victim].kill()
                children[victim].start(clock_s)
        for name in ("web", "door", "worker", "calls"):  # the right time again
            children[name].kill()
            children[name].start()
        until(lambda: _post(port, "/", b"{}", {})[0] or None)
        _fill(filler, servers["postgres"], full)
        for client in clients:
            client.over.set()
        for client in clients:
            client.join(15)
    return kills


def _fill(filler: Path, postgres: Postgres, full: threading.Event) -> None:
    """The database's disk is full while calls go on; PostgreSQL may stop for it. Then somebody makes room."""
    space = os.statvfs(filler.parent)
    with filler.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, max(1, space.f_bavail * space.f_frsize - SPARE_MIB * 1024 * 1024))
        file.seek(0, os.SEEK_END)
        full.set()
        ends = time.monotonic() + FULL_S
        while time.monotonic() < ends:  # whatever is given back is taken, too
            with suppress(OSError):
                file.write(bytes(65536))
            time.sleep(0.02)
    filler.unlink()
    full.clear()
    if not postgres.running():
        until(lambda: postgres.start() or True)


def _heal(env: dict[str, str], children: dict[str, Child]) -> None:
    """What the beat does every few seconds, until nothing waits any more; and the change of keys to its end.

    The sweep's clock is a little over ten minutes ahead: what a process with a fast clock has put off is due by then.
    """
    children["rotation"].kill()
    python(env, "manage.py", "rotate_keys")
    deadline = time.monotonic() + HEALED_WITHIN_S
    while time.monotonic() < deadline:
        shell(skewed(env, CLOCK_S + 100), SWEEP)
        if json.loads(shell(env, CHECK))["waiting"] == 0:
            return
        time.sleep(2)
