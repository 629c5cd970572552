"""Rows of a hospital's directory as it writes them itself, in its own scope: on PostgreSQL nobody else can."""

from typing import Any, TypeVar

from django.db.models import Model

from hospitals import tenancy
from hospitals.models import Hospital

M = TypeVar("M", bound=Model)


def a_hospital(**values: Any) -> Hospital:
    row = Hospital(**values)
    with tenancy.scope(row.id):
        row.save(force_insert=True)
    return row


def make(model: type[M], *, hospital: Hospital, **values: Any) -> M:
    with tenancy.scope(hospital.id):
        return model.objects.create(hospital=hospital, **values)


def change(model: type[Model], pk: Any, **values: Any) -> None:
    """These columns of this one row."""
    row = model.objects.get(pk=pk)
    with tenancy.scope(row.pk if isinstance(row, Hospital) else row.hospital_id):
        assert model.objects.filter(pk=pk).update(**values) == 1
