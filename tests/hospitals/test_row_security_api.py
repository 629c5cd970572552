"""The same matrix of foreign calls with the ORM's scope taken away: the database alone keeps the other hospital's rows.

Directory rows are everybody's to read; that the API shows a hospital its own only is said by its services, as before.
"""

import pytest
from django.db import connection

from hospitals import tenancy
from hospitals.models import Appointment
from tests.hospitals.joining import Joined
from tests.hospitals.tenant_rows import without_the_orm_s_scope
from tests.hospitals.test_api_tenants import (
    OWN,
    everything_of,
    foreign_answers,
    ids,
    nothing_told_of,
    own_call,
    river,
    spy,
)
from tests.obedient import as_owner

__all__ = ["ids", "river", "spy"]  # fixtures
pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="row-level security is PostgreSQL's"),
]


@pytest.fixture
def only_the_database(ids: dict[str, str], spy: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    without_the_orm_s_scope(monkeypatch)


def all_rows(hospital: Joined) -> str:
    with as_owner():
        return everything_of(hospital)


def test_the_orm_s_scope_is_really_away(river: Joined, spy: Joined, only_the_database: None) -> None:
    with as_owner(), tenancy.scope(spy.hospital_id):
        assert Appointment.objects.filter(hospital_id=river.hospital_id).exists()
    with tenancy.scope(spy.hospital_id):
        assert not Appointment.objects.exists()


def test_a_foreign_id_is_403_or_404_by_the_database_alone(
    river: Joined, spy: Joined, ids: dict[str, str], only_the_database: None
) -> None:
    before = all_rows(river)
    tried = 0
    for method, path, answer in foreign_answers(spy, ids):
        makes_its_own = method == "PUT" and path.startswith("/directory/") and not path.endswith("/fee/")
        assert answer.status_code in ((201, 400) if makes_its_own else (403, 404)), (method, path, answer.status_code)
        assert nothing_told_of(river, answer), (method, path)
        tried += 1
    assert tried >= 30 and all_rows(river) == before


def test_what_names_no_row_stays_the_callers_own(river: Joined, spy: Joined, only_the_database: None) -> None:
    before = all_rows(river)
    for method, path in sorted(OWN):
        answer = own_call(river, spy, method, path)
        assert answer.status_code < 500 and nothing_told_of(river, answer), (method, path)
        if method == "GET" and path.startswith("/directory/") and "items" in answer.json():
            assert answer.json()["items"] == []
    assert all_rows(river) == before
