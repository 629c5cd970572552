"""How many calls of one process are under way to one hospital, also when they are its first."""

import threading
from collections.abc import Callable
from uuid import uuid4

import pytest

from hospitals.exceptions import Crowded
from hospitals.services import circuit


def test_first_calls_at_the_same_moment_share_the_hospital_s_places(monkeypatch: pytest.MonkeyPatch) -> None:
    hospital, callers = uuid4(), circuit.AT_ONCE + 1
    together, done = threading.Barrier(callers), threading.Barrier(callers)
    semaphore: Callable[[int], threading.BoundedSemaphore] = threading.BoundedSemaphore
    turned_away: list[Crowded] = []

    def made_at_once(places: int) -> threading.BoundedSemaphore:
        together.wait(10)  # nobody has put one there yet
        return semaphore(places)

    def call() -> None:
        try:
            with circuit.place(hospital):
                done.wait(10)
        except Crowded as error:
            turned_away.append(error)
            done.wait(10)

    monkeypatch.setattr(circuit.threading, "BoundedSemaphore", made_at_once)
    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turned_away) == 1
