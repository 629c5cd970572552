"""Booking under contention on PostgreSQL: a real web process over HTTP, the role of production, and the one statement.

No worker runs beside it: what is measured is what a resident waits for. ``python -m benchmarks booking``.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks._killable import free_port
from benchmarks._postgres import Database, database

NAME = "hc_bench_booking"
WEB_PROCESSES = (
    3  # each on a port of its own, connections in turn, as a proxy hands them to the containers of a service
)
CLIENTS, PLACES, ROUNDS = 200, 50, 100
RESIDENTS, HOSPITALS, HALF_DAYS = 500, 50, 40
PAST = 20  # days that each hospital has been in use
SPREAD_WAVES, SPREAD_WISHES, SPREAD_CONNECTIONS = 3, 3000, 32
STATEMENT_CONNECTIONS, STATEMENT_S = 16, 4.0


def figure(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 1), "unit": unit}


@dataclass(frozen=True)
class Web:
    """Web processes with what stands under them, and who and what was seeded."""

    ports: list[int]
    database: Database
    residents: list[list[str]]  # token, patient
    slots: list[list[str]]


@contextmanager
def web(name: str, *, processes: int = WEB_PROCESSES, **rows: int) -> Iterator[Web]:
    """Migrated by the owner, served as the service's role; everything ends and goes with the block."""
    with tempfile.TemporaryDirectory(prefix="hc-bench-") as folder, database(name) as made:
        os.environ.setdefault("COMPANION_DATA_DIR", folder)  # in a test it is the tests', and stays so
        from companion.embedded import RedisServer

        redis = RedisServer(Path(folder) / "redis.sock", folder=Path(folder)).start()
        env = {**os.environ, "REDIS_URL": redis.url, "SECRET_KEY": "only-for-this-benchmark-0123456789abcdef"}
        env["COMPANION_DATA_DIR"] = folder
        env.pop("CELERY_BROKER_URL", None)
        try:
            owner, service = {**env, "DATABASE_URL": made.owner}, {**env, "DATABASE_URL": made.service}
            _python("manage.py", "migrate", "--verbosity", "0", env=owner)
            seeded = json.loads(_python("-m", "benchmarks._booking_web", json.dumps(rows), env=service))
            with psycopg.connect(
                made.owner, autocommit=True
            ) as analyst:  # as the database does by itself where it is in use
                analyst.execute("VACUUM ANALYZE")
            with (Path(folder) / "web.log").open("w") as log, _serving(processes, service, log) as ports:
                yield Web(ports, made, seeded["residents"], seeded["slots"])
        finally:
            redis.stop()


