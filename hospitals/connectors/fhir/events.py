"""What comes in: a resource's present state, read as the events that must have led to it. Pure: no calls, no clock.

A resource read twice gives the same events with the same ids, so telling them again has no effect; a state that was never
seen between two readings is still told (a called number had been drawn). ``sequence`` is the hospital's own clock in
milliseconds, times 1000, and the event's place in a visit, so that two things of one moment keep their natural order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
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
from hospitals.connectors.fhir.elements import (
    Read,
    begun,
    changed_at,
    code_of,
    digest,
    first,
    inputs_of,
    instant,
    own_id,
    place_of,
    tail_of,
    words,
)
from hospitals.connectors.fhir.orders import reason_text
from hospitals.exceptions import BadEvent

E = EventType
_RANK = {kind: number for number, kind in enumerate(EventType)}
# A ticket's first writing lies a moment after the drawing; it is no move of the queue.
_SAME_MOMENT = timedelta(seconds=2)


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


# --- the resources --------------------------------------------------------------------------------------------


def _appointment(resource: Resource, read: Read) -> Iterator[Told]:
    status, at = resource["status"], changed_at(resource)
    made = begun(resource.get("created"), at)
    declined = any(
        p.get("status") == "declined" and not str((p.get("actor") or {}).get("reference", "")).startswith("Patient/")
        for p in resource.get("participant", [])
    )
    if status == "cancelled":
        code = code_of(resource.get("cancelationReason"))
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
        yield Told(E.ENCOUNTER_STARTED, "started", begun(first(entered).get("start"), at))
    if status == "finished":
        yield Told(E.ENCOUNTER_FINISHED, "finished", at)


def _task(resource: Resource, read: Read) -> Iterator[Told]:
    by_code = {
        terms.QUEUE: _queue,
        terms.EXAMINATION: _examination,
        terms.FOLLOW_UP: _follow_up,
        terms.VISIT: _visit,
    }
    reading = by_code.get(code_of(resource.get("code"), terms.TASK))
    if reading is not None:
        yield from reading(resource, read)


def _queue(task: Resource, read: Read) -> Iterator[Told]:
    """A ticket. received, accepted: waiting; ready, in-progress: called; on-hold, failed: passed."""
    status, at = task["status"], changed_at(task)
    if status not in ("requested", "received", "accepted", "ready", "in-progress", "on-hold", "failed", "completed"):
        return
    values = inputs_of(task)
    code, name, place = place_of(task.get("location"), read)
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
    drawn = begun(task.get("authoredOn"), at)
    yield Told(E.ENCOUNTER_CHECKED_IN, "checked-in", drawn, position)
    version = f"{int(at.timestamp() * 1000)}"
    if status in ("requested", "received", "accepted") and at - drawn > _SAME_MOMENT:
        yield Told(E.QUEUE_CHANGED, f"queue.{version}", at, position)
    elif status == "ready":
        yield Told(E.ENCOUNTER_CALLED, f"called.{version}", at, position)
    elif status in ("on-hold", "failed"):
        rule = str(values.get("rule") or words(task.get("statusReason")) or "请回到诊室门口重新报到。")
        yield Told(E.ENCOUNTER_MISSED, f"missed.{version}", at, MissedCall(rule, int(values.get("requeue-after", 0))))


def _examination(task: Resource, read: Read) -> Iterator[Told]:
    status, at = task["status"], changed_at(task)
    exam_id = tail_of(task.get("focus")) or own_id(task)
    values = inputs_of(task)
    code, name, place = place_of(task.get("location"), read)
    ordered = Examination(
        id=exam_id,
        name=str(task.get("description") or words(values.get("examination"))),
        kind=str(values.get("kind", "")),
        room_code=code,
        room_name=name,
        place=place,
        preparation=str(values.get("preparation", "")),
        fasting=bool(values.get("fasting", False)),
        invoice_id=tail_of(values.get("invoice")),
    )
    if status in ("draft", "entered-in-error"):
        return
    when = begun(task.get("authoredOn"), at)
    yield Told(E.EXAMINATION_ORDERED, f"ordered.{digest(ordered, E.EXAMINATION_ORDERED)}", when, ordered)
    if status == "completed":
        yield Told(E.EXAMINATION_COMPLETED, "completed", at, Reference(exam_id))
    elif status in ("cancelled", "rejected", "failed"):
        yield Told(E.EXAMINATION_CANCELLED, "cancelled", at, Reference(exam_id))


def _follow_up(task: Resource, read: Read) -> Iterator[Told]:
    if task["status"] in ("draft", "cancelled", "rejected", "entered-in-error"):
        return
    due = date.fromisoformat(str(task["restriction"]["period"]["start"])[:10])
    plan = FollowUp(due, str((task.get("owner") or {}).get("display", "")), str(task.get("description", "")))
    yield Told(E.FOLLOW_UP_PLANNED, f"planned.{digest(plan, E.FOLLOW_UP_PLANNED)}", changed_at(task), plan)


def _visit(task: Resource, read: Read) -> Iterator[Told]:
    if task["status"] == "completed":
        yield Told(E.VISIT_CLOSED, "closed", changed_at(task))


def _invoice(resource: Resource, read: Read) -> Iterator[Told]:
    """Lines at their base price; what is deducted is the insurance's."""
    status, at = resource["status"], changed_at(resource)
    if status not in ("issued", "balanced", "cancelled"):
        return
    lines = []
    for item in resource["lineItem"]:
        name = words(item.get("chargeItemCodeableConcept"))
        if not name:
            reference = item["chargeItemReference"]
            name = words(read(str(reference.get("reference", ""))).get("code")) or str(reference.get("display", ""))
        costs, _deducted = bills.of_line(item)
        lines.append(InvoiceLine(name, costs))
    total, due = sum(line.amount_fen for line in lines), bills.due(resource)
    title = str((resource.get("type") or {}).get("text") or words(resource.get("type")) or "费用")
    bill = Invoice(own_id(resource), title, tuple(lines), total, total - due, due)
    when = begun(resource.get("date"), at)
    yield Told(E.INVOICE_ISSUED, f"issued.{digest(bill, E.INVOICE_ISSUED)}", when, bill)
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
        id=own_id(resource),
        name=words(resource["code"]),
        issued_at=instant(resource["issued"]) if resource.get("issued") else at,
        observations=tuple(lines),
        conclusion=str(resource.get("conclusion", "")),
        examination_id=tail_of(first(resource.get("basedOn"))),
    )
    yield Told(E.REPORT_ISSUED, f"issued.{digest(report, E.REPORT_ISSUED)}", at, report)


