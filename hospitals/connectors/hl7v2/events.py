"""What comes in: a message, read as the events that it tells. Pure: no calls, no clock.

MSH-10 makes a message once; ``sequence`` is the hospital's time of it in milliseconds, times 1000, and the event's place
in a visit. A message of a visit that is not ours gives nothing.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
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
from hospitals.connectors.hl7v2.messages import CHINA, Message, Segment, timestamp
from hospitals.connectors.hl7v2.orders import SENDER
from hospitals.connectors.money import fen
from hospitals.exceptions import BadEvent

E = EventType
_RANK = {kind: number for number, kind in enumerate(EventType)}
_SAFE_ID = re.compile(r"[\w.-]{1,80}", re.ASCII)
Told = Iterator[tuple[EventType, EventData]]

# OBR-24, HL7 table 0074 (diagnostic service section). Whatever else there is, is a procedure.
_LABORATORY = frozenset({"LAB", "CH", "HM", "MB", "BLB", "CG", "CO", "CP", "IMM", "MCB", "SP", "TX", "VR", "BG"})
_IMAGING = frozenset({"RAD", "CT", "CUS", "CTH", "NMR", "NMS", "NRS", "RUS", "RX", "VUS", "XRC", "OUS", "US"})
# OBX-8, HL7 table 0078. Panic values stay panic values; a flag that we do not know is at least "not normal".
_FLAGS = {
    "": "N",
    "N": "N",
    "H": "H",
    "L": "L",
    "HH": "HH",
    "LL": "LL",
    "A": "A",
    "AA": "HH",
    ">": "H",
    "<": "L",
    "S": "N",
}
_RANGE = re.compile(r"\s*(-?\d+(?:\.\d+)?)?\s*(-|~|—|--|<|>|<=|>=)\s*(-?\d+(?:\.\d+)?)\s*")


def understood(message: Message) -> bool:
    """Whether this kind of message can tell anything here."""
    return message.kind in _READERS


def appointment_id(message: Message) -> str:
    """Our visit's id: SCH-1, or the visit number PV1-19 or PV1-50 under our authority; "" if it is not ours."""
    sch = message.first("SCH")
    if sch.field(1, 2) == SENDER:
        return sch.field(1)
    pv1 = message.first("PV1")
    for number in (19, 50):
        for repetition in range(1, pv1.repetitions(number) + 1):
            if pv1.field(number, 4, repetition) == SENDER:
                return pv1.field(number, 1, repetition)
    return ""


def happened(message: Message, *, hospital_id: UUID, zone: tzinfo = CHINA) -> tuple[HospitalEvent, ...]:
    """The events of this message, none when it is about nobody of ours. Raises ``BadEvent``."""
    visit = appointment_id(message)
    if not visit or not understood(message):
        return ()
    key = message.control_id
    if not _SAFE_ID.fullmatch(key):
        key = hashlib.sha256(key.encode()).hexdigest()[:40]
    try:
        at = timestamp(message.first("EVN").field(2) or message.first("MSH").field(7), zone)
        told = list(_READERS[message.kind](message, at, zone))
        sequence = int(at.timestamp() * 1000) * 1000
        found = [
            HospitalEvent(
                event_id=f"hl7:{key}" + (f":{number}" if number else ""),
                type=kind,
                hospital_id=hospital_id,
                appointment_id=visit,
                sequence=sequence + _RANK[kind],
                occurred_at=at,
                data=data,
            )
            for number, (kind, data) in enumerate(told)
        ]
        # held to the rules that a pushed event is held to
        return tuple(codec.parse_event(hospital_id, codec.dump_event(event)) for event in found)
    except (ValueError, IndexError, ArithmeticError) as error:
        raise BadEvent("消息缺少需要的内容。", code="bad_message") from error


# --- SIU: the appointment -------------------------------------------------------------------------------------


def _siu(message: Message, at: datetime, zone: tzinfo) -> Told:
    sch, trigger = message.first("SCH"), message.first("MSH").field(9, 2)
    reason = sch.field(6, 2)
    if sch.field(8) == "FOLLOWUP":
        due = timestamp(sch.field(11, 4), zone).date()
        yield E.FOLLOW_UP_PLANNED, FollowUp(due, message.first("AIL").field(4, 2), sch.field(7, 2))
    elif trigger in ("S12", "S13", "S14"):
        yield E.APPOINTMENT_BOOKED, None
    elif trigger == "S15":
        yield E.APPOINTMENT_CANCELLED, Reason(reason or "预约已取消")
    elif trigger == "S17":
        yield E.APPOINTMENT_REFUSED, Reason(reason or "医院没有接受这次预约")
    elif trigger == "S23":
        yield E.SCHEDULE_STOPPED, Reason(reason or "停诊", sch.field(7, 2))
    else:
        yield E.APPOINTMENT_NO_SHOW, Reason(reason or "过了就诊时间没有取号")


