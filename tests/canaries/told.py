"""What a hospital tells, of every type there is, with canaries in each word of it: made from the contract's own classes."""

import types
from dataclasses import fields, is_dataclass, replace
from datetime import date, datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

from hospitals.connectors import codec
from hospitals.connectors.base import EventType, Invoice, QueuePosition
from tests.canaries.words import ALL
from tests.hospitals.clinics import NOW

# Values that are chosen from a list, and ids: the hospital's own, by which one event points at another.
CHOSEN = {"kind": "laboratory", "interpretation": "A"}
IDS = ("id", "invoice_id", "examination_id", "room_code", "pickup_room_code", "code", "ticket", "now_serving")


def _value(name: str, kind: Any, ids: str) -> Any:
    if name in CHOSEN:
        return CHOSEN[name]
    if get_origin(kind) in (Union, types.UnionType):
        return None
    if get_origin(kind) is tuple:
        return (_value(name, get_args(kind)[0], ids),)
    if is_dataclass(kind):
        return full(kind, ids)
    plain = {str: ids if name in IDS else ALL, int: 1, bool: False, float: 1.0, datetime: NOW, date: NOW.date()}
    return plain[kind]


def full(kind: Any, ids: str = "a1") -> Any:
    """One of these with a canary in every word. ``ids``: what stands where an id is asked for."""
    hints = get_type_hints(kind)
    made = kind(**{field.name: _value(field.name, hints[field.name], ids) for field in fields(kind)})
    if isinstance(made, Invoice):
        made = replace(made, total_fen=1, insurance_fen=0, self_pay_fen=1)
    if isinstance(made, QueuePosition):
        made = replace(made, wait_low_min=1, wait_high_min=2)
    return made


def data(kind: EventType, ids: str = "a1") -> Any:
    return full(codec.DATA[kind], ids) if kind in codec.DATA else None
