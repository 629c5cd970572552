"""A hospital that goes live while it still rehearses: whoever comes second waits for the hospital, and for nothing before it."""

import pytest
from django.core.cache import cache
from django.db import OperationalError, transaction

from hospitals import tenancy
from hospitals.models import ConformanceRun, Hospital
from hospitals.services import conformance, rehearsal
from tests.embedded import ON_SERVICES
from tests.hospitals.elsewhere import elsewhere
from tests.hospitals.joining import OFFICER, Joined, fill, joined

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def river() -> Joined:
    cache.clear()
    made = joined("river")
    fill(made)
    return made


def test_nobody_begins_to_rehearse_while_the_hospital_goes_live(river: Joined) -> None:
    with tenancy.scope(river.hospital_id), transaction.atomic():
        Hospital.objects.select_for_update(no_key=True).get(id=river.hospital_id)
        with pytest.raises(OperationalError):
            elsewhere(river.hospital_id, lambda: rehearsal.create(hospital_id=river.hospital_id, actor=OFFICER))


def test_a_run_is_not_held_by_who_waits_for_its_hospital(river: Joined) -> None:
    """Else it would be a deadlock: who goes live holds the hospital and ends the run."""
    with tenancy.scope(river.hospital_id):
        run = conformance.start(hospital_id=river.hospital_id, actor=OFFICER)
        with transaction.atomic():
            Hospital.objects.select_for_update(no_key=True).get(id=river.hospital_id)
            with pytest.raises(OperationalError):
                elsewhere(
                    river.hospital_id,
                    lambda: conformance.abort(hospital_id=river.hospital_id, run_id=run.id, actor=OFFICER),
                )
        assert ConformanceRun.objects.get(id=run.id).finished_at is None
