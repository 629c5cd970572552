"""Commands as HL7 v2 messages and what their acknowledgements mean; a hospital's messages as events."""

import random
import ssl
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hospitals.connectors import codec
from hospitals.connectors.base import (
    Command,
    CommandKind,
    DiagnosticReport,
    EventType,
    Examination,
    FollowUp,
    HospitalEvent,
    Invoice,
    InvoiceLine,
    MedicationRequest,
    MissedCall,
    Observation,
    PatientCard,
    Prescription,
    QueuePosition,
    Reason,
    Reference,
)
from hospitals.connectors.hl7v2 import Hl7v2Connector, events
from hospitals.connectors.hl7v2.messages import read
from hospitals.exceptions import AddressRefused, BadEvent, ConnectorRefused, ConnectorUnavailable, OutcomeUnknown
from tests.hospitals.certificates import certificate
from tests.hospitals.mllp_peer import HisPeer
from tests.hospitals.paid import paid

HOSPITAL = UUID(int=7)
VISIT = "22222222-2222-4222-8222-222222222222"
CARD = PatientCard("林晓雨", "440000199001010000", "13800000000", date(1990, 1, 1), "female")
LOCAL = {"networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"], "tls": False}
NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
E = EventType


@pytest.fixture
def his() -> Iterator[HisPeer]:
    made = HisPeer()
    yield made
    made.close()


def connector(his: HisPeer, **options: Any) -> Hl7v2Connector:
    options = {"facility": "H1", "now": lambda: NOW, **LOCAL, **options}
    return Hl7v2Connector(host="127.0.0.1", port=his.port, **options)


def command(kind: CommandKind, **data: Any) -> Command:
    book = {"patient": CARD} if kind is CommandKind.BOOK else {}
    return Command(kind, f"{kind}:{VISIT}", HOSPITAL, VISIT, "eye.d1.20260302.0900", data=data, **book)


BOOK, CHECK_IN = command(CommandKind.BOOK), command(CommandKind.CHECK_IN)

# --- commands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("charset", "codec"), [("UNICODE UTF-8", "utf-8"), ("GB 18030-2000", "gb18030")])
def test_a_booking_carries_visit_slot_and_card_in_the_hospital_s_encoding(
    his: HisPeer, charset: str, codec: str
) -> None:
    assert connector(his, charset=charset).execute(BOOK).accepted
    (raw,) = his.received
    assert "林晓雨".encode(codec) in raw
    sent = read(raw)
    msh, sch, pid = sent.first("MSH"), sent.first("SCH"), sent.first("PID")
    assert sent.kind == "SIU^S12" and msh.field(6) == "H1" and msh.field(7) == "20260302093000.000+0800"
    assert (sch.field(1), sch.field(1, 2), sch.field(5)) == (VISIT, "COMPANION", "eye.d1.20260302.0900")
    assert (pid.field(3), pid.field(3, 5), pid.field(5)) == (CARD.id_number, "NI", "林晓雨")
    assert (pid.field(7), pid.field(8), pid.field(13)) == ("19900101", "F", "13800000000")
    assert sent.first("AIS").field(3) == "eye.d1.20260302.0900"


def test_later_commands_name_the_visit_and_not_the_person(his: HisPeer) -> None:
    hospital = connector(his)
    hospital.execute(BOOK)
    hospital.execute(command(CommandKind.PAY, **paid("i1").as_data()))
    hospital.execute(CHECK_IN)
    hospital.execute(command(CommandKind.CANCEL, reason="有事"))
    pay, check_in, cancel = (read(raw) for raw in his.received[1:])
    ft1 = pay.first("FT1")
    assert (pay.kind, ft1.field(2), ft1.field(3), ft1.field(6)) == ("DFT^P03", "t-1", "i1", "PY")
    assert (ft1.field(11), ft1.field(11, sub=2), ft1.field(4)) == ("20.00", "CNY", "20260302100000+0800")
    assert (ft1.field(8), ft1.field(23), ft1.field(23, 2)) == ("alipay", "0" * 31 + "1", "COMPANION")
    assert (check_in.kind, check_in.first("PV1").field(19), check_in.first("EVN").field(1)) == ("ADT^A04", VISIT, "A04")
    assert (cancel.kind, cancel.first("SCH").field(6, 2), cancel.first("SCH").field(25)) == (
        "SIU^S15",
        "有事",
        "Cancelled",
    )
    assert not any(CARD.id_number.encode() in raw for raw in his.received[1:])