# --- ADT: the queue and the room --------------------------------------------------------------------------------


def _place(pv1: Segment) -> tuple[str, str, str]:
    """PV1-3 as (room code, name, where it is): PL.2, PL.9, PL.7 and PL.8."""
    return pv1.field(3, 2) or pv1.field(3, 1), pv1.field(3, 9), pv1.field(3, 7) + pv1.field(3, 8)


def _whole(text: str) -> int | None:
    """A whole number; None for nothing. Raises ``ValueError``."""
    return int(text) if text else None


def _queue(message: Message, at: datetime) -> QueuePosition:
    zqu = message.first("ZQU")
    if not zqu.field(1):
        raise ValueError("no ticket")
    code, name, place = _place(message.first("PV1"))
    return QueuePosition(
        ticket=zqu.field(1),
        ahead=_whole(zqu.field(2)) or 0,
        now_serving=zqu.field(3),
        room_code=code,
        room_name=name,
        place=place,
        as_of=at,
        wait_low_min=_whole(zqu.field(4)),
        wait_high_min=_whole(zqu.field(5)),
    )


def _adt(message: Message, at: datetime, zone: tzinfo) -> Told:
    trigger = message.first("MSH").field(9, 2)
    positions = {"A04": E.ENCOUNTER_CHECKED_IN, "Z01": E.QUEUE_CHANGED, "Z02": E.ENCOUNTER_CALLED}
    if trigger in positions:
        yield positions[trigger], _queue(message, at)
    elif trigger == "Z03":
        zqu = message.first("ZQU")
        yield E.ENCOUNTER_MISSED, MissedCall(zqu.field(6) or "请回到诊室门口重新报到。", _whole(zqu.field(7)) or 0)
    else:
        yield {"A10": E.ENCOUNTER_STARTED, "A09": E.ENCOUNTER_FINISHED, "A03": E.VISIT_CLOSED}[trigger], None


# --- ORM, ORU: examinations ---------------------------------------------------------------------------------------


def _groups(message: Message, opens: str) -> list[list[Segment]]:
    """The segments from each ``opens`` up to the next."""
    groups: list[list[Segment]] = []
    for segment in message.segments:
        if segment.name == opens:
            groups.append([])
        if groups:
            groups[-1].append(segment)
    return groups


def _of(group: list[Segment], name: str) -> Segment:
    return next((s for s in group if s.name == name), Segment(name, (), "|^&~\\"))


def _orm(message: Message, at: datetime, zone: tzinfo) -> Told:
    code, name, place = _place(message.first("PV1"))
    for group in _groups(message, "ORC"):
        orc, obr = _of(group, "ORC"), _of(group, "OBR")
        exam_id = obr.field(2) or orc.field(2)
        if orc.field(1) in ("CA", "OC", "DC", "OD"):
            yield E.EXAMINATION_CANCELLED, Reference(exam_id)
        elif orc.field(5) == "CM":
            yield E.EXAMINATION_COMPLETED, Reference(exam_id)
        else:
            section = obr.field(24)
            kind = "laboratory" if section in _LABORATORY else "imaging" if section in _IMAGING else "procedure"
            yield (
                E.EXAMINATION_ORDERED,
                Examination(
                    id=exam_id,
                    name=obr.field(4, 2) or obr.field(4),
                    kind=kind,
                    room_code=code,
                    room_name=name,
                    place=place,
                    preparation="\n".join(s.field(3) for s in group if s.name == "NTE"),
                    fasting=obr.field(13).upper() == "FASTING",
                    invoice_id=obr.field(23, 2),
                ),
            )


def _oru(message: Message, at: datetime, zone: tzinfo) -> Told:
    """One report for each OBR that the laboratory stands by (OBR-25 F or C); notes before the first OBX conclude it."""
    for group in _groups(message, "OBR"):
        obr = group[0]
        if obr.field(25) not in ("F", "C", "A"):
            continue
        first = next((n for n, s in enumerate(group) if s.name == "OBX"), len(group))
        lines = [s for s in group if s.name == "OBX" and s.field(11) not in ("X", "D", "W", "N")]
        yield (
            E.REPORT_ISSUED,
            DiagnosticReport(
                id=obr.field(3) or obr.field(2),
                name=obr.field(4, 2) or obr.field(4),
                issued_at=timestamp(obr.field(22), zone) if obr.field(22) else at,
                observations=tuple(_observation(s) for s in lines),
                conclusion="\n".join(s.field(3) for s in group[:first] if s.name == "NTE"),
                examination_id=obr.field(2),
            ),
        )


