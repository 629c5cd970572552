"""Commands to a FHIR server: what is written is valid and done once, whatever goes wrong on the way."""

import json
from typing import Any
from uuid import uuid4

import pytest

from hospitals.connectors.base import (
    Command,
    CommandKind,
)
from hospitals.connectors.fhir import FhirConnector
from hospitals.exceptions import AddressRefused, ConnectorRefused, ConnectorUnavailable, OutcomeUnknown
from hospitals.outgoing import Answer, Outgoing
from tests.hospitals.fhir_rules import Refusal, checked
from tests.hospitals.fhir_server import FhirServer
from tests.hospitals.fhir_visit import BOOK, CANCEL, CARD, CHECK_IN, HOSPITAL, LOCAL, VISIT, bill, command
from tests.hospitals.paid import paid

# --- commands -----------------------------------------------------------------------------------------------


def test_a_booking_makes_one_patient_and_one_appointment_however_often_it_is_said(
    server: FhirServer, hospital: FhirConnector
) -> None:
    first, second = hospital.execute(BOOK), hospital.execute(BOOK)
    assert first.accepted and first == second
    (appointment,) = server.of_kind("Appointment")
    (patient,) = server.of_kind("Patient")
    assert appointment["id"] == first.reference and appointment["status"] == "booked"
    assert patient["birthDate"] == "1990-01-01" and patient["gender"] == "female"
    assert appointment["participant"][0]["actor"]["reference"] == f"Patient/{patient['id']}"
    assert server.get("Slot/s1")["status"] == "busy"


@pytest.mark.parametrize("answers", ["minimal", "outcomes"])
def test_a_server_that_answers_without_the_resource_is_read_afterwards(
    server: FhirServer, hospital: FhirConnector, answers: str
) -> None:
    setattr(server, answers, True)
    first = hospital.execute(BOOK)
    assert first.accepted and hospital.execute(BOOK) == first
    assert hospital.execute(CHECK_IN).accepted
    assert server.get(f"Appointment/{first.reference}")["status"] == "arrived"


def test_the_card_s_number_stands_in_no_address(server: FhirServer, hospital: FhirConnector) -> None:
    hospital.execute(BOOK)
    assert server.log and not any(CARD.id_number in line for line in server.log)


def test_a_refusal_carries_the_hospital_s_words(server: FhirServer, hospital: FhirConnector) -> None:
    server.refuse_bookings = "这个号医院窗口刚刚挂出去了"
    with pytest.raises(ConnectorRefused) as refused:
        hospital.execute(BOOK)
    assert refused.value.detail == "这个号医院窗口刚刚挂出去了" and refused.value.code == "http_409"


def test_words_about_the_request_are_for_engineers(server: FhirServer, hospital: FhirConnector) -> None:
    server.unsupported = "identifier"
    with pytest.raises(ConnectorRefused) as refused:
        hospital.execute(CANCEL)
    assert refused.value.code == "http_400" and refused.value.detail == ConnectorRefused.detail


def test_a_person_whom_the_hospital_holds_twice_is_sent_to_its_window(
    server: FhirServer, hospital: FhirConnector
) -> None:
    mine = [{"system": "urn:oid:2.16.156.10011.1.3", "value": CARD.id_number}]
    for key in ("p1", "p2"):
        server.put({"resourceType": "Patient", "id": key, "identifier": mine})
    with pytest.raises(ConnectorRefused) as refused:
        hospital.execute(BOOK)
    assert refused.value.code == "not_one" and "窗口" in refused.value.detail and not server.of_kind("Appointment")


def test_a_slot_that_is_not_there_is_refused(hospital: FhirConnector) -> None:
    answer = hospital.execute(Command(CommandKind.BOOK, "k", HOSPITAL, VISIT, "nowhere", CARD))
    assert not answer.accepted and answer.reason


@pytest.mark.parametrize("slot", ["../Patient/p1", "s1?_history", "a/b", "", "x" * 65, "https://evil.example/Slot/s1"])
def test_a_slot_s_name_cannot_lead_elsewhere(server: FhirServer, hospital: FhirConnector, slot: str) -> None:
    before = list(server.log)
    assert not hospital.execute(Command(CommandKind.BOOK, "k", HOSPITAL, VISIT, slot, CARD)).accepted
    assert server.log == before


