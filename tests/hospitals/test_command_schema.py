"""The document's messages are those that are sent: whatever command goes out fits, and whatever answer fits is understood."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest
from django.test import Client
from hypothesis import example, given
from hypothesis import strategies as st

from hospitals.connectors import command_schema, push
from hospitals.connectors.base import Command, CommandKind, PaidBill, PatientCard
from hospitals.connectors.webhook import PING, REFUSALS, WebhookConnector
from hospitals.exceptions import ConnectorUnavailable
from hospitals.outgoing import Answer

FITS = {
    kind: jsonschema_rs.validator_for(command_schema.message(kind), validate_formats=True)
    for kind in command_schema.kinds()
}
TEXT = st.text(max_size=20)
CARDS = st.builds(PatientCard, sex=st.sampled_from(["male", "female", "unknown"]))
BILLS = st.builds(
    PaidBill,
    amount_fen=st.integers(0, 2**31 - 1),
    paid_at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    currency=st.just("CNY"),
)
DATA: dict[CommandKind, st.SearchStrategy[dict[str, Any]]] = {
    CommandKind.BOOK: st.just({}),
    CommandKind.CHECK_IN: st.just({}),
    CommandKind.CANCEL: st.fixed_dictionaries({"reason": TEXT}),
    CommandKind.PAY: BILLS.map(PaidBill.as_data),
}


def commands(kind: CommandKind) -> st.SearchStrategy[Command]:
    return st.builds(
        Command,
        kind=st.just(kind),
        idempotency_key=st.text(min_size=1, max_size=20),
        appointment_id=st.uuids().map(str),
        patient=CARDS if kind is CommandKind.BOOK else st.none(),
        data=DATA[kind],
    )


class Line:
    """Calls out; what was sent, and what is answered."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.sent = answer, b""

    def send(self, method: str, url: str, *, content: bytes, **_more: Any) -> Answer:
        self.sent = content
        return self.answer


def hospital(line: Line) -> WebhookConnector:
    return WebhookConnector(url="https://hooks.example/", secrets=[push.new_secret()], outgoing=line)  # type: ignore[arg-type]


@given(st.data(), st.sampled_from(CommandKind))
def test_every_command_that_is_sent_fits_and_is_of_no_other_kind(data: st.DataObject, kind: CommandKind) -> None:
    line = Line(Answer(200, {}, b'{"accepted": true}'))
    hospital(line).execute(data.draw(commands(kind)))
    said = json.loads(line.sent)
    assert [name for name, fits in FITS.items() if fits.is_valid(said)] == [kind.value]


def test_a_test_call_fits() -> None:
    line = Line(Answer(204, {}, b""))
    hospital(line).ping("ping:1")
    assert [name for name, fits in FITS.items() if fits.is_valid(json.loads(line.sent))] == [PING]


@pytest.mark.parametrize("kind", CommandKind)
def test_a_member_more_or_less_does_not_fit(kind: CommandKind) -> None:
    line = Line(Answer(200, {}, b'{"accepted": true}'))
    paid = PaidBill("B1", "t-1", 2000, "0" * 32, "alipay", datetime(2026, 3, 2, tzinfo=UTC)).as_data()
    card = PatientCard("林晓雨", "440000199001010000", "13800000000", datetime(1990, 1, 1).date(), "female")
    command = Command(kind, "k", UUID(int=1), str(UUID(int=2)), "T1", card if kind is CommandKind.BOOK else None)
    data = {CommandKind.CANCEL: {"reason": "有事"}, CommandKind.PAY: paid}.get(kind, {})
    hospital(line).execute(Command(kind, "k", command.hospital_id, command.appointment_id, "T1", command.patient, data))
    said = json.loads(line.sent)
    fits = FITS[kind.value]
    assert fits.is_valid(said) and not fits.is_valid({**said, "colour": "green"})
    for name in said:
        assert not fits.is_valid({key: value for key, value in said.items() if key != name}), name
    for part in ("patient", "data"):
        for name in said[part] or {}:
            less = {key: value for key, value in said[part].items() if key != name}
            assert not fits.is_valid({**said, part: less}), (part, name)


ANSWERS = st.fixed_dictionaries(
    {}, optional={"accepted": st.booleans() | st.none() | TEXT, "reference": TEXT | st.integers(), "reason": TEXT}
)


@given(ANSWERS, st.sampled_from([200, *sorted(REFUSALS)]))
@example({"accepted": False, "reason": "号满\0"}, 200)
def test_every_answer_that_fits_is_understood(said: dict[str, Any], status: int) -> None:
    line = Line(Answer(status, {}, json.dumps(said).encode()))
    command = Command(CommandKind.CHECK_IN, "k", UUID(int=1), str(UUID(int=2)))
    if jsonschema_rs.is_valid(command_schema.answer(status), said):
        got = hospital(line).execute(command)
        assert got.accepted is said.get("accepted", False)
        words = [said.get(name, "").replace("\0", "") for name in ("reference", "reason")]  # which no database takes
        assert [got.reference, got.reason] == words
    elif status == 200 and not isinstance(said.get("accepted"), bool):
        with pytest.raises(ConnectorUnavailable):  # it is asked again: neither yes nor no
            hospital(line).execute(command)


def test_the_document_has_each_kind_of_message_with_words_for_all_that_is_in_it() -> None:
    document = json.loads(Client().get("/api/hospitals/v1/openapi.json").content)
    assert list(document["webhooks"]) == command_schema.kinds()
    for kind, item in document["webhooks"].items():
        body = item["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body == command_schema.message(kind)
        for part in (body, body["properties"]["patient"], body["properties"]["data"]):
            assert all(member["description"] for member in part.get("properties", {}).values())
