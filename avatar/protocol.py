"""The avatar's messages to the byte: packets, their encoding and a strict decoder; docs/protocol.md tells them in words.

A message is one or more packets, at most 65536 bytes. Integers are little-endian. A packet is a header of 16 bytes

    u8 version (1) | u8 kind | u16 payload length | u32 generation | u32 utterance index | u32 pts_ms

and its payload. Pure: no framework, no I/O. Decoding raises ``avatar.exceptions.ProtocolError`` and nothing else.
"""

import base64
import binascii
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from avatar.exceptions import BadField, MessageTooLarge, MessageTruncated, ProtocolError, UnknownKind, UnknownVersion
from avatar.timeline import MOODS

VERSION = 1
MESSAGE_BYTES = 65536
HEADER = struct.Struct("<BBHIII")
PAYLOAD_BYTES = MESSAGE_BYTES - HEADER.size
TEXT_CHARACTERS = 2000
UINT32 = 0xFFFFFFFF

PCM_S16LE = 0
IMA_ADPCM = 1
ADPCM_BLOCK_BYTES = 512
ADPCM_BLOCK_SAMPLES = (ADPCM_BLOCK_BYTES - 4) * 2 + 1

MOUTH = 0
EYES = 1

_AUDIO = struct.Struct("<B3xII")
_PATCH = struct.Struct("<IB3x")
_RUN = struct.Struct("<BxH")
_FRAME = struct.Struct("<HIB")
_PICTURE = struct.Struct("<B3x")
_CAPTION = struct.Struct("<HHI")

MAX_FRAMES = (PAYLOAD_BYTES - _RUN.size) // _FRAME.size
MAX_JPEG_BYTES = PAYLOAD_BYTES - _PATCH.size


@dataclass(frozen=True, slots=True)
class Start:
    """An utterance begins. ``rig``: the version of the avatar's pictures that its frames mean."""

    KIND: ClassVar[int] = 1
    generation: int
    index: int
    pts_ms: int
    utterance_id: str
    text: str
    avatar: str
    mood: str
    rig: str


@dataclass(frozen=True, slots=True)
class Audio:
    """Mono speech whose first sample sounds at ``pts_ms``. ``data``: ``samples`` int16, plain or in ADPCM blocks."""

    KIND: ClassVar[int] = 2
    generation: int
    index: int
    pts_ms: int
    codec: int
    sample_rate_hz: int
    samples: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Patch:
    """The JPEG of one quantised state of ``part``; frames name it by ``state`` from now on."""

    KIND: ClassVar[int] = 3
    generation: int
    index: int
    pts_ms: int
    state: int
    part: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """At ``pts_ms`` show ``state`` with ``weight``/255 over what was shown before."""

    pts_ms: int
    state: int
    weight: int = 255


@dataclass(frozen=True, slots=True)
class Frames:
    """A run of frames of one part, first at ``pts_ms``, in rising time."""

    KIND: ClassVar[int] = 4
    generation: int
    index: int
    pts_ms: int
    part: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole patch to be shown at ``pts_ms``, from a renderer whose states cannot be indexed."""

    KIND: ClassVar[int] = 5
    generation: int
    index: int
    pts_ms: int
    part: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Caption:
    """A word sounds from ``pts_ms`` to ``end_ms``. ``start`` and ``length`` in code points of the utterance's text."""

    KIND: ClassVar[int] = 6
    generation: int
    index: int
    pts_ms: int
    start: int
    length: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The utterance is complete; its sound lasts ``pts_ms``."""

    KIND: ClassVar[int] = 7
    generation: int
    index: int
    pts_ms: int


@dataclass(frozen=True, slots=True)
class Fallback:
    """No (more) voice: from ``pts_ms`` show ``text`` for ``read_ms``. Ends the utterance as ``End`` does."""

    KIND: ClassVar[int] = 8
    generation: int
    index: int
    pts_ms: int
    utterance_id: str
    code: str
    text: str
    read_ms: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Whatever is older than ``generation`` is dead: stop its sound, drop its pictures."""

    KIND: ClassVar[int] = 9
    generation: int
    index: int = 0
    pts_ms: int = 0


Packet = Start | Audio | Patch | Frames | Picture | Caption | End | Fallback | Flush


