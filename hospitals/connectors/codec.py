"""Events as JSON: strict in, exact out. One place knows which data each event carries."""

import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from hospitals.connectors.base import (
    DiagnosticReport,
    EventData,
    EventType,
    Examination,
    FollowUp,
    HospitalEvent,
    Invoice,
    MissedCall,
    Prescription,
    QueuePosition,
    Reason,
    Reference,
)
from hospitals.exceptions import BadEvent

BODY_MAX_BYTES = 256 * 1024
BATCH_MAX_BYTES, BATCH_MAX_EVENTS = 1024 * 1024, 200
E = EventType
DATA: dict[EventType, Any] = {
    **dict.fromkeys(
        (E.APPOINTMENT_REFUSED, E.APPOINTMENT_CANCELLED, E.APPOINTMENT_NO_SHOW, E.SCHEDULE_STOPPED), Reason
    ),
    **dict.fromkeys((E.ENCOUNTER_CHECKED_IN, E.QUEUE_CHANGED, E.ENCOUNTER_CALLED), QueuePosition),
    **dict.fromkeys(
        (
            E.INVOICE_PAID,
            E.INVOICE_CANCELLED,
            E.EXAMINATION_COMPLETED,
            E.EXAMINATION_CANCELLED,
            E.PRESCRIPTION_DISPENSED,
        ),
        Reference,
    ),
    E.ENCOUNTER_MISSED: MissedCall,
    E.INVOICE_ISSUED: Invoice,
    E.EXAMINATION_ORDERED: Examination,
    E.REPORT_ISSUED: DiagnosticReport,
    E.PRESCRIPTION_ISSUED: Prescription,
    E.FOLLOW_UP_PLANNED: FollowUp,
}
_KINDS = frozenset({"laboratory", "imaging", "procedure"})
_INTERPRETATIONS = frozenset({"N", "H", "L", "HH", "LL", "A"})
_ID_MAX = 80
_FEN_MAX = 2**31 - 1  # 21 million yuan, which an order to a payment gateway holds
# What ``_faults`` checks beyond the types and a schema can say, by the class it checks (hospitals.connectors.event_schema).
_ID = {"id": {"minLength": 1, "maxLength": _ID_MAX}}
_NOT_NEGATIVE = {"minimum": 0}
RULES: dict[str, dict[str, dict[str, Any]]] = {
    "Reference": _ID,
    "QueuePosition": dict.fromkeys(("ahead", "wait_low_min", "wait_high_min"), _NOT_NEGATIVE),
    "Invoice": {
        **_ID,
        **dict.fromkeys(("total_fen", "insurance_fen", "self_pay_fen"), {**_NOT_NEGATIVE, "maximum": _FEN_MAX}),
    },
    "InvoiceLine": {"amount_fen": {"minimum": -_FEN_MAX, "maximum": _FEN_MAX}},
    "Examination": {**_ID, "kind": {"enum": sorted(_KINDS)}},
    "Observation": {"interpretation": {"enum": sorted(_INTERPRETATIONS)}},
    "DiagnosticReport": _ID,
    "Prescription": {**_ID, "items": {"minItems": 1}},
}


class Envelope(BaseModel):
    """What a hospital sends: POST /api/hospitals/v1/events/."""

    model_config = ConfigDict(extra="forbid")

    event_id: Annotated[str, Field(pattern=r"^[\w.:-]{1,120}$")]
    type: EventType
    appointment_id: Annotated[str, Field(pattern=r"^[\w.:-]{1,64}$")]
    sequence: Annotated[int, Field(ge=0, le=2**53, strict=True)]
    occurred_at: AwareDatetime
    data: dict[str, Any] | None = None

    @field_validator("appointment_id")
    @classmethod
    def _as_we_spell_it(cls, key: str) -> str:
        """In capitals or without dashes it is the same id, and must find the same rows."""
        try:
            return str(UUID(key))
        except ValueError:  # none of ours: what knows the appointments says so
            return key


# The contract's dataclasses say nothing of unknown members: extra ones are named here, so that a typing error in a
# hospital's code is an answer instead of a silence.
_ADAPTERS = {kind: TypeAdapter(data) for kind, data in DATA.items()}


def parse_event(hospital_id: UUID, body: bytes) -> HospitalEvent:
    """The event in this body. Raises ``BadEvent`` (too_large, bad_json, bad_event), which quotes nothing of the body."""
    if len(body) > BODY_MAX_BYTES:
        raise BadEvent("内容超过 256 KiB。", code="too_large")
    return _event(hospital_id, _json(body))


def parse_batch(hospital_id: UUID, body: bytes) -> list[HospitalEvent | BadEvent]:
    """The events in ``{"events": [...]}``, each as ``parse_event`` reads it or what is wrong with it.

    Raises ``BadEvent`` (too_large, bad_json, bad_batch) where the message as a whole cannot be read.
    """
    if len(body) > BATCH_MAX_BYTES:
        raise BadEvent("内容超过 1 MiB。", code="too_large")
    raw = _json(body)
    events = raw.get("events") if isinstance(raw, dict) and len(raw) == 1 else None
    if not isinstance(events, list) or not 0 < len(events) <= BATCH_MAX_EVENTS:
        raise BadEvent(f"内容应为 events 一个数组,一次 1 到 {BATCH_MAX_EVENTS} 个事件。", code="bad_batch")
    parsed: list[HospitalEvent | BadEvent] = []
    for event in events:
        try:
            parsed.append(_event(hospital_id, event))
        except BadEvent as error:
            parsed.append(error)
    return parsed


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadEvent("内容不是 JSON。", code="bad_json") from error


