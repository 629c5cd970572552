"""HL7 v2 as it comes over the wire: frames in pieces, characters of two encodings, escapes that cannot break out."""

import logging
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hospitals.connectors.hl7v2 import messages
from hospitals.connectors.hl7v2.messages import read, timestamp, unescape
from hospitals.connectors.hl7v2.mllp import MAX_GARBAGE, FramingError, Unframer, frame
from hospitals.exceptions import BadEvent

HEAD = "MSH|^~\\&|HIS|H1|COMPANION||20260302090000||ADT^A04|M1|P|2.5.1||||||{charset}"


def message(*lines: str, charset: str = "UNICODE UTF-8", codec: str = "utf-8") -> bytes:
    return "\r".join((HEAD.format(charset=charset), *lines, "")).encode(codec)


# --- framing ------------------------------------------------------------------------------------------------


def test_messages_come_whole_however_the_bytes_are_cut() -> None:
    texts = [b"one", b"", b"three\rlines\r\x0dx", b"x" * 3000]
    stream = b"\r\n".join(frame(text) for text in texts)
    chance = random.Random(7)
    for _ in range(50):
        unframer, found, rest = Unframer(), [], stream
        while rest:
            cut = chance.choice([1, 2, 3, 50, 5000])
            found += unframer.feed(rest[:cut])
            rest = rest[cut:]
        assert found == texts


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"\x0bone\x0btwo\x1c\r", b"\x16\x03\x01", b"\r" * (MAX_GARBAGE + 1)]
)
def test_what_is_no_mllp_ends_the_conversation(data: bytes) -> None:
    with pytest.raises(FramingError):
        Unframer().feed(data)


def test_a_message_has_a_largest_size_also_when_it_never_ends() -> None:
    with pytest.raises(FramingError):
        Unframer(10).feed(b"\x0b" + b"x" * 11)
    with pytest.raises(FramingError):
        Unframer(10).feed(frame(b"x" * 11))
    assert Unframer(10).feed(frame(b"x" * 10)) == [b"x" * 10]


def test_nothing_is_framed_that_would_break_the_frame() -> None:
    with pytest.raises(FramingError):
        frame(b"a\x1cb")


# --- encodings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("", "utf-8"),
        ("GB 18030-2000", "gb18030"),
        ("GBK", "gbk"),
        ("GB2312", "gb2312"),
        ("UNICODE UTF-8~GB 18030-2000", "utf-8"),
    ],
)
def test_names_are_read_in_the_encoding_that_the_message_declares(charset: str, codec: str) -> None:
    assert read(message("PID|1||||林晓雨", charset=charset, codec=codec)).first("PID").field(5) == "林晓雨"


def test_characters_whose_second_byte_is_a_separator_s_do_not_split() -> None:
    """In GB18030 the second byte of a character may be that of | ^ ~ or the backslash."""
    name = "".join(c for c in map(chr, range(0x4E00, 0x9FA5)) if c.encode("gb18030")[-1:] in b"|^~\\")[:200]
    assert len(name) == 200
    raw = message(f"PID|1||||{name}|next", charset="GB 18030-2000", codec="gb18030")
    pid = read(raw).first("PID")
    assert (pid.field(5), pid.field(6)) == (name, "next")


def test_a_hospital_that_declares_nothing_is_read_in_its_own_encoding() -> None:
    raw = message("PID|1||||林晓雨", charset="", codec="gb18030")
    assert read(raw, default="gb18030").first("PID").field(5) == "林晓雨"
    with pytest.raises(BadEvent) as error:
        read(raw)
    assert error.value.code == "bad_encoding"


@pytest.mark.parametrize("charset", ["UNICODE UTF-8", "ISO IR87", "KS X 1001"])
def test_an_encoding_that_is_declared_wrongly_or_unknown_is_refused(charset: str) -> None:
    with pytest.raises(BadEvent) as error:
        read(message("PID|1||||林晓雨", charset=charset, codec="gb18030"))
    assert error.value.code == "bad_encoding"


# --- reading --------------------------------------------------------------------------------------------------


def test_what_is_absent_is_empty_and_never_an_error() -> None:
    found = read(message('PID|1||a^b&c^^d~e^f||""'))
    pid = found.first("PID")
    assert [pid.field(3, n) for n in range(1, 6)] == ["a", "b", "", "d", ""]
    assert (pid.field(3, 2, 2), pid.repetitions(3), pid.field(5), pid.field(99)) == ("f", 2, "", "")
    assert found.first("ZZZ").field(1) == "" and found.all("ZZZ") == []


def test_a_message_may_choose_its_own_separators() -> None:
    raw = b"MSH#*%!$#HIS#H1###20260302##ADT*A04#M1#P#2.5.1\rPID#1##a*b$c%d\r"
    found = read(raw)
    assert (found.kind, found.control_id) == ("ADT^A04", "M1")
    assert (found.first("PID").field(3, 2), found.first("PID").field(3, 1, 2)) == ("b", "d")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"MSH",
        b"MSH|",
        b"MSH|^~",
        b"MSH||||||||||||",
        b"MSH|^~\\^|HIS|||||ADT^A04|M1|P|2.5.1",
        b"PID|1",
        b"MSH|^~\\&|HIS||||20260302||ADT^A04||P|2.5.1",
        b"MSH|^~\\&|HIS||||20260302||ADT^A04|M1|P|2.5.1\rnonsense",
        b"MSH|^~\\&|HIS||||20260302||ADT^A04|M1|P|2.5.1" + b"\rNTE|1" * 2001,
        message("PID|" + "|" * 100_001),
        message("PID|1||" + "~" * 501),
        message("PID|1||" + "^" * 501),
        message(*["NTE|" + "&" * 100] * 1001),
        b"\xff\xfe",
        b"BHS|^~\\&|batch\rMSH|^~\\&|x",
    ],
)
def test_what_is_no_message_is_refused_and_not_quoted(raw: bytes) -> None:
    with pytest.raises(BadEvent) as error:
        read(raw)
    assert "HIS" not in error.value.detail