def adpcm_bytes(samples: int) -> int:
    """Length of ``samples`` in blocks of 512 bytes (4 of header, which hold the first sample, then two samples a byte).

    The last block ends with its last sample's byte.
    """
    whole, rest = divmod(samples, ADPCM_BLOCK_SAMPLES)
    return whole * ADPCM_BLOCK_BYTES + (4 + rest // 2 if rest else 0)


def _json(value: dict[str, Any]) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise BadField("A text holds half a surrogate pair.") from error


def _payload(packet: Packet) -> bytes:
    match packet:
        case Start():
            return _json(
                {
                    "id": packet.utterance_id,
                    "text": packet.text,
                    "avatar": packet.avatar,
                    "mood": packet.mood,
                    "rig": packet.rig,
                }
            )
        case Audio():
            return _AUDIO.pack(packet.codec, packet.sample_rate_hz, packet.samples) + packet.data
        case Patch():
            return _PATCH.pack(packet.state, packet.part) + packet.jpeg
        case Frames():
            parts = [_RUN.pack(packet.part, len(packet.frames))]
            before = packet.pts_ms
            for frame in packet.frames:
                parts.append(_FRAME.pack(frame.pts_ms - before, frame.state, frame.weight))
                before = frame.pts_ms
            return b"".join(parts)
        case Picture():
            return _PICTURE.pack(packet.part) + packet.jpeg
        case Caption():
            return _CAPTION.pack(packet.start, packet.length, packet.end_ms) + packet.text.encode()
        case Fallback():
            return _json(
                {
                    "id": packet.utterance_id,
                    "code": packet.code,
                    "text": packet.text,
                    "read_ms": packet.read_ms,
                }
            )
    return b""


def encode(packet: Packet) -> bytes:
    """One packet's bytes. Raises ``BadField`` for what the decoder would refuse, ``MessageTooLarge`` for its length."""
    try:
        payload = _payload(packet)
        if len(payload) > PAYLOAD_BYTES:
            raise MessageTooLarge(f"The packet would hold {len(payload)} bytes.")
        head = HEADER.pack(VERSION, packet.KIND, len(payload), packet.generation, packet.index, packet.pts_ms)
    except (struct.error, UnicodeEncodeError) as error:
        raise BadField(f"{type(packet).__name__}: {error}") from error
    _check(packet)
    return head + payload


def decode(message: bytes) -> list[Packet]:
    """The packets of one message, each field checked. Raises ``ProtocolError`` for anything else."""
    return [_read(*found) for found in split(message)]


def split(message: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """(kind, generation, index, pts_ms, payload) of each packet; only the headers are checked."""
    if len(message) > MESSAGE_BYTES:
        raise MessageTooLarge
    if not message:
        raise MessageTruncated("The message is empty.")
    at = 0
    while at < len(message):
        if len(message) - at < HEADER.size:
            raise MessageTruncated
        version, kind, length, generation, index, pts_ms = HEADER.unpack_from(message, at)
        if version != VERSION:
            raise UnknownVersion(f"Version {version}.")
        at += HEADER.size
        if len(message) - at < length:
            raise MessageTruncated
        yield kind, generation, index, pts_ms, message[at : at + length]
        at += length


def readdress(packets: bytes, *, generation: int, index: int) -> bytes:
    """The same packets for another utterance: stored announcements are kept under generation 0, index 0."""
    changed = bytearray(packets)
    at = 0
    while at < len(changed):
        version, kind, length, _, _, pts_ms = HEADER.unpack_from(changed, at)
        HEADER.pack_into(changed, at, version, kind, length, generation, index, pts_ms)
        at += HEADER.size + length
    return bytes(changed)


def packets_of(message: bytes) -> Iterator[bytes]:
    """Each packet's bytes, header and all."""
    at = 0
    while at < len(message):
        end = at + HEADER.size + HEADER.unpack_from(message, at)[2]
        yield message[at:end]
        at = end


def join(packets: Iterable[bytes]) -> Iterator[bytes]:
    """Encoded packets, in order, in as few messages as the limit allows."""
    held: list[bytes] = []
    size = 0
    for packet in packets:
        if held and size + len(packet) > MESSAGE_BYTES:
            yield b"".join(held)
            held, size = [], 0
        held.append(packet)
        size += len(packet)
    if held:
        yield b"".join(held)


def to_text(message: bytes) -> str:
    """The message for a platform that cannot receive binary: standard base64, no line breaks."""
    return base64.b64encode(message).decode("ascii")


def from_text(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError("The text is no base64.") from error


def _read(kind: int, generation: int, index: int, pts_ms: int, payload: bytes) -> Packet:
    packet: Packet
    try:
        if kind == Start.KIND:
            value = _object(payload, ("id", "text", "avatar", "mood", "rig"))
            packet = Start(
                generation, index, pts_ms, value["id"], value["text"], value["avatar"], value["mood"], value["rig"]
            )
        elif kind == Audio.KIND:
            _padding(payload[1:4])
            codec, rate, samples = _AUDIO.unpack_from(payload)
            packet = Audio(generation, index, pts_ms, codec, rate, samples, payload[_AUDIO.size :])
        elif kind == Patch.KIND:
            _padding(payload[5:8])
            state, part = _PATCH.unpack_from(payload)
            packet = Patch(generation, index, pts_ms, state, part, payload[_PATCH.size :])
        elif kind == Frames.KIND:
            _padding(payload[1:2])
            packet = _read_frames(generation, index, pts_ms, payload)
        elif kind == Picture.KIND:
            _padding(payload[1:4])
            (part,) = _PICTURE.unpack_from(payload)
            packet = Picture(generation, index, pts_ms, part, payload[_PICTURE.size :])
        elif kind == Caption.KIND:
            start, length, end_ms = _CAPTION.unpack_from(payload)
            text = payload[_CAPTION.size :].decode()
            packet = Caption(generation, index, pts_ms, start, length, end_ms, text)
        elif kind == Fallback.KIND:
            value = _object(payload, ("id", "code", "text", "read_ms"))
            packet = Fallback(generation, index, pts_ms, value["id"], value["code"], value["text"], value["read_ms"])
        elif kind in (End.KIND, Flush.KIND):
            if payload:
                raise BadField("This kind carries no payload.")
            packet = End(generation, index, pts_ms) if kind == End.KIND else Flush(generation, index, pts_ms)
        else:
            raise UnknownKind(f"Kind {kind}.")
    except struct.error as error:
        raise MessageTruncated("The payload is too short for its kind.") from error
    except UnicodeDecodeError as error:
        raise BadField("The text is no UTF-8.") from error
    _check(packet)
    return packet


def _padding(value: bytes) -> None:
    if any(value):
        raise BadField("Reserved bytes are zero in version 1.")


def _object(payload: bytes, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        value = json.loads(payload.decode())
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadField("The payload is no JSON.") from error
    if not isinstance(value, dict) or tuple(value) != keys:
        raise BadField(f"The payload has these keys in this order: {', '.join(keys)}.")
    return value


def _read_frames(generation: int, index: int, pts_ms: int, payload: bytes) -> Frames:
    part, count = _RUN.unpack_from(payload)
    if len(payload) != _RUN.size + count * _FRAME.size:
        raise BadField("The run's length does not fit its count.")
    frames, at = [], pts_ms
    for delta, state, weight in _FRAME.iter_unpack(payload[_RUN.size :]):
        at += delta
        frames.append(Frame(at, state, weight))
    return Frames(generation, index, pts_ms, part, tuple(frames))


def _check(packet: Packet) -> None:
    """What the field widths alone do not say."""
    ok = True
    match packet:
        case Start():
            ok = (
                packet.pts_ms == 0
                and _text(packet.utterance_id, 1, 64)
                and _text(packet.text, 1, TEXT_CHARACTERS)
                and _text(packet.avatar, 1, 64)
                and packet.mood in MOODS
                and _text(packet.rig, 0, 64)
            )
        case Audio():
            size = {PCM_S16LE: packet.samples * 2, IMA_ADPCM: adpcm_bytes(packet.samples)}.get(packet.codec)
            ok = 8000 <= packet.sample_rate_hz <= 48000 and packet.samples > 0 and size == len(packet.data)
        case Patch():
            ok = packet.part in (MOUTH, EYES) and packet.jpeg[:2] == b"\xff\xd8"
        case Picture():
            ok = packet.part in (MOUTH, EYES) and packet.jpeg[:2] == b"\xff\xd8"
        case Frames():
            ok = packet.part in (MOUTH, EYES) and len(packet.frames) > 0 and packet.frames[-1].pts_ms <= UINT32
        case Caption():
            ok = packet.end_ms >= packet.pts_ms and _text(packet.text, 1, 256) and packet.length > 0
        case Fallback():
            ok = (
                _text(packet.utterance_id, 1, 64)
                and _text(packet.code, 1, 64)
                and _text(packet.text, 0, TEXT_CHARACTERS)
                and type(packet.read_ms) is int
                and 0 <= packet.read_ms <= 3_600_000
            )
        case Flush():
            ok = packet.index == 0 and packet.pts_ms == 0
    if not ok:
        raise BadField(f"A field of {type(packet).__name__} is outside its range.")


def _text(value: object, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and not any("\ud800" <= c <= "\udfff" for c in value)
