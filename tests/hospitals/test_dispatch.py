"""A task is sent after the commit; a broker that is away or full keeps nobody waiting, and the deed stands."""

from typing import Any
from unittest.mock import Mock

import pytest
from django.db import transaction
from kombu.exceptions import OperationalError

from hospitals import dispatch

TASK = "hospitals.tasks.deliver_command"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture()
def broker(monkeypatch: pytest.MonkeyPatch) -> Mock:
    task = Mock()
    monkeypatch.setattr(dispatch, "import_string", lambda name: task)
    monkeypatch.setattr(dispatch, "_left_alone_until", 0.0)
    sent: Mock = task.apply_async
    return sent


def test_it_is_sent_once_the_deed_is_committed_and_not_where_it_was_not(broker: Mock) -> None:
    with transaction.atomic():
        dispatch.after_commit(TASK, "a")
        assert broker.call_count == 0
    assert broker.call_args.kwargs["args"] == ("a",)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        dispatch.after_commit(TASK, "b")
        raise ZeroDivisionError
    assert broker.call_count == 1


def test_a_confirmation_is_not_waited_for_without_end(broker: Mock) -> None:
    dispatch.after_commit(TASK, "a")
    assert broker.call_args.kwargs["confirm_timeout"] == broker.call_args.kwargs["timeout"] == 2.0


@pytest.mark.parametrize("fault", [OperationalError(), TimeoutError(), ConnectionResetError()])
def test_a_broker_that_does_not_take_it_is_left_alone_for_a_while(
    broker: Mock, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    now = 100.0
    clock: Any = Mock(monotonic=lambda: now)
    monkeypatch.setattr(dispatch, "time", clock)
    broker.side_effect = fault
    for _ in range(3):
        dispatch.after_commit(TASK, "a")  # nobody hears of it: the sweeps find the work
    assert broker.call_count == 1
    now += dispatch.LEFT_ALONE_S
    broker.side_effect = None
    dispatch.after_commit(TASK, "a")
    dispatch.after_commit(TASK, "b")
    assert broker.call_count == 3
