"""What a skill may ask of the outside world, a module each for booking, the encounter, wayfinding, people and help.

The values are frozen and carry the same names as the cards of companion.events, so that a card is ``as_card(value)``
and a value can be made from a card's data with ``pydantic.TypeAdapter(QueueView).validate_python(data)``. Money is
integer fen; ``start`` fields are aware datetimes, other times ISO strings.

Errors of the port are ``companion.exceptions.CompanionError``; ``booking.SlotTaken`` is the one that skills treat apart,
of all others they say the ``detail``.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from typing import Any


def as_card(value: Any) -> Any:
    """The value as JSON: dataclasses become dicts, tuples lists, dates and datetimes ISO strings, these with their offset."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_card(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: as_card(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_card(item) for item in value]
    return value