def test_a_payment_put_down_by_an_earlier_release_still_goes_out(his: HisPeer) -> None:
    hospital = connector(his)
    hospital.execute(BOOK)
    assert hospital.execute(command(CommandKind.PAY, invoice_id="i1", receipt="R-1")).accepted
    ft1 = read(his.received[1]).first("FT1")
    assert (ft1.field(2), ft1.field(4), ft1.field(11)) == ("R-1", "20260302093000+0800", "")


def test_said_again_it_has_the_same_number_and_is_done_once(his: HisPeer) -> None:
    his.mood = "silence"
    with pytest.raises(OutcomeUnknown) as unknown:
        connector(his, answer_s=0.3).execute(BOOK)
    assert unknown.value.retryable
    assert connector(his).execute(BOOK).accepted
    assert len(his.received) == 2 and len(his.done) == 1


def test_a_refusal_carries_the_hospital_s_words(his: HisPeer) -> None:
    his.mood = "refuse"
    answer = connector(his).execute(BOOK)
    assert not answer.accepted and answer.reason == "这个号医院窗口刚刚挂出去了"


@pytest.mark.parametrize(
    ("mood", "error"),
    [("later", ConnectorUnavailable), ("drop", OutcomeUnknown), ("garbage", OutcomeUnknown), ("other", OutcomeUnknown)],
)
def test_what_is_no_answer_is_tried_again(his: HisPeer, mood: str, error: type[ConnectorUnavailable]) -> None:
    his.mood = mood
    with pytest.raises(error) as raised:
        connector(his).execute(BOOK)
    assert raised.value.retryable and type(raised.value) is error


def test_a_system_that_is_not_there_got_nothing(his: HisPeer) -> None:
    his.close()
    with pytest.raises(ConnectorUnavailable) as error:
        connector(his).execute(BOOK)
    assert not isinstance(error.value, OutcomeUnknown)


def test_a_name_the_hospital_s_encoding_cannot_say_is_refused_and_not_sent_mangled(his: HisPeer) -> None:
    with pytest.raises(ConnectorRefused) as error:
        connector(his, charset="ASCII").execute(BOOK)
    assert error.value.code == "bad_encoding" and his.received == []


def test_without_tls_only_where_the_operator_named_the_host(his: HisPeer) -> None:
    with pytest.raises(AddressRefused) as error:
        Hl7v2Connector(host="his.example", port=2575, tls=False)
    assert error.value.code == "not_tls"
    with pytest.raises(AddressRefused):
        Hl7v2Connector(host="10.0.0.1", port=2575)
    rebound = Hl7v2Connector(host="his.example", port=his.port, resolve=lambda host, port: ["169.254.169.254"])
    with pytest.raises(ConnectorUnavailable) as inside:
        rebound.execute(BOOK)
    assert inside.value.code == "private_address"


def test_a_system_without_tls_gets_nothing_from_one_that_expects_it(his: HisPeer) -> None:
    with pytest.raises(ConnectorUnavailable) as error:
        connector(his, tls=True).execute(BOOK)
    assert error.value.code == "no_connection" and his.received == []


