"""The HL7 v2 door: every message type that it reads, with canaries in each field, as it should be and as it should not."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from companion.background import in_thread
from hospitals.connectors.hl7v2 import events, messages
from hospitals.connectors.hl7v2.mllp import frame
from hospitals.management.commands.mllp import listener
from hospitals.services import hl7_door
from tests.canaries.places import Watch
from tests.canaries.visiting import a_visit, kept
from tests.canaries.words import ALL, ID_NUMBER, NAME, PHONE, SYMPTOM, found_in
from tests.hospitals.test_hl7v2_door import configured  # noqa: F401

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("configured")]
KINDS = sorted(events._READERS)
CODECS = {"UNICODE UTF-8": "utf-8", "GB 18030-2000": "gb18030"}
FITTING: dict[str, dict[int, str]] = {
    "EVN": {2: "20260302093000"},
    "PID": {3: f"{ID_NUMBER}^^^CHN^NI", 5: NAME, 11: ALL, 13: PHONE},
    "SCH": {1: "{visit}^COMPANION", 6: f"X^{ALL}", 7: f"x^{ALL}", 8: "NORMAL", 11: "^^^20261210"},
    "AIL": {1: "1", 4: f"x^{ALL}"},
    "ZQU": {1: "70", 2: "3", 3: "66", 4: "5", 5: "9", 6: ALL, 7: "3"},
    "ORC": {1: "NW", 2: "e1", 4: "p1", 7: "^^D7"},
    "OBR": {2: "e1", 3: "r1", 4: f"E^{ALL}", 22: "20260302", 24: "LAB", 25: "F"},
    "NTE": {1: "1", 3: ALL},
    "OBX": {1: "1", 2: "ST", 3: f"C^{ALL}", 5: ALL, 6: NAME, 7: ALL, 8: "H", 11: "F"},
    "RXE": {2: f"M^{ALL}", 7: f"x^{ALL}", 10: "1", 11: NAME},
    "RXR": {1: f"x^{ALL}"},
    "FT1": {1: "1", 3: "i1", 6: "CG", 7: f"x^{ALL}", 9: ALL, 11: "1.00", 15: "0"},
    "PV1": {1: "1", 2: "O", 3: f"R1^R1^^^^^{NAME}^{PHONE}^{ALL}", 19: "{visit}^^^COMPANION"},
}


def text(
    kind: str, visit: Any, charset: str, control: str, segments: dict[str, dict[int, str]] = FITTING, mode: str = "P"
) -> bytes:
    head = f"MSH|^~\\&|HIS|H1|COMPANION||20260302093000||{kind}|{control}|{mode}|2.5.1||||||{charset}"
    lines = [head]
    for name, values in segments.items():
        row = [name] + [""] * max(values)
        for number, value in values.items():
            row[number] = value.format(visit=visit)
        lines.append("|".join(row))
    return "\r".join(lines).encode(CODECS.get(charset, "utf-8"))


def spoilt(kind: str, visit: Any) -> Iterator[bytes]:
    """The same kind with canaries where a number, a time or a code belongs; and what is no message."""
    everywhere = {name: dict.fromkeys(range(1, 30), ALL) for name in FITTING}
    ours = {"SCH": everywhere["SCH"] | {1: FITTING["SCH"][1]}, "PV1": everywhere["PV1"] | {19: FITTING["PV1"][19]}}
    yield text(kind, visit, "UNICODE UTF-8", f"wrong-{kind}", everywhere | ours)
    yield text(kind, "x", "UNICODE UTF-8", f"strange-{kind}", everywhere)
    yield text(kind, visit, "UNICODE UTF-8", f"test-{kind}", mode=PHONE)
    yield text(kind, visit, NAME, f"charset-{kind}")
    yield text(kind, "d5e1a9f0-0000-4000-8000-000000000001", "UNICODE UTF-8", f"unknown-{kind}")
    yield text(kind, visit, "GB 18030-2000", f"mixed-{kind}").replace(b"GB 18030-2000", b"ASCII")


def test_every_message_type_that_the_door_reads(watch: Watch) -> None:
    row = a_visit("one-hl7")
    peers = hl7_door.admit("127.0.0.1")
    answers = []
    for number, kind in enumerate(KINDS):
        charset = list(CODECS)[number % 2]
        answer = messages.read(hl7_door.take(peers, text(kind, row.id, charset, f"M-{number}")))
        assert answer.first("MSA").field(1) == "AA", kind
    assert len(KINDS) >= 19
    watch.work()
    assert len(kept(row)) >= 14 and set(kept(row).values()) == {"done"}
    for kind in [*KINDS, f"ZZZ^{PHONE}"]:
        answers += [hl7_door.take(peers, raw) for raw in spoilt(kind, row.id)]
    answers += [hl7_door.take(peers, raw) for raw in (ALL.encode(), ALL.encode("gbk"), b"MSH|^~\\&|" + ALL.encode())]
    answers.append(hl7_door.take(peers, text("SIU^S12", row.id, "UNICODE UTF-8", SYMPTOM)))
    answers.append(hl7_door.take(peers, text("SIU^S15", row.id, "UNICODE UTF-8", SYMPTOM)))
    watch.work()
    # what comes back: the number of the message, and a trigger event, as the standard asks
    told = [answer.replace(SYMPTOM.encode(), b"").replace(PHONE.encode(), b"") for answer in answers]
    assert found_in(b"".join(told)) == []
    assert watch.found() == {}


async def test_what_comes_over_the_wire_and_is_no_message(watch: Watch) -> None:
    door = listener()
    port = await door.start("127.0.0.1", 0)
    for raw in (ALL.encode(), b"\x0b" + ALL.encode() + b"\x0b", frame(ALL.encode()), b"\x0b" + ALL.encode() * 20_000):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):  # it need not hear us out
            writer.write(raw)
            writer.write_eof()
            assert found_in(await reader.read()) == []
        writer.close()
    await door.stop()
    assert await in_thread(watch.found) == {}
