"""What goes out: each command as conditional creates and updates, so that saying it twice does it once.

A booking creates the Patient and the Appointment unless they are there (If-None-Exist). Everything later reads the
Appointment or Invoice and replaces it only if nobody else did meanwhile (If-Match).
"""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from hospitals.connectors.base import Acknowledgement, Command, CommandKind, PatientCard
from hospitals.connectors.fhir import bills, terms
from hospitals.connectors.fhir.client import FhirClient, Gone, Resource, Stored, VersionConflict
from hospitals.exceptions import ConnectorUnavailable

TRIES = 3
_NO_APPOINTMENT = "医院没有这个预约。"


def execute(client: FhirClient, command: Command, *, id_system: str = terms.ID_NUMBER) -> Acknowledgement:
    """The hospital's answer. Raises ``ConnectorUnavailable``, ``OutcomeUnknown``, ``ConnectorRefused``."""
    if command.kind is CommandKind.BOOK:
        return _book(client, command, id_system)
    if command.kind is CommandKind.PAY:
        return _pay(client, command)
    return _move(client, command)


def patient(card: PatientCard, id_system: str) -> Resource:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": id_system, "value": card.id_number}],
        "name": [{"use": "official", "text": card.name}],
        "telecom": [{"system": "phone", "value": card.phone}],
        "gender": card.sex,
        "birthDate": card.birth_date.isoformat(),
    }


def appointment(command: Command, patient_id: str, slot: Resource) -> Resource:
    """Proposed to the hospital, which answers by ``booked`` or ``cancelled``. Start and end are its own slot's."""
    return {
        "resourceType": "Appointment",
        "identifier": [
            {"system": terms.APPOINTMENT, "value": command.appointment_id},
            {"system": terms.COMMAND, "value": command.idempotency_key},
        ],
        "status": "proposed",
        "slot": [{"reference": f"Slot/{slot['id']}"}],
        **{name: slot[name] for name in ("start", "end") if name in slot},
        "participant": [{"actor": {"reference": f"Patient/{patient_id}"}, "status": "accepted"}],
    }


def _once(system: str, value: str) -> str:
    return urlencode({"identifier": f"{system}|{value}"})


def _book(client: FhirClient, command: Command, id_system: str) -> Acknowledgement:
    if command.patient is None:
        return Acknowledgement(accepted=False, reason="缺少就诊人信息。")
    try:
        slot = client.read(f"Slot/{command.slot_identifier}").resource
    except Gone:
        return Acknowledgement(accepted=False, reason="医院没有这个号源。")
    person = client.create(
        patient(command.patient, id_system), once=_once(id_system, command.patient.id_number)
    ).resource
    stored = client.create(
        appointment(command, str(person.get("id", "")), slot), once=_once(terms.APPOINTMENT, command.appointment_id)
    )
    status = stored.resource.get("status")
    return Acknowledgement(
        accepted=status in terms.HELD,
        reference=str(stored.resource.get("id", "")),
        reason="" if status in terms.HELD else reason_text(stored.resource),
    )


def reason_text(resource: Resource) -> str:
    """Why an appointment was refused or cancelled, in the hospital's words."""
    concept = resource.get("cancelationReason") or {}
    coding: dict[str, Any] = next((c for c in concept.get("coding", []) if c.get("display")), {})
    return str(concept.get("text") or coding.get("display") or resource.get("comment") or "")[:200]


def _found(client: FhirClient, kind: str, system: str, value: str) -> Stored | None:
    """The one resource with this identifier, with its version; None when there is none."""
    first = next(iter(client.search(kind, {"identifier": f"{system}|{value}"})), None)
    return client.read(f"{kind}/{first['id']}") if first else None