def _event(hospital_id: UUID, raw: Any) -> HospitalEvent:
    try:
        envelope = Envelope.model_validate(raw)
        data = parse_data(envelope.type, envelope.data)
    except ValidationError as error:
        raise BadEvent("事件的内容不符合规定。", errors=_places(error)) from error
    return HospitalEvent(
        event_id=envelope.event_id,
        type=envelope.type,
        hospital_id=hospital_id,
        appointment_id=envelope.appointment_id,
        sequence=envelope.sequence,
        occurred_at=envelope.occurred_at,
        data=data,
    )


def _places(error: ValidationError) -> list[dict[str, str]]:
    """Where it is wrong and by which rule. A member that the contract does not know is not named: its name is input."""
    return [
        {
            "pointer": "/" + "/".join(map(str, e["loc"][:-1] if e["type"] == "extra_forbidden" else e["loc"])),
            "code": e["type"],
        }
        for e in error.errors()[:10]
    ]


def parse_data(kind: EventType, raw: Any) -> EventData:
    """The typed data of this kind of event. Raises pydantic's ``ValidationError`` or ``BadEvent``."""
    if kind not in _ADAPTERS:
        if raw:
            raise BadEvent("这种事件不带内容。", errors=[{"pointer": "/data", "code": "unexpected"}])
        return None
    value: EventData = _ADAPTERS[kind].validate_python(raw)
    _known_members(raw, _ADAPTERS[kind].dump_python(value, mode="json"), "/data")
    for pointer, code in _faults(value):
        raise BadEvent("事件的内容不符合规定。", errors=[{"pointer": f"/data{pointer}", "code": code}])
    return value


def _known_members(raw: Any, parsed: Any, pointer: str) -> None:
    """Raises ``BadEvent`` at the first member that the contract does not know."""
    if isinstance(raw, dict) and isinstance(parsed, dict):
        for name, inner in raw.items():
            if name not in parsed:
                raise BadEvent("事件里有不认识的字段。", errors=[{"pointer": pointer, "code": "unknown_member"}])
            _known_members(inner, parsed[name], f"{pointer}/{name}")
    elif isinstance(raw, list) and isinstance(parsed, list):
        for number, (inner, known) in enumerate(zip(raw, parsed, strict=False)):
            _known_members(inner, known, f"{pointer}/{number}")


def _faults(value: EventData) -> list[tuple[str, str]]:
    """What types alone do not say: (place, rule)."""
    found = []
    if isinstance(value, Invoice):
        if value.total_fen != value.insurance_fen + value.self_pay_fen:
            found.append(("/total_fen", "parts_do_not_add_up"))
        if value.total_fen != sum(line.amount_fen for line in value.lines):
            found.append(("/lines", "lines_do_not_add_up"))
        if min(value.insurance_fen, value.self_pay_fen, value.total_fen) < 0:
            found.append(("/total_fen", "negative"))
        if max((value.total_fen, *(abs(line.amount_fen) for line in value.lines))) > _FEN_MAX:
            found.append(("/total_fen", "too_large"))
    elif isinstance(value, QueuePosition):
        if value.ahead < 0:
            found.append(("/ahead", "negative"))
        low, high = value.wait_low_min, value.wait_high_min
        if (low is None) != (high is None) or (low is not None and high is not None and not 0 <= low <= high):
            found.append(("/wait_low_min", "not_an_interval"))
        if value.as_of.tzinfo is None:
            found.append(("/as_of", "timezone_missing"))
    elif isinstance(value, Examination) and value.kind not in _KINDS:
        found.append(("/kind", "unknown_kind"))
    elif isinstance(value, DiagnosticReport):
        if any(line.interpretation not in _INTERPRETATIONS for line in value.observations):
            found.append(("/observations", "unknown_interpretation"))
        if value.issued_at.tzinfo is None:
            found.append(("/issued_at", "timezone_missing"))
    elif isinstance(value, Prescription) and not value.items:
        found.append(("/items", "empty"))
    if isinstance(value, Invoice | Examination | DiagnosticReport | Prescription | Reference) and not (
        0 < len(value.id) <= _ID_MAX
    ):
        found.append(("/id", "length"))
    return found


def dump_data(kind: EventType, data: EventData) -> Any:
    """The data as JSON values; ``parse_data`` gives the same value back."""
    return None if data is None else _ADAPTERS[kind].dump_python(data, mode="json")


def dump_event(event: HospitalEvent) -> bytes:
    """The body that a hospital would send for this event."""
    return encode(event.event_id, event.type, event.appointment_id, event.sequence, event.occurred_at, event.data)


def encode(
    event_id: str, kind: EventType, appointment_id: str, sequence: int, occurred_at: datetime, data: EventData
) -> bytes:
    body = {
        "event_id": event_id,
        "type": kind.value,
        "appointment_id": appointment_id,
        "sequence": sequence,
        "occurred_at": occurred_at.isoformat(),
        "data": dump_data(kind, data),
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
