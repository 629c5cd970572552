"""Every encrypted column of every model: a ciphertext that was moved to another row, column, owner or table does not open."""

from contextlib import suppress
from typing import Any

import pytest
from django.db import IntegrityError, models, transaction

from companion.models import Resident
from hospitals import vault
from hospitals.exceptions import CiphertextInvalid
from tests.hospitals import sealed_rows
from tests.hospitals.appointments import an_appointment
from tests.hospitals.sealed_rows import a_row, opened, put, raw, sealed

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
Row = Any


def owners(code: str) -> tuple[Any, Any]:
    return Resident.objects.create(name="x", phone="1"), an_appointment("push", code)


def test_every_model_has_a_maker() -> None:
    makers = sealed_rows.OF_RESIDENTS.keys() | sealed_rows.OF_HOSPITALS.keys()
    assert sealed().keys() <= makers and len(sealed()) >= 15


def test_a_ciphertext_opens_nowhere_else() -> None:
    """Each one, put into every other column under the same kind of key: of its row, its table, its owner, and others'."""
    mine, theirs = owners("one"), owners("two")
    rows: dict[type[models.Model], list[Row]] = {}
    for model in sealed():
        rows[model] = [a_row(model, *mine), a_row(model, *theirs)]
        with suppress(IntegrityError), transaction.atomic():  # where an owner may have two
            rows[model].append(a_row(model, *mine))
    stored = {
        (model, field): [(row, raw(row, field)) for row in rows[model]]
        for model, fields in sealed().items()
        for field in fields
    }
    tried = 0
    for (model, field), places in stored.items():
        here, own = places[0]
        words = opened(here, field)
        for (_model, other), found in stored.items():
            if other.owner[0] != field.owner[0]:
                continue
            for row, foreign in found:
                if row.pk == here.pk and other is field:
                    continue
                put(here, field, foreign)
                vault.forget()
                with pytest.raises(CiphertextInvalid):
                    opened(here, field)
                tried += 1
        put(here, field, own)
        assert opened(here, field) == words, (model, field)
    assert tried > 20 * len(stored)