def _observation(obx: Segment) -> Observation:
    low, high = _span(obx.field(7))
    kind = obx.field(2)
    values = []
    for repetition in range(1, obx.repetitions(5) + 1):
        parts = obx.components(5, repetition)
        if kind in ("CE", "CWE"):
            values.append(obx.field(5, 2, repetition) or obx.field(5, 1, repetition))
        else:
            values.append("".join(parts) if kind == "SN" else parts[0] if parts else "")
    return Observation(
        code=obx.field(3),
        name=obx.field(3, 2) or obx.field(3),
        value=" ".join(v for v in values if v),
        unit=obx.field(6),
        low=low,
        high=high,
        interpretation=_FLAGS.get(obx.field(8).upper(), "A"),
    )


def _span(text: str) -> tuple[float | None, float | None]:
    """ "3.9-6.1", "<5.2", ">=60" as (low, high); words give none."""
    found = _RANGE.fullmatch(text)
    if not found:
        return None, None
    low, sign, high = found.groups()
    if sign.startswith("<"):
        return None, float(high)
    if sign.startswith(">"):
        return float(high), None
    return (float(low) if low else None), float(high)


# --- RDE, RDS: medicines ------------------------------------------------------------------------------------------


def _rde(message: Message, at: datetime, zone: tzinfo) -> Told:
    """The medicines of one sheet; ORC-4 (placer group number) names it."""
    groups = _groups(message, "ORC")
    items = []
    for group in groups:
        orc, rxe, rxr = _of(group, "ORC"), _of(group, "RXE"), _of(group, "RXR")
        lasts = re.fullmatch(r"D(\d{1,3})", orc.field(7, 3))
        items.append(
            MedicationRequest(
                id=orc.field(2),
                medicine=rxe.field(2, 2) or rxe.field(2),
                dosage=rxe.field(7, 2) or rxe.field(7),
                route=rxr.field(1, 2) or rxr.field(1),
                days=int(lasts[1]) if lasts else None,
                quantity=rxe.field(10) + (rxe.field(11, 2) or rxe.field(11)),
                instructions="\n".join(s.field(3) for s in group if s.name == "NTE"),
            )
        )
    code, name, place = _place(message.first("PV1"))
    number = message.first("ORC").field(4)
    bill = message.first("FT1").field(3)
    yield E.PRESCRIPTION_ISSUED, Prescription(number, tuple(items), code, f"{place}{name}", bill)


def _rds(message: Message, at: datetime, zone: tzinfo) -> Told:
    yield E.PRESCRIPTION_DISPENSED, Reference(message.first("ORC").field(4))


# --- DFT: money ---------------------------------------------------------------------------------------------------


def _dft(message: Message, at: datetime, zone: tzinfo) -> Told:
    """FT1 lines by bill (FT1-3): CG charges, PY says it is paid, CD takes it back."""
    bills: dict[str, list[Segment]] = {}
    for ft1 in message.all("FT1"):
        if any(ft1.field(number, sub=2) not in ("", "CNY", "RMB") for number in (11, 15)):
            raise ValueError("currency")
        bills.setdefault(ft1.field(3), []).append(ft1)
    for number, lines in bills.items():
        kinds = {ft1.field(6) for ft1 in lines}
        if kinds == {"PY"}:
            yield E.INVOICE_PAID, Reference(number)
        elif kinds == {"CD"}:
            yield E.INVOICE_CANCELLED, Reference(number)
        elif kinds == {"CG"}:
            items = tuple(
                InvoiceLine(ft1.field(7, 2) or ft1.field(8) or ft1.field(7), fen(ft1.field(11) or "0")) for ft1 in lines
            )
            total, insurance = sum(i.amount_fen for i in items), sum(fen(ft1.field(15) or "0") for ft1 in lines)
            yield (
                E.INVOICE_ISSUED,
                Invoice(number, lines[0].field(9) or "费用", items, total, insurance, total - insurance),
            )
        else:
            raise ValueError("mixed transactions")


_READERS: dict[str, Callable[[Message, datetime, tzinfo], Told]] = {
    **dict.fromkeys(("SIU^S12", "SIU^S13", "SIU^S14", "SIU^S15", "SIU^S17", "SIU^S23", "SIU^S26"), _siu),
    **dict.fromkeys(("ADT^A03", "ADT^A04", "ADT^A09", "ADT^A10", "ADT^Z01", "ADT^Z02", "ADT^Z03"), _adt),
    "ORM^O01": _orm,
    "ORU^R01": _oru,
    "RDE^O11": _rde,
    "RDS^O13": _rds,
    "DFT^P03": _dft,
}