def _observation(resource: Resource) -> Observation:
    """One line. Raises ``KeyError`` when the report points at an observation that is not there."""
    quantity = resource.get("valueQuantity") or {}
    if quantity:
        value = f"{quantity.get('comparator', '')}{quantity['value']}"
    else:
        value = str(
            resource.get("valueString")
            or words(resource.get("valueCodeableConcept"))
            or words(resource.get("dataAbsentReason"))
        )
    span = first(resource.get("referenceRange"))
    mark = code_of(first(resource.get("interpretation"))) or "N"
    return Observation(
        code=code_of(resource["code"]),
        name=words(resource["code"]),
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
    number = str((resource.get("groupIdentifier") or {}).get("value") or own_id(resource))
    supply = (group[0].get("dispenseRequest") or {}).get("performer") or {}
    its_bills = [
        tail_of(r)
        for r in group[0].get("supportingInformation", [])
        if str(r.get("reference", "")).startswith("Invoice/")
    ]
    sheet = Prescription(
        id=number,
        items=tuple(_medicine(r) for r in sorted(group, key=lambda r: str(r["id"]))),
        pickup_room_code=str((supply.get("identifier") or {}).get("value", "")),
        pickup_place=str(supply.get("display", "")),
        invoice_id=next(iter(its_bills), ""),
    )
    made = min(changed_at(r) for r in group)
    yield Told(E.PRESCRIPTION_ISSUED, f"issued.{digest(sheet, E.PRESCRIPTION_ISSUED)}", made, sheet)
    if all(r["status"] == "completed" for r in group):
        yield Told(E.PRESCRIPTION_DISPENSED, "dispensed", max(changed_at(r) for r in group), Reference(number))


def _medicine(resource: Resource) -> MedicationRequest:
    dosage = first(resource.get("dosageInstruction"))
    supply = resource.get("dispenseRequest") or {}
    lasts = supply.get("expectedSupplyDuration") or {}
    amount = supply.get("quantity") or {}
    in_days = lasts.get("code") == "d" or lasts.get("unit") in ("d", "day", "days", "天")
    return MedicationRequest(
        id=own_id(resource),
        medicine=words(resource.get("medicationCodeableConcept"))
        or str((resource.get("medicationReference") or {}).get("display", "")),
        dosage=str(dosage["text"]),
        route=words(dosage.get("route")),
        days=int(lasts["value"]) if in_days and "value" in lasts else None,
        quantity=f"{amount['value']}{amount.get('unit', '')}" if "value" in amount else "",
        instructions=str(dosage.get("patientInstruction", "")),
    )