def test_cancelling_twice_cancels_once_and_says_who_did(server: FhirServer, hospital: FhirConnector) -> None:
    reference = hospital.execute(BOOK).reference
    assert hospital.execute(CANCEL).accepted
    version = server.get(f"Appointment/{reference}")["meta"]["versionId"]
    assert hospital.execute(CANCEL).accepted
    row = server.get(f"Appointment/{reference}")
    assert row["meta"]["versionId"] == version and row["status"] == "cancelled"
    assert row["cancelationReason"]["text"] == "有事" and row["cancelationReason"]["coding"][0]["code"] == "pat"
    assert server.get("Slot/s1")["status"] == "free"


def test_what_the_hospital_wrote_meanwhile_is_not_overwritten(server: FhirServer, hospital: FhirConnector) -> None:
    reference = f"Appointment/{hospital.execute(BOOK).reference}"
    server.before_update.append(lambda: server.change(reference, comment="请带病历"))
    assert hospital.execute(CHECK_IN).accepted
    assert server.get(reference)["comment"] == "请带病历" and server.get(reference)["status"] == "arrived"


def test_an_appointment_that_never_rests_is_tried_again_later(server: FhirServer, hospital: FhirConnector) -> None:
    reference = f"Appointment/{hospital.execute(BOOK).reference}"
    server.before_update += [lambda: server.change(reference, comment="x")] * 9
    with pytest.raises(ConnectorUnavailable) as error:
        hospital.execute(CANCEL)
    assert error.value.code == "version_conflict" and error.value.retryable


def test_nobody_is_checked_in_who_is_not_booked_or_has_been_cancelled(hospital: FhirConnector) -> None:
    assert not hospital.execute(CHECK_IN).accepted
    hospital.execute(BOOK)
    hospital.execute(CANCEL)
    assert not hospital.execute(CHECK_IN).accepted


# --- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["500", "500 after"])
def test_a_server_that_falls_over_while_writing_may_have_written(
    server: FhirServer, hospital: FhirConnector, fault: str
) -> None:
    server.faults = ["", "", fault]  # the slot and the patient go through
    with pytest.raises(OutcomeUnknown):
        hospital.execute(BOOK)
    assert hospital.execute(BOOK).accepted
    assert len(server.of_kind("Appointment")) == 1


def test_silence_after_the_deed_is_found_out_by_asking_again(server: FhirServer) -> None:
    def impatient(policy: Any, **options: Any) -> Outgoing:
        return Outgoing(policy, attempts=6, sleep=lambda _s: None, **options)

    server.faults = ["", "", "silence after"]
    hospital = FhirConnector(base_url=server.base, outgoing=impatient, read_s=0.5, **LOCAL)
    assert hospital.execute(BOOK).accepted
    assert len(server.of_kind("Appointment")) == 1


@pytest.mark.parametrize("kind", ["Slot", "Invoice", "Patient"])
def test_a_success_that_is_something_else_is_no_refusal(server: FhirServer, kind: str) -> None:
    """A gateway that answers 200 and an OperationOutcome has not said no: what was asked is asked again."""
    outcome = json.dumps({"resourceType": "OperationOutcome", "id": "x", "issue": []}).encode()

    class Gateway:
        def send(self, method: str, url: str, **_more: Any) -> Answer:
            return Answer(200, {}, outcome if f"/{kind}" in url else b'{"resourceType": "Slot", "id": "s1"}')

    hospital = FhirConnector(base_url=server.base, outgoing=lambda *_a, **_o: Gateway(), **LOCAL)
    asked = command(CommandKind.PAY, invoice_id="i1", receipt="r") if kind == "Invoice" else BOOK
    with pytest.raises(ConnectorUnavailable) as error:
        hospital.execute(asked)
    assert error.value.code == "bad_answer"


def test_a_dropped_connection_is_repeated(server: FhirServer, hospital: FhirConnector) -> None:
    server.faults = ["drop"]
    assert hospital.execute(BOOK).accepted


def test_a_server_that_only_trickles_is_given_up(server: FhirServer) -> None:
    def short(policy: Any, **options: Any) -> Outgoing:
        return Outgoing(policy, total_s=0.3, **options)

    server.faults = ["trickle"]
    with pytest.raises(ConnectorUnavailable):
        FhirConnector(base_url=server.base, outgoing=short, **LOCAL).execute(BOOK)


