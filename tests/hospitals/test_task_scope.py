"""Celery tasks begin and end without a scope: in a worker's one process, in its threads, whatever the task before left."""

import queue
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.signals import task_postrun
from django.conf import settings

from hospitals import tenancy

A, B = uuid.uuid4(), uuid.uuid4()
WITHIN_S = 20


def seen() -> uuid.UUID | None:
    scope = tenancy.active()
    return scope.hospital_id if scope else None


class Tasks:
    """An application of its own on the tests' broker; what its tasks saw comes by ``found``."""

    def __init__(self) -> None:
        self.found: queue.Queue[tuple[int, uuid.UUID | None]] = queue.Queue()
        self.ended: queue.Queue[uuid.UUID | None] = queue.Queue()
        self.both = threading.Barrier(2)
        self.app = Celery("scopes", broker=settings.CELERY_BROKER_URL, set_as_current=False)
        self.app.conf.update(task_default_queue=f"scopes-{uuid.uuid4().hex}", task_ignore_result=True)
        self.app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS

        def forgetful(hospital: str) -> None:
            """It leaves its scope behind."""
            self.found.put((threading.get_ident(), seen()))
            tenancy._current.set(tenancy.Scope(uuid.UUID(hospital)))

        def failing(hospital: str) -> None:
            forgetful(hospital)
            raise LookupError

        def together(hospital: str) -> None:
            """Two at once, each in its own scope."""
            with tenancy.scope(hospital):
                self.both.wait(WITHIN_S)
                self.found.put((threading.get_ident(), seen()))

        # not shared: no other application hears of them
        self.forgetful, self.failing, self.together = (
            self.app.task(work, name=f"{id(self)}.{work.__name__}", shared=False)
            for work in (forgetful, failing, together)
        )
        task_postrun.connect(self._ended)  # after the hospitals' own receiver

    def _ended(self, **_given: Any) -> None:
        self.ended.put(seen())

    def saw(self, count: int) -> list[tuple[int, uuid.UUID | None]]:
        return [self.found.get(timeout=WITHIN_S) for _ in range(count)]


@pytest.fixture
def tasks() -> Iterator[Tasks]:
    made = Tasks()
    yield made
    task_postrun.disconnect(made._ended)


@pytest.mark.parametrize(("pool", "threads"), [("solo", 1), ("threads", 2)])
def test_no_task_finds_what_the_one_before_left(tasks: Tasks, pool: str, threads: int) -> None:
    with start_worker(tasks.app, pool=pool, concurrency=threads, perform_ping_check=False, shutdown_timeout=WITHIN_S):
        for number in range(6):
            (tasks.failing if number % 2 else tasks.forgetful).delay(str(A))
        found = tasks.saw(6)
        ended = [tasks.ended.get(timeout=WITHIN_S) for _ in range(6)]
    assert len({thread for thread, _scope in found}) < len(found)  # some were the second in their thread
    assert [scope for _thread, scope in found] == ended == [None] * 6


def test_two_at_once_keep_their_own_scope(tasks: Tasks) -> None:
    with start_worker(tasks.app, pool="threads", concurrency=2, perform_ping_check=False, shutdown_timeout=WITHIN_S):
        for hospital in (A, B):
            tasks.together.delay(str(hospital))
        found = tasks.saw(2)
    assert {scope for _thread, scope in found} == {A, B}
    assert len({thread for thread, _scope in found}) == 2


def test_a_task_run_in_place_begins_without_one_and_gives_the_caller_hers_back(tasks: Tasks) -> None:
    with tenancy.scope(B):
        tasks.forgetful.apply(args=(str(A),))
        assert tasks.saw(1)[0][1] is None and seen() == B
        tasks.failing.apply(args=(str(A),))
        assert seen() == B
    assert seen() is None