def _python(*arguments: str, env: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


@contextmanager
def _serving(processes: int, env: dict[str, str], log: Any) -> Iterator[list[int]]:
    ports = [free_port() for _ in range(processes)]
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    options += ["--timeout-keep-alive", "75"]  # as in deploy/Dockerfile
    serve = [sys.executable, "-m", "uvicorn", "benchmarks._booking_web:application", *options]
    children = [subprocess.Popen([*serve, "--port", str(port)], env=env, stdout=log, stderr=log) for port in ports]
    try:
        deadline = time.monotonic() + 60
        for port, child in zip(ports, children, strict=True):
            while child.poll() is None and time.monotonic() < deadline and not _answers(port):
                time.sleep(0.1)
            if not _answers(port):
                raise RuntimeError("a web process did not start")
        yield ports
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(20)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def load(web: Web, waves: list[list[list[str]]], *, connections: int, together: bool) -> list[dict[str, Any]]:
    """What came back of each wave: {"answers": [[status, ms], ...], "wall_s", "cpu_s"}."""
    plan = {"host": "127.0.0.1", "ports": web.ports, "connections": connections, "waves": waves, "together": together}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._booking_load"],
        input=json.dumps(plan) + "\n",
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return [json.loads(line) for line in done.stdout.splitlines()]


def rush(web: Web, slots: list[str]) -> list[dict[str, Any]]:
    """A wave a slot: every client wants it at the same moment."""
    waves = [[[*resident, slot, f"rush-{slot}"] for resident in web.residents[:CLIENTS]] for slot in slots]
    return load(web, waves, connections=CLIENTS, together=True)


def sold(web: Web, slots: list[str]) -> dict[str, tuple[int, int]]:
    """Slot → (free, appointments) as the database has it, whoever is asked."""
    with psycopg.connect(web.database.owner) as owner:
        rows = owner.execute(
            "SELECT s.id::text, s.free, count(a.id) FROM hospitals_slot s"
            " LEFT JOIN hospitals_appointment a ON a.slot_id = s.id AND a.state = 'pending'"
            " WHERE s.id = ANY(%s) GROUP BY s.id, s.free",
            [slots],
        ).fetchall()
    return {slot: (free, count) for slot, free, count in rows}


def leave_free(web: Web, slots: list[str], free: int) -> None:
    """Set these slots' capacity so that so many places of each are free."""
    with psycopg.connect(web.database.owner) as owner:
        owner.execute(
            "UPDATE hospitals_slot s SET free = %(free)s, capacity = %(free)s + (SELECT count(*)"
            " FROM hospitals_appointment a WHERE a.slot_id = s.id AND a.state = 'pending') WHERE s.id = ANY(%(slots)s)",
            {"free": free, "slots": slots},
        )


def _contention() -> Iterator[dict[str, Any]]:
    half_days = 50
    with web(
        NAME, residents=CLIENTS, hospitals=ROUNDS // half_days, half_days=half_days, capacity=PLACES, past=PAST
    ) as served:
        slots = [slot for mine in served.slots for slot in mine]
        came = rush(served, slots)
        taken = sold(served, slots)
    times = sorted(ms for wave in came for _status, ms in wave["answers"])
    statuses = [Counter(status for status, _ms in wave["answers"]) for wave in came]
    wrong = sum(1 for seen in statuses if seen != {201: PLACES, 409: CLIENTS - PLACES})
    oversold = sum(max(0, count - PLACES) + abs(PLACES - count - free) for free, count in taken.values())
    yield figure("booking_contention_p50_ms", times[len(times) // 2], "ms")
    yield figure("booking_contention_p99_ms", times[int(len(times) * 0.99)], "ms")
    yield figure("booking_contention_oversold", oversold, "places")
    yield figure("booking_contention_5xx", sum(n for seen in statuses for s, n in seen.items() if s >= 500), "answers")
    yield figure("booking_contention_wrong_rounds", wrong, f"of {ROUNDS}")


def _spread() -> Iterator[dict[str, Any]]:
    with web(NAME, residents=RESIDENTS, hospitals=HOSPITALS, half_days=HALF_DAYS, capacity=100, past=PAST) as served:
        waves: list[list[list[str]]] = [[] for _ in range(SPREAD_WAVES)]
        for n in range(SPREAD_WAVES * SPREAD_WISHES):
            turn, resident = divmod(n, RESIDENTS)
            slot = served.slots[(resident * 7 + turn) % HOSPITALS][turn % HALF_DAYS]
            waves[n // SPREAD_WISHES].append([*served.residents[resident], slot, f"spread-{n}"])
        came = load(served, waves, connections=SPREAD_CONNECTIONS, together=False)
        statement = list(_statement(served))
    failed = sum(1 for wave in came for status, _ms in wave["answers"] if status != 201)
    best = max(came, key=lambda wave: len(wave["answers"]) / wave["wall_s"])
    times = sorted(ms for _status, ms in best["answers"])
    yield from statement
    yield figure("bookings_per_second", len(times) / best["wall_s"], f"1/s, best of {SPREAD_WAVES}")
    yield figure("bookings_p50_ms", statistics.median(times), f"ms, {SPREAD_CONNECTIONS} at once")
    yield figure("bookings_p99_ms", times[int(len(times) * 0.99)], f"ms, {SPREAD_CONNECTIONS} at once")
    yield figure("bookings_failed", failed, "answers")
    yield figure("booking_client_cpu", best["cpu_s"] / len(times) * 1e6, "µs a booking")


def _statement(served: Web) -> Iterator[dict[str, Any]]:
    """The conditional UPDATE alone, as hospitals.services.waiting.take sends it: all after one slot, and spread.

    Each connection works in one hospital's scope, without which the database would sell nothing.
    """
    with psycopg.connect(served.database.owner, autocommit=True) as owner:
        owner.execute("UPDATE hospitals_slot SET capacity = 32767, free = 32767")
        whose = dict(owner.execute("SELECT id::text, hospital_id::text FROM hospitals_slot").fetchall())
    one, spread = [served.slots[0][:1]], served.slots
    for name, hospitals in (("booking_statement_per_second", one), ("booking_statement_spread_per_second", spread)):
        counts = [0] * STATEMENT_CONNECTIONS
        until = time.monotonic() + STATEMENT_S

        def sell(
            mine: int, until: float = until, counts: list[int] = counts, hospitals: list[list[str]] = hospitals
        ) -> None:
            wanted = hospitals[mine % len(hospitals)]
            with psycopg.connect(served.database.service, autocommit=True) as link, link.cursor() as cursor:
                cursor.execute("SELECT set_config('companion.hospital', %s, false)", [whose[wanted[0]]])
                while time.monotonic() < until:
                    cursor.execute(
                        "UPDATE hospitals_slot SET free = free - 1 WHERE free > 0 AND id = %s AND NOT stopped",
                        [wanted[(mine * 7919 + counts[mine]) % len(wanted)]],
                        prepare=True,
                    )
                    counts[mine] += cursor.rowcount

        threads = [threading.Thread(target=sell, args=(n,)) for n in range(STATEMENT_CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield figure(name, sum(counts) / STATEMENT_S, f"1/s, {STATEMENT_CONNECTIONS} connections")


def figures() -> Iterator[dict[str, Any]]:
    yield from _contention()
    yield from _spread()
