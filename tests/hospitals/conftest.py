"""What the hospitals' tests share."""

from collections.abc import Iterator

import pytest

from hospitals import vault


@pytest.fixture(autouse=True)
def no_remembered_keys() -> Iterator[None]:
    """A key opened in one test must not serve rows of another test's database."""
    vault.forget()
    yield
    vault.forget()