def test_a_server_that_is_not_there_is_retryable_and_nothing_was_sent(
    server: FhirServer, hospital: FhirConnector
) -> None:
    server.close()
    with pytest.raises(ConnectorUnavailable) as error:
        hospital.execute(BOOK)
    assert error.value.retryable and not isinstance(error.value, OutcomeUnknown)


def test_an_inside_address_is_no_hospital(server: FhirServer) -> None:
    with pytest.raises(AddressRefused):
        FhirConnector(base_url="https://169.254.169.254/fhir")
    with pytest.raises(AddressRefused):
        FhirConnector(base_url=server.base)


# --- money ----------------------------------------------------------------------------------------------------


def test_somebody_else_s_bill_and_one_paid_elsewhere_are_not_paid(server: FhirServer, hospital: FhirConnector) -> None:
    hospital.execute(BOOK)
    bill(server, identifier=[{"system": "urn:health-companion:appointment", "value": str(uuid4())}])
    pay = command(CommandKind.PAY, invoice_id="i1", receipt="R-1")
    assert not hospital.execute(pay).accepted
    for receipts in ([], [{"system": "urn:health-companion:receipt", "value": "R-0"}]):
        bill(server, "balanced", identifier=[{"system": "urn:health-companion:appointment", "value": VISIT}, *receipts])
        assert not hospital.execute(pay).accepted, "to accept it would hide a second payment"


def test_a_paid_bill_carries_what_was_paid_and_all_that_stood_on_it(
    server: FhirServer, hospital: FhirConnector
) -> None:
    hospital.execute(BOOK)
    bill(server, extension=[{"url": "urn:its-own", "valueString": "kept"}])
    assert hospital.execute(command(CommandKind.PAY, **paid("i1", 5205).as_data())).accepted
    stands = server.get("Invoice/i1")
    numbers = {i["system"].rpartition(":")[2]: i["value"] for i in stands["identifier"]}
    assert numbers == {"appointment": VISIT, "receipt": "t-1", "payment-order": "0" * 31 + "1"}
    its_own, payment = stands["extension"]
    assert (its_own["valueString"], payment["url"]) == ("kept", "urn:health-companion:payment")
    assert payment["extension"] == [
        {"url": "amount", "valueMoney": {"value": 52.05, "currency": "CNY"}},
        {"url": "gateway", "valueString": "alipay"},
        {"url": "time", "valueDateTime": "2026-03-02T02:00:00+00:00"},
    ]


def test_a_bill_that_nobody_could_have_been_told_is_not_paid(server: FhirServer, hospital: FhirConnector) -> None:
    hospital.execute(BOOK)
    bill(server, totalNet={"value": 52.05, "currency": "USD"})
    answer = hospital.execute(command(CommandKind.PAY, **paid("i1", 5205).as_data()))
    assert not answer.accepted and "金额" in answer.reason and server.get("Invoice/i1")["status"] == "issued"


@pytest.mark.parametrize("receipt", ["R-1", ""])
def test_a_payment_whose_answer_was_lost_is_known_by_its_receipt(server: FhirServer, receipt: str) -> None:
    def impatient(policy: Any, **options: Any) -> Outgoing:
        return Outgoing(policy, attempts=6, sleep=lambda _s: None, **options)

    hospital = FhirConnector(base_url=server.base, outgoing=impatient, **LOCAL)
    hospital.execute(BOOK)
    bill(server)
    server.faults = ["", "500 after"]  # the bill is read, the payment is written and its answer lost
    pay = command(CommandKind.PAY, invoice_id="i1", receipt=receipt)
    with pytest.raises(OutcomeUnknown):
        hospital.execute(pay)
    assert hospital.execute(pay).accepted and len(server.rows["Invoice/i1"]) == 2


def test_the_stub_is_strict() -> None:
    wrong: list[dict[str, Any]] = [
        {"resourceType": "Appointment", "status": "maybe", "participant": [{"status": "accepted"}]},
        {"resourceType": "Appointment", "participant": [{"status": "accepted"}]},
        {"resourceType": "Task", "status": "waiting", "intent": "order"},
        {"resourceType": "Encounter", "status": "arrived"},
        {"resourceType": "Patient", "gender": "f"},
        {"resourceType": "Slot", "status": "free", "unknown": 1},
    ]
    for resource in wrong:
        with pytest.raises(Refusal):
            checked(resource)
