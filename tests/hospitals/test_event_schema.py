"""The document's events are those that the door takes: whatever fits the schema is read, and what the codec refuses does not fit."""

import json
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hospitals.connectors import codec, event_schema
from hospitals.connectors.base import EventType
from hospitals.exceptions import BadEvent

FITS = jsonschema_rs.validator_for(event_schema.schema("#/$defs/{model}"), validate_formats=True)
HOSPITAL = UUID(int=1)
LINE = {"name": "检查费", "amount_fen": 300}
INVOICE = {"id": "I1", "title": "检查", "lines": [LINE], "total_fen": 300, "insurance_fen": 100, "self_pay_fen": 200}
PLACE = {"room_code": "R1", "room_name": "眼科", "place": "1楼"}
QUEUE = {"ticket": "7", "ahead": 2, "now_serving": "5", **PLACE, "as_of": "2026-11-23T09:00:00+08:00"}
DATA: dict[str, dict[str, Any]] = {
    "Reason": {"text": "停诊"},
    "Reference": {"id": "I1"},
    "QueuePosition": QUEUE,
    "MissedCall": {"rule": "过号顺延", "requeue_after": 3},
    "Invoice": INVOICE,
    "Examination": {"id": "E1", "name": "眼底照相", "kind": "imaging", **PLACE},
    "DiagnosticReport": {
        "id": "R1",
        "name": "血常规",
        "issued_at": "2026-11-23T09:00:00+08:00",
        "observations": [{"code": "718-7", "name": "血红蛋白", "value": "131", "interpretation": "N"}],
    },
    "Prescription": {"id": "P1", "items": [{"id": "M1", "medicine": "滴眼液", "dosage": "每次1滴"}]},
    "FollowUp": {"due_on": "2026-12-23", "department": "眼科"},
}


def event(kind: EventType, /, **changes: Any) -> dict[str, Any]:
    known = codec.DATA.get(kind)
    data = DATA[known.__name__] | changes if known else None
    body = {"event_id": "e-1", "type": kind.value, "appointment_id": "a-1", "sequence": 1, "data": data}
    return body | {"occurred_at": "2026-11-23T09:00:00+08:00"}


def read(body: dict[str, Any]) -> bool:
    try:
        codec.parse_event(HOSPITAL, json.dumps(body).encode())
    except BadEvent:
        return False
    return True


@pytest.mark.parametrize("kind", EventType)
def test_every_kind_of_event_fits_and_is_read(kind: EventType) -> None:
    assert read(event(kind)) and FITS.is_valid(event(kind))


@given(st.uuids(), st.sets(st.integers(0, 35)), st.booleans(), st.sampled_from(["", "urn:uuid:"]))
def test_an_appointment_s_id_is_read_in_one_spelling(key: UUID, capitals: set[int], dashes: bool, before: str) -> None:
    spelt = "".join(c.upper() if n in capitals else c for n, c in enumerate(str(key)))
    body = event(EventType.VISIT_CLOSED) | {"appointment_id": before + (spelt if dashes else spelt.replace("-", ""))}
    found = codec.parse_event(HOSPITAL, json.dumps(body).encode())
    assert found.appointment_id == str(key) and codec.parse_event(HOSPITAL, codec.dump_event(found)) == found


WRONG = [
    (EventType.QUEUE_CHANGED, {"ahead": -1}),
    (EventType.QUEUE_CHANGED, {"wait_low_min": -1, "wait_high_min": 3}),
    (EventType.INVOICE_ISSUED, {"id": ""}),
    (EventType.INVOICE_ISSUED, {"self_pay_fen": -100, "insurance_fen": 400}),
    (
        EventType.INVOICE_ISSUED,
        {"lines": [{**LINE, "amount_fen": 10**400}], "total_fen": 10**400, "self_pay_fen": 10**400 - 100},
    ),
    (EventType.INVOICE_PAID, {"id": "x" * 81}),
    (EventType.EXAMINATION_ORDERED, {"kind": "magic"}),
    (EventType.REPORT_ISSUED, {"observations": [{"code": "c", "name": "n", "value": "1", "interpretation": "X"}]}),
    (EventType.PRESCRIPTION_ISSUED, {"items": []}),
    (EventType.FOLLOW_UP_PLANNED, {"due_on": "soon"}),
    (EventType.APPOINTMENT_REFUSED, {"reason": "of another name"}),
]


@pytest.mark.parametrize(("kind", "changes"), WRONG)
def test_what_the_codec_refuses_does_not_fit(kind: EventType, changes: dict[str, Any]) -> None:
    assert not read(event(kind, **changes)) and not FITS.is_valid(event(kind, **changes))


def test_another_event_s_data_does_not_fit() -> None:
    body = event(EventType.INVOICE_ISSUED) | {"type": EventType.REPORT_ISSUED.value}
    assert not read(body) and not FITS.is_valid(body)


def test_the_rules_name_fields_of_the_contract() -> None:
    classes = event_schema.schema("{model}")["$defs"]
    assert all(set(rules) <= set(classes[name]["properties"]) for name, rules in codec.RULES.items())
