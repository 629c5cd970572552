"""Many who record at the same moment, where nothing has been recorded before: one key, one birth a chain, and every row."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest
from django.db import connection, transaction

from hospitals import audit, compiled
from hospitals.audit import heads, proof
from hospitals.audit.chain import BORN, COMMISSION
from hospitals.models import AuditEvent, DataKey
from tests.embedded import ON_SERVICES

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]
AT_ONCE, EACH = 8, 5
HOSPITALS = [UUID(int=n) for n in range(1, 4)]


def test_chains_that_many_begin_at_once_are_born_once_and_hold() -> None:
    together = Barrier(AT_ONCE)

    def work(number: int) -> None:
        try:
            together.wait()
            for turn in range(EACH):
                with transaction.atomic():
                    audit.ready()
                    with compiled.in_one_go():  # as a booking does
                        audit.record("x", hospital_id=HOSPITALS[(number + turn) % len(HOSPITALS)])
                audit.record("report")
                if turn == 2:
                    heads.send()
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, range(AT_ONCE)))
    assert list(proof.whole()) == []
    assert DataKey.objects.filter(owner_kind="audit").count() == 1
    seen = AuditEvent.objects.values_list("action", "entity_id")
    assert Counter(action for action, _entity in seen)["x"] == AT_ONCE * EACH
    births = Counter(entity for action, entity in seen if action == BORN)
    assert births == {COMMISSION: 1, **{str(hospital): 1 for hospital in HOSPITALS}}
