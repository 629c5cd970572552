"""The websocket at provincial scale: ten thousand idle pages in one web process, queue events to the right ones, a restart.

The web process is started as in deploy/Dockerfile, on PostgreSQL and a Redis of its own; the pages live in a process of
theirs. ``queue_event_to_socket_*`` is from the accepted event on: what the commit publishes to the frame at her page.
``queue_door_to_socket_*`` is the whole way: hospitals' queue boards send signed batches to a web process of their own, a worker
handles them, all on this machine. Environment: BENCH_SOCKETS (10000), BENCH_SOCKETS_IDLE_S (60).
"""

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks._killable import free_port
from benchmarks._postgres import database
from benchmarks._queue_boards import BATCHES_A_SECOND, EVENTS_A_SECOND, HOSPITALS, Board

ROOT = Path(__file__).resolve().parent.parent
NAME = "bench_sockets"
SOCKETS = int(os.environ.get("BENCH_SOCKETS", "10000"))
IDLE_S = float(os.environ.get("BENCH_SOCKETS_IDLE_S", "60"))
EVENTS_S = 20
DEAF, FLOOD_A_SECOND = 100, 10
ROUNDS = 3  # with the hundred reading, and without: one round's p99 alone changes by a tenth
OPEN_AT_ONCE = 64
SLEEP_AFTER_S = 60  # companion.open_page
WORKER = [
    "celery",
    "-A",
    "companion",
    "--quiet",
    "--skip-checks",
    "worker",
    "-Q",
    "default",
    "-c",
    "1",
    "--without-mingle",
]
TICKS = os.sysconf("SC_CLK_TCK")
WEB = ["uvicorn", "companion.asgi:application", "--ws", "websockets-sansio", "--loop", "uvloop", "--http", "httptools"]
OPTIONS = ["--ws-max-size", "2097152", "--ws-per-message-deflate", "false", "--ws-ping-interval", "50"]
OPTIONS += ["--ws-ping-timeout", "30", "--backlog", "4096", "--no-access-log"]


def figure(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 2), "unit": unit}


def _raise_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- what it stands on ----------------------------------------------------------------------------------------


def seed(count: int) -> tuple[list[dict[str, str]], list[str]]:
    """Signed-in residents with a card of their own, a warm conversation and a visit that is under way in one of the hospitals,
    turn by turn; and the hospitals' signing secrets. Invented, all of it."""
    from datetime import timedelta

    from django.core import signing
    from django.db import transaction
    from django.utils import timezone

    from benchmarks._booking_web import seed as seed_hospitals
    from companion.models import Conversation, FamilyLink, Patient, Resident, ResidentSession, Visit
    from companion.signin import SALT
    from hospitals import tenancy
    from hospitals.models import Appointment, Hospital, Slot

    secrets = seed_hospitals(residents=0, hospitals=HOSPITALS, half_days=1, capacity=30_000, sandbox=True)["secrets"]
    places = [
        (hospital, Slot.objects.get(hospital=hospital))
        for hospital in (Hospital.objects.get(code=f"h{number}") for number in range(HOSPITALS))
    ]
    made: list[dict[str, str]] = []
    now = timezone.now()
    for begin in range(0, count, 1000):
        with transaction.atomic():
            for number in range(begin, min(count, begin + 1000)):
                resident = Resident(name="林晓雨")
                resident.save(force_insert=True)
                card = {"id_number": f"990101{number:012}", "phone": "10000000001", "birth_date": "1990-01-01"}
                patient = Patient.objects.create(keeper=resident, name="林晓雨", sex="female", **card)
                FamilyLink.objects.create(resident=resident, patient=patient, relation="self", consented_at=now)
                session = ResidentSession.objects.create(resident=resident, expires_at=now + timedelta(hours=1))
                talk = Conversation.objects.create(resident=resident, patient=patient, turns_count=1)
                hospital, slot = places[number % HOSPITALS]
                at = {"hospital_id": hospital.id, "hospital_name": hospital.name, "department": "眼科"}
                visit = Visit.objects.create(resident=resident, patient=patient, start=now, **at)
                taken = {"id_number_index": patient.id.hex, "idempotency_key": patient.id.hex, "subject": patient.id}
                with tenancy.scope(hospital.id):
                    Appointment.objects.create(
                        id=visit.id, hospital=hospital, slot=slot, card={}, state="checked_in", **taken
                    )
                token = signing.dumps({"s": session.id.hex, "r": resident.id.hex}, salt=SALT, compress=False)
                ids = {"resident": str(resident.id), "patient": str(patient.id), "visit": str(visit.id)}
                made.append({"token": token, "conversation": str(talk.id), **ids})
    return made, secrets


