"""Every value of every row of every model that this service has, opened where it can be: what a copy of the database tells.

As a program, ``walking KEYS``: another machine has loaded an old dump and puts today's table of keys in the place of the dump's;
it prints all that it can read as JSON.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def rows() -> Iterator[Any]:
    from django.apps import apps
    from django.db import models

    from tests.obedient import as_owner

    for model in apps.get_models():
        if model._meta.managed and not model.__module__.startswith("tests."):
            with as_owner():
                found = list(models.QuerySet(model).order_by("pk"))  # without a scope, as somebody with the file
            yield from found


def sealed(row: Any) -> list[tuple[Any, Any]]:
    """(column, value) of the encrypted ones."""
    from hospitals.vault import EncryptedField

    found = [(f, row.__dict__[f.attname]) for f in row._meta.concrete_fields if isinstance(f, EncryptedField)]
    return [(field, value) for field, value in found if value is not None]


def opened(row: Any) -> dict[str, str]:
    """Column → what stands there, of those that open."""
    from hospitals.exceptions import HospitalsError

    told = {}
    for field, value in sealed(row):
        try:
            told[field.name] = json.dumps(field.open(row, value), ensure_ascii=False)
        except HospitalsError:
            continue
    return told


def clear(row: Any) -> dict[str, str]:
    """Column → what stands there in clear."""
    hidden = {field.name for field, _value in sealed(row)}
    return {f.name: str(row.__dict__[f.attname]) for f in row._meta.concrete_fields if f.name not in hidden}


def told() -> list[str]:
    """``table.column: value`` of all that can be read."""
    return [
        f"{row._meta.db_table}.{name}: {value}"
        for row in rows()
        for name, value in {**clear(row), **opened(row)}.items()
    ]


def main(keys: Path) -> None:
    import django

    django.setup()
    from django.core import serializers

    from hospitals.models import DataKey

    DataKey.objects.all().delete()
    for key in serializers.deserialize("json", keys.read_text()):
        key.save()
    sys.stdout.write(json.dumps(told()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