def test_with_tls_both_sides_show_who_they_are(tmp_path: Path) -> None:
    theirs, ours, other = (certificate(tmp_path, n) for n in ("his.example", "companion.example", "other.example"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ours)
    tls.load_cert_chain(theirs)
    tls.verify_mode = ssl.CERT_REQUIRED
    his = HisPeer(tls)

    def hospital(host: str, shown: str) -> Hl7v2Connector:
        options: dict[str, Any] = {"networks": ["127.0.0.0/8"], "resolve": lambda host, port: ["127.0.0.1"]}
        return Hl7v2Connector(host=host, port=his.port, ca_file=theirs, cert_file=shown, **options)

    assert hospital("his.example", ours).execute(BOOK).accepted and len(his.done) == 1
    for host, shown in (("elsewhere.example", ours), ("his.example", other), ("his.example", "")):
        with pytest.raises(ConnectorUnavailable):
            hospital(host, shown).execute(BOOK)
    assert len(his.received) == 1
    his.close()


# --- events -------------------------------------------------------------------------------------------------


def from_his(kind: str, *lines: str, control: str = "M1", time: str = "20260302093000") -> tuple[HospitalEvent, ...]:
    head = f"MSH|^~\\&|HIS|H1|COMPANION||{time}||{kind}|{control}|P|2.5.1||||||UNICODE UTF-8"
    return events.happened(read("\r".join((head, *lines)).encode()), hospital_id=HOSPITAL)


def told(kind: str, *lines: str) -> list[tuple[EventType, Any]]:
    return [(event.type, event.data) for event in from_his(kind, *lines)]


SCH = f"SCH|{VISIT}^COMPANION|H-1||||"
PV1 = f"PV1|1|O|EYE^B1-2-E1^^^^^1号楼^2楼^眼科一诊室||||||||||||||||{VISIT}^^^COMPANION^VN"


@pytest.mark.parametrize(
    ("trigger", "kind", "data"),
    [
        ("S12", E.APPOINTMENT_BOOKED, None),
        ("S14", E.APPOINTMENT_BOOKED, None),
        ("S15", E.APPOINTMENT_CANCELLED, Reason("来电取消")),
        ("S17", E.APPOINTMENT_REFUSED, Reason("来电取消")),
        ("S23", E.SCHEDULE_STOPPED, Reason("来电取消", "可改约下午")),
        ("S26", E.APPOINTMENT_NO_SHOW, Reason("来电取消")),
    ],
)
def test_what_becomes_of_an_appointment(trigger: str, kind: EventType, data: Reason | None) -> None:
    assert told(f"SIU^{trigger}", f"{SCH}X^来电取消|X^可改约下午") == [(kind, data)]


def test_the_queue_and_the_room() -> None:
    zqu = "ZQU|70|4|66|10|25|请回到诊室门口报到|3"
    (kind, position), *_rest = told("ADT^A04", PV1, zqu)
    assert kind is E.ENCOUNTER_CHECKED_IN
    at = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
    assert position == QueuePosition("70", 4, "66", "B1-2-E1", "眼科一诊室", "1号楼2楼", at, 10, 25)
    assert [told(f"ADT^{t}", PV1, zqu)[0][0] for t in ("Z01", "Z02")] == [E.QUEUE_CHANGED, E.ENCOUNTER_CALLED]
    assert told("ADT^Z03", PV1, zqu) == [(E.ENCOUNTER_MISSED, MissedCall("请回到诊室门口报到", 3))]
    assert [told(f"ADT^{t}", PV1) for t in ("A10", "A09", "A03")] == [
        [(E.ENCOUNTER_STARTED, None)],
        [(E.ENCOUNTER_FINISHED, None)],
        [(E.VISIT_CLOSED, None)],
    ]


def test_orders_their_execution_and_their_end() -> None:
    obr = "OBR|1|x1||GLU^血糖|||||||||FASTING||||||||||^i1|LAB"
    assert told("ORM^O01", PV1, "ORC|NW|x1", obr, "NTE|1||空腹8小时") == [
        (
            E.EXAMINATION_ORDERED,
            Examination("x1", "血糖", "laboratory", "B1-2-E1", "眼科一诊室", "1号楼2楼", "空腹8小时", True, "i1"),
        )
    ]
    assert told("ORM^O01", PV1, "ORC|SC|x1|||CM", "ORC|CA|x2") == [
        (E.EXAMINATION_COMPLETED, Reference("x1")),
        (E.EXAMINATION_CANCELLED, Reference("x2")),
    ]


def test_a_report_with_panic_values_words_and_a_correction() -> None:
    lines = (
        PV1,
        "OBR|1|x1|d1|GLU^血糖报告||||||||||||||||||20260302100000|||F",
        "NTE|1||请尽快就诊",
        "OBX|1|NM|2345-7^葡萄糖^LN||25.1|mmol/L|3.9-6.1|HH|||F",
        "OBX|2|SN|1988-5^C反应蛋白^LN||<^0.5|mg/L|<5.0|N|||F",
        "OBX|3|CE|U1^尿蛋白||2^阳性~3^复查||阴性|A|||F",
        "OBX|4|NM|U2^作废||1|||||X|X",
        "OBR|2|x2|d2|CBC^血常规|||||||||||||||||||||P",
        "OBX|1|NM|W^白细胞||1|||||P",
    )
    ((kind, report),) = told("ORU^R01", *lines)
    assert kind is E.REPORT_ISSUED and isinstance(report, DiagnosticReport)
    assert (report.id, report.examination_id, report.name, report.conclusion) == ("d1", "x1", "血糖报告", "请尽快就诊")
    assert report.issued_at == datetime(2026, 3, 2, 2, tzinfo=UTC)
    assert report.observations == (
        Observation("2345-7", "葡萄糖", "25.1", "mmol/L", 3.9, 6.1, "HH"),
        Observation("1988-5", "C反应蛋白", "<0.5", "mg/L", None, 5.0, "N"),
        Observation("U1", "尿蛋白", "阳性 复查", "", None, None, "A"),
    )


def test_medicines_and_their_handing_out() -> None:
    lines = (
        PV1,
        "FT1|1||i2",
        "ORC|NW|m1||RX-7|||^^D7",
        "RXE||HS^玻璃酸钠滴眼液|||||SIG^每次1滴\\T\\每日4次|||1|支",
        "NTE|1||间隔5分钟",
        "RXR|OP^滴眼",
        "ORC|NW|m2||RX-7",
        "RXE||LV^左氧氟沙星滴眼液|||||SIG^每次1滴|||1|支",
    )
    ((kind, sheet),) = told("RDE^O11", *lines)
    first = MedicationRequest("m1", "玻璃酸钠滴眼液", "每次1滴&每日4次", "滴眼", 7, "1支", "间隔5分钟")
    second = MedicationRequest("m2", "左氧氟沙星滴眼液", "每次1滴", "", None, "1支", "")
    assert (kind, sheet) == (
        E.PRESCRIPTION_ISSUED,
        Prescription("RX-7", (first, second), "B1-2-E1", "1号楼2楼眼科一诊室", "i2"),
    )
    assert told("RDS^O13", PV1, "ORC|RE|m1||RX-7") == [(E.PRESCRIPTION_DISPENSED, Reference("RX-7"))]


def test_money_by_bill_to_the_fen() -> None:
    lines = (
        PV1,
        "FT1|1||i1|20260302||CG|C1^眼底照相||检查费||80.55&CNY||||40.50&CNY",
        "FT1|2||i1|20260302||CG|C2^散瞳||检查费||12",
        "FT1|3|R-1|i0|20260302||PY",
    )
    bill = Invoice("i1", "检查费", (InvoiceLine("眼底照相", 8055), InvoiceLine("散瞳", 1200)), 9255, 4050, 5205)
    assert told("DFT^P03", *lines) == [(E.INVOICE_ISSUED, bill), (E.INVOICE_PAID, Reference("i0"))]
    assert told("DFT^P03", PV1, "FT1|1||i1|20260302||CD") == [(E.INVOICE_CANCELLED, Reference("i1"))]


def test_a_follow_up_is_an_appointment_of_that_kind() -> None:
    lines = (f"{SCH}X|FU^复查眼压|FOLLOWUP|||^^^20260316", "AIL|1|||EYE^眼科")
    assert told("SIU^S12", *lines) == [(E.FOLLOW_UP_PLANNED, FollowUp(date(2026, 3, 16), "眼科", "复查眼压"))]


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("ADT^A04", (PV1,)),
        ("ADT^Z01", (PV1, "ZQU|70|many")),
        ("ADT^Z01", (PV1, "ZQU|70|-1")),
        ("ADT^Z01", (PV1, "ZQU|70|1||9|3")),
        ("ORM^O01", (PV1, "ORC|NW", "OBR|1")),
        ("ORU^R01", (PV1, "OBR|1||||||||||||||||||||||||F")),
        ("RDE^O11", (PV1, "FT1|1||i2")),
        ("DFT^P03", (PV1, "FT1|1||i1|||CG|C1^x||||0.001")),
        ("DFT^P03", (PV1, "FT1|1||i1|||CG|C1^x||||NaN")),
        ("DFT^P03", (PV1, "FT1|1||i1|||CG|C1^x||||1E+199990")),
        ("DFT^P03", (PV1, "FT1|1||i1|||CG|C1^x||||1E+999999")),
        ("DFT^P03", (PV1, "FT1|1||i1|||CG|C1^x||||1&USD")),
        ("DFT^P03", (PV1, "FT1|1||i1|||CG|C1^x||||1", "FT1|2||i1|||PY")),
        ("SIU^S12", (f"{SCH}X|FU|FOLLOWUP|||^^^soon",)),
    ],
)
def test_a_message_that_breaks_the_contract_is_refused_whole(kind: str, lines: tuple[str, ...]) -> None:
    with pytest.raises(BadEvent):
        from_his(kind, *lines)