def publish(residents: list[dict[str, str]], first: int, seconds: float) -> list[float]:
    """Queue events at an even pace, as the commit of an accepted event publishes them; when each was handed over."""
    from companion import fanout

    card = {
        "ticket": "071",
        "ahead": 0,
        "place": "7号楼1楼B区",
        "room": "眼科检查一区",
        "wait_low_min": 5,
        "wait_high_min": 9,
    }
    sent: list[float] = []
    began = time.monotonic()
    for count in range(int(EVENTS_A_SECOND * seconds)):
        time.sleep(max(0.0, began + count / EVENTS_A_SECOND - time.monotonic()))
        # a stride that visits everybody before it comes to anybody again
        who = residents[(first + count) * 7919 % len(residents)]
        number = first + count + 1
        frame = {"visit": who["visit"], "state": "queued", "card": {"kind": "queue", "data": card}, "next": []}
        changed = {"patient": who["patient"], "number": number, "say": False, "frame": frame | {"number": number}}
        sent.append(time.monotonic())
        fanout.publish(UUID(who["resident"]), {"visit": who["visit"], **changed})
    return sent


class Pages:
    """The process that holds the residents' end."""

    def __init__(self, port: int, residents: list[dict[str, str]]) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._socket_clients"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        hellos = [{name: r[name] for name in ("token", "conversation", "patient", "visit")} for r in residents]
        self._write({"port": port, "hellos": hellos})

    def _write(self, value: Any) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(value) + "\n")
        self.child.stdin.flush()

    def do(self, kind: str, **fields: Any) -> Any:
        self._write({"do": kind, **fields})
        assert self.child.stdout is not None
        return json.loads(self.child.stdout.readline())

    def close(self) -> None:
        self.child.kill()
        self.child.wait()


class Web:
    """The web process, which can be started again on the same port."""

    def __init__(self, port: int, env: dict[str, str], log: Path) -> None:
        self.port, self.env, self.log = port, env, log
        self.start()

    def start(self) -> None:
        serve = [sys.executable, "-m", *WEB, *OPTIONS, "--port", str(self.port), "--log-level", "warning"]
        with self.log.open("a") as log:
            self.child = subprocess.Popen(
                serve, cwd=ROOT, env=self.env, stdout=log, stderr=log, preexec_fn=_raise_files
            )  # noqa: PLW1509
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(self.log.read_text()[-2000:]) from None
                time.sleep(0.05)

    def stop(self) -> None:
        self.child.kill()
        self.child.wait()

    def memory_mib(self) -> float:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def serving(residents: int) -> Iterator[tuple[Web, list[dict[str, str]], list[str]]]:
    with tempfile.TemporaryDirectory(prefix="hc-bench-") as folder, database(NAME) as made:
        os.environ |= {"COMPANION_DATA_DIR": folder, "SECRET_KEY": "only-for-this-benchmark-0123456789abcdef"}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
        os.environ.pop("CELERY_BROKER_URL", None)
        os.environ |= {"REDIS_URL": f"unix://{folder}/redis.sock?db=0", "DATABASE_URL": made.service}
        from companion.embedded import RedisServer  # reads the settings

        redis = RedisServer(Path(folder) / "redis.sock", folder=Path(folder)).start()
        web = None
        try:
            migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
            subprocess.run(migrate, cwd=ROOT, env={**os.environ, "DATABASE_URL": made.owner}, check=True)
            import django

            django.setup()
            rows, secrets = seed(residents)
            web = Web(free_port(), os.environ | {"PYPINYIN_NO_PHRASES": "1"}, Path(folder) / "web.log")
            yield web, rows, secrets
        finally:
            if web is not None:
                web.stop()
            redis.stop()
            from django.db import connection

            connection.close()


