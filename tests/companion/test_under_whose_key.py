"""Whose key a row is under is looked up owner by owner when everybody's keys are changed: by an index, or it would never end."""

from uuid import uuid4

import pytest
from django.db import connection, models, transaction

from companion.models import Turn, TurnReview, VisitEvent
from hospitals.services import rotation

pytestmark = pytest.mark.django_db
# Those of everybody's rows that no foreign key leads to.
INDEXES = {Turn: "turn_under_whose_key", TurnReview: "review_under_whose_key", VisitEvent: "event_under_whose_key"}


def test_these_are_found_by_whose_key_they_are_under() -> None:
    looked_up = {model: attribute for model, attribute, _fields in rotation.encrypted("resident")}
    assert {looked_up[model] for model in INDEXES} == {"resident_id"}


@pytest.mark.services
@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's plans")
@pytest.mark.parametrize("after", [None, uuid4()], ids=["first", "next"])
@pytest.mark.parametrize("model", INDEXES, ids=lambda model: model.__name__)
def test_an_owner_s_rows_are_found_by_an_index(model: type[models.Model], after: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # so few rows would be read through
        plan = rotation.page_of(model, "resident_id", str(uuid4()), after, 200).explain()
    assert INDEXES[model] in plan
    assert "Index Cond: (resident_id = " in plan or "Index Cond: ((resident_id = " in plan
