"""A session over a real Redis, without a broker behind it."""

from uuid import uuid4

import pytest

from avatar import dispatch, streams
from tests.avatar.speaking import Clock


@pytest.fixture
async def tasks(monkeypatch):
    """The tasks that were sent: (index, attempt), instead of a broker."""
    sent = []
    monkeypatch.setattr(dispatch, "_send", lambda u, attempt: sent.append((u.index, attempt)))
    yield sent
    await streams.close()


@pytest.fixture
def session():
    return uuid4().hex


@pytest.fixture
def clock():
    return Clock()