# --- the figures ----------------------------------------------------------------------------------------------


def _idle(web: Web, pages: Pages, empty_mib: float) -> Iterator[dict[str, Any]]:
    cpu, began = web.cpu_s(), time.monotonic()
    time.sleep(IDLE_S)
    spent = 100 * (web.cpu_s() - cpu) / (time.monotonic() - began)
    now = pages.do("count")
    memory = web.memory_mib()
    yield figure("idle_sockets", now["open"], f"open, {sum(now['lost'].values())} dropped in {IDLE_S:.0f} s")
    yield figure("idle_sockets_memory_mib", memory, "MiB")
    yield figure("idle_socket_bytes", (memory - empty_mib) * 1024 * 1024 / max(1, now["open"]), "bytes a socket")
    yield figure("idle_sockets_cpu_percent", spent, "% of a core")


def _round(pages: Pages, rows: list[dict[str, str]], first: int, deaf: set[int]) -> tuple[list[float], int, int]:
    """(ms from handed over to seen, on another's page, not seen) of one round of events."""
    pages.do("watch")
    sent = publish(rows, first, EVENTS_S)
    time.sleep(3)
    times, wrong, seen = [], 0, set()
    for page, at, frame in pages.do("watch"):
        wrong += frame["visit"] != rows[page % len(rows)]["visit"]
        if frame["number"] > first and page % len(rows) not in deaf:
            seen.add(frame["number"])
            times.append(1000 * (at - sent[frame["number"] - first - 1]))
    owed = {first + n + 1 for n in range(len(sent)) if (first + n) * 7919 % len(rows) not in deaf}
    return sorted(times), wrong, len(owed - seen)


