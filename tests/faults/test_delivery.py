"""Workers are killed and connections cut while a hospital's system misbehaves: nothing said is lost, nothing is done twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from companion.models import VisitEvent
from hospitals import tenancy
from hospitals.connectors import push
from hospitals.connectors.base import CommandKind
from hospitals.models import Appointment, InboxEvent, OutboxCommand
from hospitals.services import outbox
from tests.embedded import ON_SERVICES
from tests.faults.his import FaultyHis
from tests.hospitals.clinics import a_clinic
from tests.hospitals.test_inbox_order import VISITS, OneVisit, clean

SEED, SECONDS = int(os.environ.get("FAULTS_SEED", "1")), float(os.environ.get("FAULTS_DELIVERY_S", "20"))
WORKERS, PEOPLE, HEALED_WITHIN_S = 2, 6, 40.0
APPLICATION = f"hc-faults-{os.getpid()}"
ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


class Worker:
    """Started again whenever it was killed."""

    def __init__(self, connectors: str, log: Path) -> None:
        self._command = [sys.executable, "-m", "tests.faults.worker", connectors]
        self._log, self._environment = log, os.environ | {"DATABASE_URL": address(), "PGAPPNAME": APPLICATION}
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def address() -> str:
    chosen = connection.settings_dict
    who = f"{chosen['USER']}:{chosen['PASSWORD']}" if chosen["PASSWORD"] else chosen["USER"]
    return f"postgres://{who}@{chosen['HOST']}:{chosen['PORT']}/{chosen['NAME']}"


def cut_connection(dice: random.Random) -> int:
    """pg_terminate_backend on one of the workers' connections, which they name; nobody else's is touched."""
    with psycopg.connect(address(), autocommit=True) as link:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY pid"
        if found := link.execute(query, [APPLICATION]).fetchall():
            link.execute("SELECT pg_terminate_backend(%s)", [dice.choice(found)[0]])
        return bool(found)


@pytest.fixture()
def his(tmp_path: Path) -> Iterator[FaultyHis]:
    system = FaultyHis(SEED, tmp_path / "calls.jsonl")
    yield system
    system.close()


def until(over: Callable[[], Any]) -> None:
    end = time.monotonic() + HEALED_WITHIN_S
    while not over() and time.monotonic() < end:
        time.sleep(0.2)


def test_what_she_did_and_what_the_hospital_told_survive_kills_on_both_ways(his: FaultyHis, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    expected = clean(a_clinic("river"), VISITS["the whole visit"])
    clinic = a_clinic("lake", connector="faulty")
    secret = tmp_path / "secret"
    secret.write_text(push.new_secret())
    options = {
        "url": f"http://127.0.0.1:{his.port}/",
        "secret_file": str(secret),
        "networks": ["127.0.0.1/32"],
        "plain_hosts": ["127.0.0.1"],
    }
    connectors = json.dumps({"faulty": {"BACKEND": "webhook", "OPTIONS": options}})
    people = [OneVisit(clinic, VISITS["the whole visit"]) for _ in range(PEOPLE)]
    with tenancy.scope(clinic.hospital.id):
        for one in people:
            row = Appointment.objects.get(id=one.visit.id)
            outbox.put(row, CommandKind.CHECK_IN, key=f"check-in:{row.id}")
            outbox.put(row, CommandKind.PAY, key=f"pay:{row.id}", data={"invoice_id": "i1"})
    workers = [Worker(connectors, tmp_path / f"worker{n}.log") for n in range(WORKERS)]
    kills = cuts = 0
    told = [(one, number) for one in people for number in range(len(one.events))]
    dice.shuffle(told)
    try:
        until(lambda: his.moods)  # they are at work
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for one, number in told[:4]:
                one.store(number)
            del told[:4]
            time.sleep(dice.uniform(0.2, 1.5))
            if dice.random() < 0.15:  # rarely: one needs a few seconds to be at work again
                victim = dice.choice(workers)
                victim.kill()
                victim.start()
                kills += 1
            else:
                cuts += cut_connection(dice)
        for one, number in told:
            one.store(number)
        his.heal()
        with tenancy.scope(clinic.hospital.id):
            waiting = OutboxCommand.objects.filter(state=OutboxCommand.State.WAITING)
            received = InboxEvent.objects.filter(state=InboxEvent.State.RECEIVED)
            until(lambda: not waiting.exists() and not received.exists())
    finally:
        for worker in workers:
            worker.kill()
    assert kills and cuts and len(his.moods) > 2, "there were faults"
    with tenancy.scope(clinic.hospital.id):
        commands = list(OutboxCommand.objects.all())
        assert {command.state for command in commands} == {OutboxCommand.State.ACCEPTED}
    keys = {command.idempotency_key for command in commands}
    assert his.acknowledged <= keys == set(his.acted) and set(his.acted.values()) == {1}
    for one in people:
        kinds = [kind for appointment, kind in his.order if appointment == str(one.visit.id)]
        assert kinds == [CommandKind.BOOK, CommandKind.CHECK_IN, CommandKind.PAY]
        assert one.outcome() == expected
        assert VisitEvent.objects.filter(visit=one.visit, key__in=[e.event_id for e in one.events]).count() == len(
            one.events
        )
    print(json.dumps({"kills": kills, "cuts": cuts, "calls": dict(his.moods), "commands": len(commands)}))