@given(st.binary(max_size=300))
def test_no_bytes_whatever_raise_anything_else(raw: bytes) -> None:
    for start in (b"", b"MSH|^~\\&|HIS||||20260302||ADT^A04|M1|P|2.5.1\rPID|"):
        try:
            for segment in read(start + raw).segments:
                segment.components(3)
        except BadEvent:
            pass


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("一\\.br\\二", "一\n二"),
        ("\\H\\重\\N\\点", "重点"),
        ("\\XE4B8AD\\", "中"),
        ("\\Z77\\x", "x"),
        ("\\.sp99999999\\x", "\nx"),
        ("half\\open", "half\\open"),
        ("\\X0\\x\\XZZ\\y", "xy"),
    ],
)
def test_escapes(text: str, meaning: str) -> None:
    assert unescape(text) == meaning


@pytest.mark.parametrize(("charset", "codec"), [("GB 18030-2000", "gb18030"), ("UNICODE UTF-8", "utf-8")])
def test_bytes_in_hexadecimal_are_in_the_message_s_own_encoding(charset: str, codec: str) -> None:
    name = "你好".encode(codec).hex().upper()
    received = read(message(f"PID|1||\\X{name}\\", charset=charset, codec=codec))
    assert received.first("PID").field(3) == "你好"


def test_an_escape_nobody_knows_puts_no_word_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        read(message("PID|1||||林晓雨\\Zq\\\\Xqq\\")).first("PID").field(5)
    assert "林晓雨" not in caplog.text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_whatever_is_written_stays_in_its_field(text: str) -> None:
    note = messages.line("NTE", {1: "1", 3: text, 4: "end"})
    found = read(messages.written([HEAD.format(charset="UNICODE UTF-8"), note]))
    assert len(found.segments) == 2 and found.first("NTE").field(4) == "end"


def test_a_name_cannot_smuggle_in_a_segment() -> None:
    sly = "林\rPV1|1|I\nZZZ|1|x^y~z&\\F\\"
    raw = messages.written([HEAD.format(charset="UNICODE UTF-8"), messages.line("PID", {1: "1", 5: sly})])
    found = read(raw)
    assert [s.name for s in found.segments] == ["MSH", "PID"]
    assert found.first("PID").field(5) == "林 PV1|1|I ZZZ|1|x^y~z&\\F\\"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20260302", datetime(2026, 3, 1, 16, tzinfo=UTC)),
        ("202603020930", datetime(2026, 3, 2, 1, 30, tzinfo=UTC)),
        ("20260302093015.25", datetime(2026, 3, 2, 1, 30, 15, 250000, tzinfo=UTC)),
        ("20260302093015.1234+0000", datetime(2026, 3, 2, 9, 30, 15, 123400, tzinfo=UTC)),
        ("20260302093015-0130", datetime(2026, 3, 2, 11, 0, 15, tzinfo=UTC)),
    ],
)
def test_times_have_the_hospital_s_zone_unless_they_bring_their_own(text: str, moment: datetime) -> None:
    assert timestamp(text) == moment


@pytest.mark.parametrize("text", ["", "2026-03-02", "20261302", "20260302250000", "today", "20260302093015+9999"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        timestamp(text)


@pytest.mark.parametrize(("charset", "codec"), [("ASCII", "ascii"), ("8859/1", "latin-1")])
def test_a_sender_whose_encoding_has_no_chinese_is_answered_all_the_same(charset: str, codec: str) -> None:
    received = read(message(charset=charset, codec=codec))
    answer = read(messages.acknowledge(received, "AE", error="204", text="没有找到这个预约。"))
    assert (answer.first("MSA").field(2), answer.first("ERR").field(3)) == ("M1", "204")


@pytest.mark.parametrize(("charset", "codec"), [("GB 18030-2000", "gb18030"), ("UNICODE UTF-8", "utf-8")])
def test_an_acknowledgement_goes_back_to_the_sender_in_its_own_encoding(charset: str, codec: str) -> None:
    raw = messages.acknowledge(
        read(message(charset=charset, codec=codec)), "AE", error="204", text="没有找到这个预约。"
    )
    assert "没有找到".encode(codec) in raw
    answer = read(raw)
    assert answer.kind == "ACK^A04" and answer.first("MSA").field(1) == "AE" and answer.first("MSA").field(2) == "M1"
    assert (answer.first("MSH").field(5), answer.first("MSH").field(6)) == ("HIS", "H1")
    assert (answer.first("ERR").field(3), answer.first("ERR").field(8)) == ("204", "没有找到这个预约。")