def _events(pages: Pages, rows: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    times, wrong, lost = _round(pages, rows, 0, set())
    yield figure("queue_event_to_socket_p50_ms", statistics.median(times), f"ms, {EVENTS_A_SECOND}/s accepted events")
    yield figure(
        "queue_event_to_socket_p99_ms", times[int(len(times) * 0.99)], f"ms, {EVENTS_A_SECOND}/s accepted events"
    )
    yield figure("queue_event_misdelivered", wrong, f"of {len(times)}")
    yield figure("queue_event_lost", lost, f"of {EVENTS_A_SECOND * EVENTS_S}")


@contextmanager
def _flood(rows: list[dict[str, str]], numbers: set[int], first: int) -> Iterator[None]:
    """These pages are sent 20 kB each, ten times a second."""
    from companion import fanout

    over = threading.Event()

    def send() -> None:
        began, piece = time.monotonic(), 0
        while not over.wait(max(0.0, began + piece / FLOOD_A_SECOND - time.monotonic())):
            piece += 1
            for number in numbers:
                who = rows[number]
                frame = {"visit": who["visit"], "state": "queued", "card": "7" * 20_000, "next": [], "number": 0}
                changed = {"patient": who["patient"], "number": first + piece, "say": False, "frame": frame}
                fanout.publish(UUID(who["resident"]), {"visit": who["visit"], **changed})

    flood = threading.Thread(target=send)
    flood.start()
    try:
        yield
    finally:
        over.set()
        flood.join()


def _never_reading(web: Web, pages: Pages, rows: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """A hundred pages are sent more than what any buffer on the way holds: first they read, then they do not."""
    deaf = set(range(DEAF))

    def p99s(first: int) -> tuple[list[float], int]:
        found, lost = [], 0
        with _flood(rows, deaf, 10 * first):
            for n in range(ROUNDS):
                times, _wrong, missing = _round(pages, rows, first + n * EVENTS_A_SECOND * EVENTS_S, deaf)
                found.append(times[int(len(times) * 0.99)])
                lost += missing
        return found, lost

    before, _lost = p99s(100_000)
    memory = web.memory_mib()
    pages.do("deaf", numbers=sorted(deaf))
    after, lost = p99s(300_000)
    reading, not_reading = statistics.median(before), statistics.median(after)
    said = f"ms for the others, of {ROUNDS} rounds; {reading:.2f} while they read"
    yield figure("never_reading_memory_mib", web.memory_mib() - memory, f"MiB more, {DEAF} pages")
    yield figure("never_reading_p99_ms", not_reading, said)
    yield figure("never_reading_p99_growth_percent", 100 * (not_reading / reading - 1), "% of the others' p99")
    yield figure("never_reading_lost", lost, "events of the others")


def _whole_way(web: Web, pages: Pages, rows: list[dict[str, str]], secrets: list[str]) -> Iterator[dict[str, Any]]:
    """From the hospitals' messages to the pages, through door, database, worker and Redis."""
    door = Web(free_port(), web.env, web.log)
    with web.log.open("a") as log:
        worker = subprocess.Popen([sys.executable, "-m", *WORKER], cwd=ROOT, env=web.env, stdout=log, stderr=log)
    try:
        boards = [
            Board(
                door.port, rows, secrets, list(range(n + 1, BATCHES_A_SECOND * EVENTS_S + 1, 4))
            )  # four lines, kept open
            for n in range(4)
        ]
        first = Board(door.port, rows, secrets, [0])  # all has been started and opened once
        first.start()
        first.join()
        time.sleep(10)
        pages.do("watch")
        cpu = {"web": web.cpu_s(), "door": door.cpu_s()}
        for board in boards:
            board.began = time.monotonic()
            board.start()
        for board in boards:
            board.join()
        time.sleep(5)
        sent: dict[str, list[float]] = {}
        for visit, at in sorted((s for board in boards for s in board.sent), key=lambda s: s[1]):
            sent.setdefault(visit, []).append(at)
        seen: dict[str, int] = {}
        times = []
        known = {visit for visit, _at in first.sent}  # these have heard one before
        for _page, at, frame in pages.do("watch"):
            nth = frame["number"] - 1 - (frame["visit"] in known)
            seen[frame["visit"]] = max(seen.get(frame["visit"], 0), nth + 1)
            times.append(1000 * (at - sent[frame["visit"]][nth]))
        count = sum(map(len, sent.values()))
        lost = sum(len(at) - seen.get(visit, 0) for visit, at in sent.items() if visit not in known)
        times.sort()
        rate = count / EVENTS_S
        yield figure("queue_door_to_socket_p50_ms", statistics.median(times), f"ms, {rate:.0f} events/s sent")
        yield figure("queue_door_to_socket_p99_ms", times[int(len(times) * 0.99)], f"ms, {rate:.0f} events/s sent")
        yield figure("queue_door_refused", sum(board.refused for board in boards), f"of {count}")
        yield figure("queue_door_lost", lost, f"of {count}")
        for name, process in (("web", web), ("door", door)):
            yield figure(f"queue_door_{name}_cpu", 1000 * (process.cpu_s() - cpu[name]) / count, "ms an event")
    finally:
        worker.kill()
        worker.wait()
        door.stop()


def figures() -> Iterator[dict[str, Any]]:
    _raise_files()
    with serving(SOCKETS) as (web, rows, secrets):
        pages = Pages(web.port, rows)
        try:
            warm = pages.do("open", first=0, count=1, at_once=1)
            empty = web.memory_mib()
            opened = pages.do("open", first=1, count=SOCKETS - warm["open"], at_once=OPEN_AT_ONCE)
            yield figure("open_all_s", opened["seconds"], f"s, {opened['open']} pages signed in")
            time.sleep(SLEEP_AFTER_S + 10)
            yield from _idle(web, pages, empty)
            yield from _events(pages, rows)
            yield from _never_reading(web, pages, rows)
            web.stop()
            web.start()
            back = pages.do("open", first=0, count=SOCKETS, at_once=OPEN_AT_ONCE, again=True)
            yield figure("reconnect_all_s", back["seconds"], f"s, {back['open']} pages back after a restart")
            yield figure("reconnect_cpu_ms", 1000 * web.cpu_s() / SOCKETS, "ms of web CPU a page, its start included")
            yield figure("reconnected_memory_mib", web.memory_mib(), "MiB")
            yield from _whole_way(web, pages, rows, secrets)
        finally:
            pages.close()
