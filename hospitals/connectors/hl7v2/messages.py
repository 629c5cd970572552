"""HL7 v2 as text: the character set of MSH-18, escapes, repetitions; reading that never fails on what is absent.

The hl7 library splits the text. Escapes are resolved here: the library's own writes the patient's words to the log when
it does not know one, and repeats a blank as often as the sender says.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import hl7

from hospitals.exceptions import BadEvent

VERSION = "2.5.1"
SEGMENTS_MAX = 2000
# A large report has some thousand separators, a long field some dozen; splitting costs microseconds for each.
SEPARATORS_MAX, PARTS_MAX = 100_000, 500
CHINA = timezone(timedelta(hours=8))
# HL7 table 0211 → Python's codecs. GBK and GB2312 are parts of GB18030.
CHARSETS = {
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "GB 18030-2000": "gb18030",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
    "ASCII": "ascii",
    "8859/1": "latin-1",
}
_NAMES = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}
_ESCAPES = {".br": "\n", ".sp": "\n", ".ce": "\n", "H": "", "N": ""}
_TIME = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.(\d{1,6})\d*)?([+-]\d{4})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

Components = Sequence[str]
Field = str | Sequence[str | tuple[str, ...]]  # a field, or its components, each of which may have sub-components


# --- reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Segment:
    """One line. Fields are numbered as HL7 numbers them, from 1; whatever is absent or ``""`` is an empty string."""

    name: str
    _fields: Any
    _separators: str  # field, component, sub-component, repetition, escape
    _codec: str = "utf-8"

    def field(self, number: int, component: int = 1, repetition: int = 1, *, sub: int = 1) -> str:
        """The text of a component's sub-component (the first, if not said), with its escapes resolved."""
        try:
            found = str(self._fields[number]).split(self._separators[3])[repetition - 1]
            found = found.split(self._separators[1])[component - 1].split(self._separators[2])[sub - 1]
        except IndexError:
            return ""
        return "" if found == '""' else unescape(found, self._separators, self._codec).strip()

    def repetitions(self, number: int) -> int:
        try:
            return len(str(self._fields[number]).split(self._separators[3]))
        except IndexError:
            return 0

    def components(self, number: int, repetition: int = 1) -> list[str]:
        try:
            count = len(str(self._fields[number]).split(self._separators[3])[repetition - 1].split(self._separators[1]))
        except IndexError:
            return []
        return [self.field(number, n, repetition) for n in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class Message:
    """A message in its order. ``codec``: how it was written, and how the answer will be."""

    segments: tuple[Segment, ...]
    codec: str

    def first(self, name: str) -> Segment:
        """The first segment of that name, or one in which everything is empty."""
        return next((s for s in self.segments if s.name == name), Segment(name, (), "|^&~\\"))

    def all(self, name: str) -> list[Segment]:
        return [s for s in self.segments if s.name == name]

    @property
    def kind(self) -> str:
        """ "SIU^S12"."""
        return f"{self.first('MSH').field(9, 1)}^{self.first('MSH').field(9, 2)}"

    @property
    def control_id(self) -> str:
        return self.first("MSH").field(10)


def read(raw: bytes, *, default: str = "utf-8") -> Message:
    """The message in these bytes. Raises ``BadEvent`` (bad_encoding, bad_message), which quotes nothing of it.

    ``default``: the codec of a hospital that leaves MSH-18 empty.
    """
    text, codec = _decoded(raw, default)
    text = text.replace("\r\n", "\r").replace("\n", "\r").strip("\r")
    if not text.startswith("MSH") or len(text) < 9 or text.count("\r") > SEGMENTS_MAX:
        raise BadEvent("不是 HL7 v2 消息。", code="bad_message")
    separators = text[3] + text[4] + text[7] + text[5] + text[6]  # MSH-1 and MSH-2, in the order of Segment
    if len(set(separators)) != 5 or separators.isspace() or any(c.isalnum() or ord(c) < 33 for c in separators):
        raise BadEvent("不是 HL7 v2 消息。", code="bad_message")
    if _too_many(text, separators):
        raise BadEvent("消息过于复杂。", code="bad_message")
    try:
        parsed = hl7.parse(text)
    except (hl7.HL7Exception, IndexError, ValueError) as error:
        raise BadEvent("不是 HL7 v2 消息。", code="bad_message") from error
    segments = tuple(Segment(str(s[0]), s, separators, codec) for s in parsed)
    if any(not re.fullmatch(r"[A-Z][A-Z0-9]{2}", s.name) for s in segments) or not segments[0].field(10):
        raise BadEvent("不是 HL7 v2 消息。", code="bad_message")
    return Message(segments, codec)


def _too_many(text: str, separators: str) -> bool:
    """Whether the message, or one field of it, has more parts than any honest one."""
    if sum(text.count(mark) for mark in separators[:4]) > SEPARATORS_MAX:
        return True
    fields = text.replace("\r", separators[0]).split(separators[0])
    return any(field.count(separators[1]) + field.count(separators[3]) > PARTS_MAX for field in fields)


def _decoded(raw: bytes, default: str) -> tuple[str, str]:
    """Text and codec. A codec counts only if the message, read with it, declares that very one.

    The bytes cannot simply be searched for MSH-18: the second byte of a GB18030 character may be a separator's.
    """
    for codec in dict.fromkeys((default, "utf-8", "gb18030", "ascii", "latin-1")):
        try:
            text = raw.decode(codec)
        except UnicodeDecodeError:
            continue
        header = re.split(r"[\r\n]", text, maxsplit=1)[0].split(text[3:4] or "|")
        declared = header[17].split("~")[0].strip().upper() if len(header) > 17 else ""
        if declared and declared not in CHARSETS:
            break
        if CHARSETS.get(declared, default) == codec:
            return text, codec
    raise BadEvent("MSH-18 与内容的编码不符。", code="bad_encoding")


def unescape(text: str, separators: str = "|^&~\\", codec: str = "utf-8") -> str:
    """Escape sequences as what they stand for (bytes by ``codec``); those that nobody here knows (fonts, other character sets) fall away."""
    escape = separators[4]
    if escape not in text:
        return text
    own = {"F": separators[0], "S": separators[1], "T": separators[2], "R": separators[3], "E": escape}

    def meaning(found: re.Match[str]) -> str:
        body = found[1]
        if body.startswith("X") and re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", body[1:]):
            try:
                return bytes.fromhex(body[1:]).decode(codec)
            except UnicodeDecodeError:
                return ""
        return (_ESCAPES | own).get(body[:3] if body.startswith(".") else body, "")

    mark = re.escape(escape)
    return re.sub(f"{mark}([^{mark}]{{0,200}}){mark}", meaning, text)


def timestamp(text: str, zone: tzinfo = CHINA) -> datetime:
    """HL7's TS with whatever precision; without a zone it is the hospital's. Raises ``ValueError``."""
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError("not a time")
    year, month, day, hour, minute, second, part, offset = found.groups()
    if offset:
        sign = -1 if offset[0] == "-" else 1
        zone = timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:])))
    return datetime(
        int(year),
        int(month or 1),
        int(day or 1),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((part or "").ljust(6, "0")),
        tzinfo=zone,
    )