def _move(client: FhirClient, command: Command) -> Acknowledgement:
    """Cancel or check in: from an open status to the wanted one; done already is accepted, anything else refused."""
    for _ in range(TRIES):
        stored = _found(client, "Appointment", terms.APPOINTMENT, command.appointment_id)
        if stored is None:
            return Acknowledgement(accepted=False, reason=_NO_APPOINTMENT)
        status = str(stored.resource.get("status"))
        reference = str(stored.resource["id"])
        if status in terms.DONE[command.kind]:
            return Acknowledgement(accepted=True, reference=reference)
        if status not in terms.OPEN[command.kind]:
            return Acknowledgement(accepted=False, reference=reference, reason="预约现在的状态不能办这一步。")
        wanted: Resource = {**stored.resource}
        if command.kind is CommandKind.CANCEL:
            wanted["status"] = "cancelled"
            wanted["cancelationReason"] = _by_patient(str(command.data.get("reason", "")))
        else:
            wanted["status"] = "arrived"
        try:
            client.update(stored, wanted)
        except VersionConflict:
            continue
        return Acknowledgement(accepted=True, reference=reference)
    raise ConnectorUnavailable(code="version_conflict")


def _by_patient(text: str) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
    return {"coding": [{"system": system, "code": "pat"}], **({"text": text} if text else {})}


def _pay(client: FhirClient, command: Command) -> Acknowledgement:
    """The Invoice is balanced and carries the payment. It must be this visit's, as its identifier says, and ask for what was paid."""
    invoice_id = str(command.data.get("invoice_id", ""))
    receipt = str(command.data.get("receipt") or command.idempotency_key)
    for _ in range(TRIES):
        try:
            stored = client.read(f"Invoice/{invoice_id}")
        except Gone:
            return Acknowledgement(accepted=False, reason="没有这笔费用。")
        mine = [i.get("value") for i in stored.resource.get("identifier", []) if i.get("system") == terms.APPOINTMENT]
        if command.appointment_id not in mine:
            return Acknowledgement(accepted=False, reason="没有这笔费用。")
        receipts = [i.get("value") for i in stored.resource["identifier"] if i.get("system") == terms.RECEIPT]
        status = stored.resource.get("status")
        if status == "balanced":
            # paid at the window meanwhile: to accept that would hide that she has paid twice
            ours = receipt in receipts
            return Acknowledgement(accepted=ours, reference=invoice_id, reason="" if ours else "这笔费用已经缴过了。")
        if status != "issued":
            return Acknowledgement(accepted=False, reason="这笔费用现在不能缴。")
        if "amount_fen" in command.data and not _asks_for(stored.resource, command.data["amount_fen"]):
            return Acknowledgement(accepted=False, reference=invoice_id, reason="这笔费用的金额已经变了。")
        try:
            client.update(stored, _balanced(stored.resource, receipt, command.data))
        except VersionConflict:
            continue
        return Acknowledgement(accepted=True, reference=invoice_id)
    raise ConnectorUnavailable(code="version_conflict")


def _asks_for(invoice: Resource, amount_fen: int) -> bool:
    try:
        return bills.due(invoice) == amount_fen
    except (ValueError, KeyError, TypeError, AttributeError):  # it changed into what nobody could have been told
        return False


def _balanced(invoice: Resource, receipt: str, data: dict[str, Any]) -> Resource:
    """Paid. A command put down by a release before this one says the receipt alone."""
    at = data.get("paid_at") or datetime.now(UTC).isoformat(timespec="seconds")
    numbers = [{"system": terms.RECEIPT, "value": receipt}]
    paid: Resource = {"status": "balanced", "note": [*invoice.get("note", []), {"text": "线上缴费", "time": at}]}
    if "amount_fen" in data:
        numbers.append({"system": terms.ORDER, "value": data["order_number"]})
        told = [
            {"url": "amount", "valueMoney": {"value": data["amount_fen"] / 100, "currency": data["currency"]}},
            {"url": "gateway", "valueString": data["gateway"]},
            {"url": "time", "valueDateTime": at},
        ]
        paid["extension"] = [*invoice.get("extension", []), {"url": terms.PAYMENT, "extension": told}]
    return {**invoice, **paid, "identifier": [*invoice["identifier"], *numbers]}