def test_order_and_identity_come_from_the_hospital() -> None:
    (booked,) = from_his("SIU^S12", SCH, control="M1")
    (called,) = from_his("ADT^Z02", PV1, "ZQU|70|0", control="M2")
    (later,) = from_his("ADT^Z02", PV1, "ZQU|70|0", "EVN|Z02|20260302093001", control="M 3|")
    assert booked.sequence < called.sequence < later.sequence
    assert (booked.event_id, called.event_id) == ("hl7:M1", "hl7:M2") and len(later.event_id) == 44
    assert from_his("SIU^S12", SCH, control="M1") == (booked,)


def test_other_people_s_messages_tell_nothing() -> None:
    assert told("ADT^A04", "PV1|1|O|||||||||||||||||12345^^^HIS", "ZQU|70|4") == []
    assert told("SIU^S12", f"SCH|{VISIT}^ELSEWHERE") == []
    assert told("ADT^A08", PV1) == []


GOOD = (
    ("SIU^S12", SCH),
    ("SIU^S12", f"{SCH}X|FU^复查眼压|FOLLOWUP|||^^^20260316", "AIL|1|||EYE^眼科"),
    ("ADT^Z01", PV1, "ZQU|70|4|66|10|25|规则|3"),
    ("ADT^Z03", PV1, "ZQU|70|4|66|10|25|规则|3"),
    ("ORM^O01", PV1, "ORC|NW|x1", "OBR|1|x1||GLU^血糖|||||||||FASTING||||||||||^i1|LAB", "NTE|1||空腹"),
    ("ORU^R01", PV1, "OBR|1|x1|d1|G^血糖||||||||||||||||||20260302|||F", "OBX|1|NM|1^糖||25.1|m|3.9-6.1|HH|||F"),
    ("RDE^O11", PV1, "FT1|1||i2", "ORC|NW|m1||RX-7|||^^D7", "RXE||HS^滴眼液|||||SIG^每次1滴|||1|支"),
    ("DFT^P03", PV1, "FT1|1||i1|20260302||CG|C1^照相||费||80.55&CNY||||40.50&CNY"),
)
ODD = [
    "",
    '""',
    "~",
    "^^^",
    "&&",
    "\\",
    "\\X\\",
    "-1",
    "1e999",
    "NaN",
    "99999999999999999999",
    "0001",
    "99991231235959-1400",
    "x" * 300,
]


def test_whatever_stands_in_a_field_is_an_event_or_a_refusal() -> None:
    chance = random.Random(5)
    outcomes: Counter[str] = Counter()
    for turn in range(4000):
        kind, *lines = GOOD[turn % len(GOOD)]
        spoiled = chance.randrange(len(lines))
        fields = lines[spoiled].split("|")
        fields[chance.randrange(1, len(fields))] = chance.choice(ODD)
        lines[spoiled] = "|".join(fields)
        try:
            found = from_his(
                kind, *lines, time=chance.choice(["20260302", "20260302093000", "99991231235959-1400", "soon"])
            )
        except BadEvent:
            outcomes["refused"] += 1
            continue
        for event in found:
            assert codec.parse_event(HOSPITAL, codec.dump_event(event)) == event
        outcomes["told" if found else "not ours"] += 1
    assert min(outcomes["told"], outcomes["refused"], outcomes["not ours"]) > 100
