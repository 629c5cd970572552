"""A watch over every place, from before a test's first request."""

from collections.abc import Iterator

import pytest

from tests.canaries import places


@pytest.fixture()
def watch(transactional_db: None, capfd: pytest.CaptureFixture[str]) -> Iterator[places.Watch]:
    places.tidy()
    with places.logs() as logs, places.sent() as sent:
        yield places.Watch(logs, sent, capfd)