# --- writing ------------------------------------------------------------------------------------------------


def escape(text: str) -> str:
    """Text that cannot end its field, its segment or the message."""
    text = _CONTROL.sub(" ", text).replace("\\", "\\E\\")
    for mark, sign in (("|", "F"), ("^", "S"), ("&", "T"), ("~", "R")):
        text = text.replace(mark, f"\\{sign}\\")
    return text


def line(name: str, fields: dict[int, Field]) -> str:
    """A segment from its fields by number; all text is escaped here and nowhere else."""
    values = [""] * (max(fields, default=0) + 1)
    values[0] = name
    for number, value in fields.items():
        parts = [value] if isinstance(value, str) else value
        split = [(part,) if isinstance(part, str) else part for part in parts]
        values[number] = "^".join("&".join(map(escape, part)) for part in split).rstrip("^")
    return "|".join(values)


def header(
    kind: str, control_id: str, *, sender: str, receiver: Components, codec: str = "utf-8", now: datetime | None = None
) -> str:
    """MSH. ``kind``: "SIU^S12^SIU_S12"; ``receiver``: application and facility."""
    moment = now or datetime.now(UTC)
    fields: dict[int, Field] = {
        2: sender,
        4: receiver[0],
        5: receiver[1],
        6: moment.astimezone(CHINA).strftime("%Y%m%d%H%M%S.") + f"{moment.microsecond // 1000:03}+0800",
        8: kind.split("^"),
        9: control_id,
        10: "P",
        11: VERSION,
        17: _NAMES.get(codec, ""),
    }
    # MSH-1 is the separator itself: from here on a field stands one place earlier than its number
    return "MSH|^~\\&" + line("", fields)[1:]


def written(lines: Iterable[str], codec: str = "utf-8", *, errors: str = "strict") -> bytes:
    """Raises ``BadEvent`` (bad_encoding) when the codec cannot say it."""
    try:
        return ("\r".join(lines) + "\r").encode(codec, errors)
    except UnicodeEncodeError as error:
        raise BadEvent("内容不能用约定的编码表示。", code="bad_encoding") from error


def acknowledge(
    message: Message | None,
    code: str,
    *,
    sender: str = "COMPANION",
    text: str = "",
    error: str = "",
    control_id: str = "",
) -> bytes:
    """The answer to a message: AA taken, AE its content is wrong, AR not taken. ``error``: a code of HL7 table 0357.

    Without a message (it could not be read) the answer has an empty MSA-2.
    """
    msh = message.first("MSH") if message else None
    codec = message.codec if message else "utf-8"
    number = control_id or f"A{datetime.now(UTC).strftime('%H%M%S%f')}"
    back = (msh.field(3), msh.field(4)) if msh else ("", "")
    trigger = msh.field(9, 2) if msh else ""
    kind = f"ACK^{trigger}^ACK" if trigger else "ACK"
    lines = [
        header(kind, number, sender=sender, receiver=back, codec=codec),
        line("MSA", {1: code, 2: message.control_id if message else ""}),
    ]
    if error:
        lines.append(line("ERR", {3: (error,), 4: "E", 8: text}))
    # our words may be beyond the sender's encoding; the code says it too, and an answer there must be
    return written(lines, codec, errors="replace")
