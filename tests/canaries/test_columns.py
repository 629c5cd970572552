"""Every column that holds text in clear is known, with the reason why nobody's words get there."""

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection

from tests.canaries import clear
from tests.canaries.places import Watch, in_redis
from tests.canaries.words import ALL, CANARIES, PHONE, forms, found_in


def test_each_column_in_clear_has_its_reason() -> None:
    known = [clear.columns(kind) for kind in clear.KINDS]
    assert clear.of_the_models() == set().union(*known)
    assert sum(map(len, known)) == len(set().union(*known)), "one reason each"


def test_every_form_is_found() -> None:
    for name, canary in CANARIES.items():
        assert len(forms(canary)) > 10
        assert [form for form in forms(canary) if name not in found_in(b"..." + form + b"...")] == []


def test_the_watch_sees_what_is_there(watch: Watch) -> None:
    cache.set("canary", ALL)
    User.objects.create(username="canary", first_name=PHONE)
    print(PHONE)
    watch.sent.append(("task", [PHONE], {}))
    watch.answers["one"] = PHONE.encode()
    assert found_in(in_redis()) == list(CANARIES)
    places = {"Redis", "standard output", "tasks", "answer: one", "auth_user.first_name"}
    assert watch.found().keys() == places
    cache.delete("canary")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's files are ours to read")
def test_a_deleted_row_is_not_gone_from_the_files(watch: Watch) -> None:
    User.objects.create(username="canary", first_name=ALL).delete()
    assert watch.found() == {"database files": list(CANARIES)}
