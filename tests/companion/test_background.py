"""Work off the loop: with the caller's context, and without leaving a connection with the thread."""

from typing import Any

import pytest
from django.db import connection

from companion import background
from companion.background import in_thread
from hospitals import tenancy
from tests.hospitals.clinics import a_clinic

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]


async def test_the_caller_s_scope_goes_along_and_what_is_set_there_stays_there() -> None:
    hospital = (await in_thread(a_clinic)).hospital.id

    def leaves_one_open() -> Any:
        seen = tenancy.current()
        tenancy.scope(seen).__enter__()
        return seen

    with tenancy.scope(hospital):
        assert await in_thread(leaves_one_open) == hospital
    assert tenancy.active() is None


async def test_what_is_raised_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


async def test_no_connection_stays_with_a_thread(settings: Any) -> None:
    def used() -> Any:
        connection.ensure_connection()
        return connection

    mine = await in_thread(used)
    assert mine.settings_dict["CONN_MAX_AGE"] == 0
    assert mine.connection is None


async def test_more_than_there_are_threads_take_turns() -> None:
    many = [in_thread(lambda n=n: n) for n in range(background.THREADS * 3)]
    assert [await one for one in many] == list(range(background.THREADS * 3))
