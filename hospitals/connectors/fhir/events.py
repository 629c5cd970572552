"""What comes in: a resource's present state, read as the events that must have led to it. Pure: no calls, no clock.

A resource read twice gives the same events with the same ids, so telling them again has no effect; a state that was never
seen between two readings is still told (a called number had been drawn). ``sequence`` is the hospital's own clock in
milliseconds, times 1000, and the event's place in a visit, so that two things of one moment keep their natural order.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from hospitals.connectors import codec
from hospitals.connectors.base import (
    DiagnosticReport,
    EventData,
    EventType,
    Examination,
    FollowUp,
    HospitalEvent,
    Invoice,
    InvoiceLine,
    MedicationRequest,
    MissedCall,
    Observation,
    Prescription,
    QueuePosition,
    Reason,
    Reference,
)
from hospitals.connectors.fhir import bills, terms
from hospitals.connectors.fhir.client import MALFORMED, Resource
from hospitals.connectors.fhir.orders import reason_text
from hospitals.exceptions import BadEvent

E = EventType
_RANK = {kind: number for number, kind in enumerate(EventType)}
# A ticket's first writing lies a moment after the drawing; it is no move of the queue.
_SAME_MOMENT = timedelta(seconds=2)
Read = Callable[[str], Resource]  # "Location/3" → the resource, {} when it is not there


@dataclass(frozen=True, slots=True)
class Told:
    """One event before it has its visit. ``key``: what makes it the same event when it is read again."""

    type: EventType
    key: str
    at: datetime
    data: EventData = None


def sequence(at: datetime, kind: EventType) -> int:
    return int(at.timestamp() * 1000) * 1000 + _RANK[kind]


def finished(told: Told, *, hospital_id: UUID, appointment_id: str, kind: str, resource_id: str) -> HospitalEvent:
    """The whole event, held to the rules that a pushed one is held to. Raises ``BadEvent``."""
    event = HospitalEvent(
        event_id=f"fhir:{kind}:{resource_id}:{told.key}",
        type=told.type,
        hospital_id=hospital_id,
        appointment_id=appointment_id,
        sequence=sequence(told.at, told.type),
        occurred_at=told.at,
        data=told.data,
    )
    return codec.parse_event(hospital_id, codec.dump_event(event))


def told(resource: Resource, read: Read) -> Iterator[Told]:
    """What this resource says has happened. Raises ``BadEvent`` when it lacks what the contract needs."""
    by_kind: dict[str, Callable[[Resource, Read], Iterator[Told]]] = {
        "Appointment": _appointment,
        "Encounter": _encounter,
        "Task": _task,
        "Invoice": _invoice,
        "DiagnosticReport": _report,
        "MedicationRequest": _prescription,
    }
    try:
        yield from by_kind[resource["resourceType"]](resource, read)
    except MALFORMED as error:
        raise BadEvent("资源缺少需要的内容。", code="bad_resource") from error


# --- small readings -------------------------------------------------------------------------------------------


def instant(text: Any) -> datetime:
    """FHIR's instant or dateTime with a zone; a date alone is its first moment in UTC. Raises ``ValueError``."""
    found = datetime.fromisoformat(str(text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def changed_at(resource: Resource) -> datetime:
    return instant(resource["meta"]["lastUpdated"])


def _before(text: Any, at: datetime) -> datetime:
    """When something began that was seen at ``at``; a date alone does not say, and what lies ahead is no beginning."""
    return min(instant(text), at) if "T" in str(text or "") else at


def _id(resource: Resource) -> str:
    found = resource["id"]
    if not isinstance(found, str):
        raise TypeError("id")
    return found


def _first(items: Any) -> dict[str, Any]:
    """The first of a list of elements; {} of none."""
    found: dict[str, Any] = items[0] if items else {}
    return found


def _digest(data: EventData, kind: EventType) -> str:
    return hashlib.sha256(repr(codec.dump_data(kind, data)).encode()).hexdigest()[:12]


def _text(concept: Any) -> str:
    """A CodeableConcept's words: its text, else its first coding's display or code."""
    concept = concept or {}
    if concept.get("text"):
        return str(concept["text"])
    coding = _first(concept.get("coding"))
    return str(coding.get("display") or coding.get("code") or "")


def _code(concept: Any, system: str = "") -> str:
    codings = (concept or {}).get("coding", [])
    return next((str(c.get("code", "")) for c in codings if not system or c.get("system") == system), "")


def _tail(reference: Any) -> str:
    """ "12" of {"reference": "Invoice/12"}."""
    text = str((reference or {}).get("reference", "")).partition("/_history/")[0]
    return text.rsplit("/", 1)[-1]


def _place(reference: Any, read: Read) -> tuple[str, str, str]:
    """(room code, name, where it is) of a Location."""
    text = str((reference or {}).get("reference", ""))
    found = read(text) if text else {}
    code = next((str(i.get("value", "")) for i in found.get("identifier", [])), "")
    return code, str(found.get("name") or (reference or {}).get("display") or ""), str(found.get("description") or "")


def _inputs(task: Resource) -> dict[str, Any]:
    """Task.input by our codes; of value[x] whatever there is."""
    found = {}
    for entry in task.get("input", []):
        name = _code(entry.get("type"), terms.TASK)
        value = next((v for k, v in entry.items() if k.startswith("value")), None)
        if name and value is not None:
            found[name] = value
    return found


# --- the resources --------------------------------------------------------------------------------------------


def _appointment(resource: Resource, read: Read) -> Iterator[Told]:
    status, at = resource["status"], changed_at(resource)
    made = _before(resource.get("created"), at)
    declined = any(
        p.get("status") == "declined" and not str((p.get("actor") or {}).get("reference", "")).startswith("Patient/")
        for p in resource.get("participant", [])
    )
    if status == "cancelled":
        code = _code(resource.get("cancelationReason"))
        if declined:
            yield Told(E.APPOINTMENT_REFUSED, "refused", at, Reason(reason_text(resource) or "医院没有接受这次预约"))
        elif code.startswith("prov"):
            offer = str(resource.get("patientInstruction") or "")
            yield Told(E.SCHEDULE_STOPPED, "stopped", at, Reason(reason_text(resource) or "停诊", offer))
        else:
            yield Told(E.APPOINTMENT_CANCELLED, "cancelled", at, Reason(reason_text(resource) or "预约已取消"))
    elif status in ("booked", "arrived", "checked-in", "fulfilled", "noshow"):
        yield Told(E.APPOINTMENT_BOOKED, "booked", made)
        if status == "noshow":
            yield Told(E.APPOINTMENT_NO_SHOW, "no-show", at, Reason(reason_text(resource) or "过了就诊时间没有取号"))


def _encounter(resource: Resource, read: Read) -> Iterator[Told]:
    status, at = resource["status"], changed_at(resource)
    if status in ("in-progress", "onleave", "finished"):
        # not the encounter's own period: in many systems that begins with the arrival
        entered = [h.get("period") or {} for h in resource.get("statusHistory", []) if h.get("status") == "in-progress"]
        yield Told(E.ENCOUNTER_STARTED, "started", _before(_first(entered).get("start"), at))
    if status == "finished":
        yield Told(E.ENCOUNTER_FINISHED, "finished", at)


def _task(resource: Resource, read: Read) -> Iterator[Told]:
    by_code = {
        terms.QUEUE: _queue,
        terms.EXAMINATION: _examination,
        terms.FOLLOW_UP: _follow_up,
        terms.VISIT: _visit,
    }
    reading = by_code.get(_code(resource.get("code"), terms.TASK))
    if reading is not None:
        yield from reading(resource, read)


def _queue(task: Resource, read: Read) -> Iterator[Told]:
    """A ticket. received, accepted: waiting; ready, in-progress: called; on-hold, failed: passed."""
    status, at = task["status"], changed_at(task)
    if status not in ("requested", "received", "accepted", "ready", "in-progress", "on-hold", "failed", "completed"):
        return
    values = _inputs(task)
    code, name, place = _place(task.get("location"), read)
    low, high = values.get("wait-low"), values.get("wait-high")

    position = QueuePosition(
        ticket=str(values["ticket"]),
        ahead=int(values.get("ahead", 0)),
        now_serving=str(values.get("now-serving", "")),
        room_code=code,
        room_name=name,
        place=place,
        as_of=at,
        wait_low_min=None if low is None else int(low),
        wait_high_min=None if high is None else int(high),
    )
    drawn = _before(task.get("authoredOn"), at)
    yield Told(E.ENCOUNTER_CHECKED_IN, "checked-in", drawn, position)
    version = f"{int(at.timestamp() * 1000)}"
    if status in ("requested", "received", "accepted") and at - drawn > _SAME_MOMENT:
        yield Told(E.QUEUE_CHANGED, f"queue.{version}", at, position)
    elif status == "ready":
        yield Told(E.ENCOUNTER_CALLED, f"called.{version}", at, position)
    elif status in ("on-hold", "failed"):
        rule = str(values.get("rule") or _text(task.get("statusReason")) or "请回到诊室门口重新报到。")
        yield Told(E.ENCOUNTER_MISSED, f"missed.{version}", at, MissedCall(rule, int(values.get("requeue-after", 0))))


def _examination(task: Resource, read: Read) -> Iterator[Told]:
    status, at = task["status"], changed_at(task)
    exam_id = _tail(task.get("focus")) or _id(task)
    values = _inputs(task)
    code, name, place = _place(task.get("location"), read)
    ordered = Examination(
        id=exam_id,
        name=str(task.get("description") or _text(values.get("examination"))),
        kind=str(values.get("kind", "")),
        room_code=code,
        room_name=name,
        place=place,
        preparation=str(values.get("preparation", "")),
        fasting=bool(values.get("fasting", False)),
        invoice_id=_tail(values.get("invoice")),
    )
    if status in ("draft", "entered-in-error"):
        return
    when = _before(task.get("authoredOn"), at)
    yield Told(E.EXAMINATION_ORDERED, f"ordered.{_digest(ordered, E.EXAMINATION_ORDERED)}", when, ordered)
    if status == "completed":
        yield Told(E.EXAMINATION_COMPLETED, "completed", at, Reference(exam_id))
    elif status in ("cancelled", "rejected", "failed"):
        yield Told(E.EXAMINATION_CANCELLED, "cancelled", at, Reference(exam_id))


def _follow_up(task: Resource, read: Read) -> Iterator[Told]:
    if task["status"] in ("draft", "cancelled", "rejected", "entered-in-error"):
        return
    due = date.fromisoformat(str(task["restriction"]["period"]["start"])[:10])
    plan = FollowUp(due, str((task.get("owner") or {}).get("display", "")), str(task.get("description", "")))
    yield Told(E.FOLLOW_UP_PLANNED, f"planned.{_digest(plan, E.FOLLOW_UP_PLANNED)}", changed_at(task), plan)


def _visit(task: Resource, read: Read) -> Iterator[Told]:
    if task["status"] == "completed":
        yield Told(E.VISIT_CLOSED, "closed", changed_at(task))


def _invoice(resource: Resource, read: Read) -> Iterator[Told]:
    """Lines at their base price; what is deducted is the insurance's."""
    status, at = resource["status"], changed_at(resource)
    if status not in ("issued", "balanced", "cancelled"):
        return
    lines, insurance = [], 0
    for item in resource["lineItem"]:
        name = _text(item.get("chargeItemCodeableConcept"))
        if not name:
            reference = item["chargeItemReference"]
            name = _text(read(str(reference.get("reference", ""))).get("code")) or str(reference.get("display", ""))
        costs, deducted = bills.of_line(item)
        lines.append(InvoiceLine(name, costs))
        insurance += deducted
    total, due = sum(line.amount_fen for line in lines), bills.due(resource)
    title = str((resource.get("type") or {}).get("text") or _text(resource.get("type")) or "费用")
    bill = Invoice(_id(resource), title, tuple(lines), total, insurance, due)
    when = _before(resource.get("date"), at)
    yield Told(E.INVOICE_ISSUED, f"issued.{_digest(bill, E.INVOICE_ISSUED)}", when, bill)
    if status == "balanced":
        yield Told(E.INVOICE_PAID, "paid", at, Reference(bill.id))
    elif status == "cancelled":
        yield Told(E.INVOICE_CANCELLED, "cancelled", at, Reference(bill.id))


def _report(resource: Resource, read: Read) -> Iterator[Told]:
    """Only what the laboratory stands by; a corrected report is told anew."""
    if resource["status"] not in ("final", "amended", "corrected", "appended"):
        return
    lines = [_observation(read(str(r["reference"]))) for r in resource.get("result", [])]
    at = changed_at(resource)
    report = DiagnosticReport(
        id=_id(resource),
        name=_text(resource["code"]),
        issued_at=instant(resource["issued"]) if resource.get("issued") else at,
        observations=tuple(lines),
        conclusion=str(resource.get("conclusion", "")),
        examination_id=_tail(_first(resource.get("basedOn"))),
    )
    yield Told(E.REPORT_ISSUED, f"issued.{_digest(report, E.REPORT_ISSUED)}", at, report)


def _observation(resource: Resource) -> Observation:
    """One line. Raises ``KeyError`` when the report points at an observation that is not there."""
    quantity = resource.get("valueQuantity") or {}
    if quantity:
        value = f"{quantity.get('comparator', '')}{quantity['value']}"
    else:
        value = str(
            resource.get("valueString")
            or _text(resource.get("valueCodeableConcept"))
            or _text(resource.get("dataAbsentReason"))
        )
    span = _first(resource.get("referenceRange"))
    mark = _code(_first(resource.get("interpretation"))) or "N"
    return Observation(
        code=_code(resource["code"]),
        name=_text(resource["code"]),
        value=value,
        unit=str(quantity.get("unit") or quantity.get("code") or ""),
        low=_number(span.get("low")),
        high=_number(span.get("high")),
        # a mark that we do not know is at least "not normal"
        interpretation=terms.INTERPRETATIONS.get(mark, "A"),
    )


def _number(quantity: Any) -> float | None:
    return float(quantity["value"]) if quantity and "value" in quantity else None


def _prescription(resource: Resource, read: Read) -> Iterator[Told]:
    """The reader puts all medicines of one sheet (groupIdentifier) under "group" of the first."""
    group = [r for r in resource.get("group", [resource]) if r["status"] in ("active", "completed", "on-hold")]
    if not group:
        return
    number = str((resource.get("groupIdentifier") or {}).get("value") or _id(resource))
    supply = (group[0].get("dispenseRequest") or {}).get("performer") or {}
    bills = [
        _tail(r)
        for r in group[0].get("supportingInformation", [])
        if str(r.get("reference", "")).startswith("Invoice/")
    ]
    sheet = Prescription(
        id=number,
        items=tuple(_medicine(r) for r in sorted(group, key=lambda r: str(r["id"]))),
        pickup_room_code=str((supply.get("identifier") or {}).get("value", "")),
        pickup_place=str(supply.get("display", "")),
        invoice_id=next(iter(bills), ""),
    )
    made = min(changed_at(r) for r in group)
    yield Told(E.PRESCRIPTION_ISSUED, f"issued.{_digest(sheet, E.PRESCRIPTION_ISSUED)}", made, sheet)
    if all(r["status"] == "completed" for r in group):
        yield Told(E.PRESCRIPTION_DISPENSED, "dispensed", max(changed_at(r) for r in group), Reference(number))


def _medicine(resource: Resource) -> MedicationRequest:
    dosage = _first(resource.get("dosageInstruction"))
    supply = resource.get("dispenseRequest") or {}
    lasts = supply.get("expectedSupplyDuration") or {}
    amount = supply.get("quantity") or {}
    in_days = lasts.get("code") == "d" or lasts.get("unit") in ("d", "day", "days", "天")
    return MedicationRequest(
        id=_id(resource),
        medicine=_text(resource.get("medicationCodeableConcept"))
        or str((resource.get("medicationReference") or {}).get("display", "")),
        dosage=str(dosage["text"]),
        route=_text(dosage.get("route")),
        days=int(lasts["value"]) if in_days and "value" in lasts else None,
        quantity=f"{amount['value']}{amount.get('unit', '')}" if "value" in amount else "",
        instructions=str(dosage.get("patientInstruction", "")),
    )
