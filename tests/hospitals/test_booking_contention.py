"""Everybody after the same places at the same moment, through real web processes on PostgreSQL: each is sold once."""

from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks import booking
from benchmarks.booking import Web
from tests.embedded import ON_SERVICES

pytestmark = [pytest.mark.services, pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL")]
CLIENTS, PLACES = 200, 50


@pytest.fixture(scope="module")
def served() -> Iterator[Web]:
    """One hospital: a half day of fifty places, and fifty half days."""
    with booking.web("hc_test_booking", residents=CLIENTS, hospitals=1, half_days=51, capacity=PLACES) as made:
        yield made


def test_two_hundred_after_one_half_day_of_fifty_places(served: Web) -> None:
    slot = served.slots[0][0]
    (wave,) = booking.rush(served, [slot])
    assert Counter(status for status, _ms in wave["answers"]) == {201: PLACES, 409: CLIENTS - PLACES}
    assert booking.sold(served, [slot]) == {slot: (0, PLACES)}


def test_two_hundred_after_fifty_slots_of_one_place(served: Web) -> None:
    slots = served.slots[0][1:]
    booking.leave_free(served, slots, 1)
    wishes = [[*resident, slots[n % PLACES], f"k-{n}"] for n, resident in enumerate(served.residents)]
    (wave,) = booking.load(served, [wishes], connections=CLIENTS, together=True)
    assert Counter(status for status, _ms in wave["answers"]) == {201: PLACES, 409: CLIENTS - PLACES}
    assert booking.sold(served, slots) == dict.fromkeys(slots, (0, 1))


def test_the_same_request_sent_ten_times_at_once_books_once(served: Web) -> None:
    slot = served.slots[0][1]
    booking.leave_free(served, [slot], 10)
    before = booking.sold(served, [slot])[slot]
    wishes = [[*served.residents[7], slot, "again"]] * 10
    (wave,) = booking.load(served, [wishes], connections=10, together=True)
    free, sold = booking.sold(served, [slot])[slot]
    assert {status for status, _ms in wave["answers"]} == {201}
    assert (before[0] - free, sold - before[1]) == (1, 1)
