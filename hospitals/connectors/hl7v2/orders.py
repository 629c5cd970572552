"""What goes out: each command as one message, and what its acknowledgement means.

Said again, a command has the same MSH-10, by which the hospital's system recognises it. The visit's id is the placer's
appointment id (SCH-1) and the visit number (PV1-19) under our authority.
"""

import hashlib
from datetime import datetime
from typing import Any

from hospitals.connectors.base import Acknowledgement, Command, CommandKind, PatientCard
from hospitals.connectors.hl7v2.messages import CHINA, Field, Message, header, line, written
from hospitals.connectors.money import yuan
from hospitals.exceptions import ConnectorUnavailable, OutcomeUnknown

SENDER = "COMPANION"
KINDS = {
    CommandKind.BOOK: "SIU^S12^SIU_S12",
    CommandKind.CANCEL: "SIU^S15^SIU_S12",
    CommandKind.CHECK_IN: "ADT^A04^ADT_A01",
    CommandKind.PAY: "DFT^P03^DFT_P03",
}
# HL7 table 0357: what a system says that cannot do it now, and that has done it already.
_LATER, _DONE_ALREADY = frozenset({"206", "207"}), "205"
_SEX = {"male": "M", "female": "F"}


def control_id(command: Command) -> str:
    """MSH-10 holds 20 characters: a digest of the idempotency key."""
    return hashlib.sha256(command.idempotency_key.encode()).hexdigest()[:20].upper()


def message(command: Command, *, receiver: tuple[str, str], codec: str, now: datetime) -> bytes:
    """The framed text's inside. Raises ``BadEvent`` when the codec cannot say a name."""
    stamp = now.astimezone(CHINA).strftime("%Y%m%d%H%M%S+0800")
    lines = [header(KINDS[command.kind], control_id(command), sender=SENDER, receiver=receiver, codec=codec, now=now)]
    visit: Field = (command.appointment_id, "", "", SENDER, "VN")
    if command.kind in (CommandKind.BOOK, CommandKind.CANCEL):
        book = command.kind is CommandKind.BOOK
        reason = "" if book else str(command.data.get("reason", ""))
        lines.append(
            line(
                "SCH",
                {
                    1: (command.appointment_id, SENDER),
                    5: command.slot_identifier,
                    6: ("BOOK" if book else "PATIENT", reason),
                    16: SENDER,
                    20: SENDER,
                    25: "Booked" if book else "Cancelled",
                },
            )
        )
    else:
        trigger = KINDS[command.kind].split("^")[1]
        lines.append(line("EVN", {1: trigger, 2: stamp}))
    lines.append(_patient(command.patient, visit))
    lines.append(line("PV1", {1: "1", 2: "O", 19: visit}))
    if command.kind is CommandKind.PAY:
        lines.append(_payment(command.data, stamp))
    elif command.kind is not CommandKind.CHECK_IN:
        lines += [line("RGS", {1: "1"}), line("AIS", {1: "1", 3: command.slot_identifier})]
    return written(lines, codec)


def _payment(paid: dict[str, Any], stamp: str) -> str:
    """FT1. A command put down by a release before this one says the bill and the receipt alone."""
    bill = str(paid.get("invoice_id", ""))
    fields: dict[int, Field] = {1: "1", 2: str(paid.get("receipt", "")), 3: bill, 4: stamp, 6: "PY", 7: bill}
    if "amount_fen" in paid:
        at = datetime.fromisoformat(paid["paid_at"]).astimezone(CHINA)
        fields |= {4: at.strftime("%Y%m%d%H%M%S+0800"), 8: paid["gateway"]}
        fields |= {11: ((yuan(paid["amount_fen"]), paid["currency"]),), 23: (paid["order_number"], SENDER)}
    return line("FT1", fields)


def _patient(card: PatientCard | None, visit: Field) -> str:
    """PID. After the booking the hospital knows the patient by the visit: the card is not sent again."""
    if card is None:
        return line("PID", {1: "1", 3: visit})
    return line(
        "PID",
        {
            1: "1",
            3: (card.id_number, "", "", "CHN", "NI"),
            5: card.name,
            7: card.birth_date.strftime("%Y%m%d"),
            8: _SEX.get(card.sex, "U"),
            13: card.phone,
        },
    )


def answer(reply: Message, expected: str) -> Acknowledgement:
    """What the acknowledgement says. Raises ``OutcomeUnknown`` when it is none of ours, ``ConnectorUnavailable`` for "later"."""
    msa, err = reply.first("MSA"), reply.first("ERR")
    if msa.field(2) != expected:
        raise OutcomeUnknown(code="another_acknowledgement")
    code, error = msa.field(1), err.field(3)
    words = err.field(8) or msa.field(3) or err.field(7)
    if code in ("AA", "CA") or error == _DONE_ALREADY:
        return Acknowledgement(accepted=True, reference=reply.first("SCH").field(2) or reply.first("PV1").field(50))
    if code in ("AE", "AR", "CE", "CR"):
        if error in _LATER:
            raise ConnectorUnavailable(code="hospital_busy")
        return Acknowledgement(accepted=False, reason=words[:200] or "医院没有接受这项请求。")
    raise OutcomeUnknown(code="bad_acknowledgement")
