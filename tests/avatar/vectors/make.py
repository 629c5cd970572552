"""Writes messages.json, the test vectors that Python and the player both decode: ``python -m tests.avatar.vectors.make``."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from avatar import protocol as p
from avatar.adpcm import Encoder

JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")


def told(packet: p.Packet) -> dict[str, Any]:
    """A packet as JSON: bytes in hex, names in camel case as the player has them."""
    fields: dict[str, Any] = {"kind": type(packet).__name__.upper()}
    for name, value in asdict(packet).items():
        first, *rest = name.split("_")
        key = first + "".join(part.capitalize() for part in rest)
        if isinstance(value, bytes):
            value = value.hex()
        elif name == "frames":
            value = [[frame["pts_ms"], frame["state"], frame["weight"]] for frame in value]
        fields[key] = value
    return fields


def tone(samples: int, rate_hz: int) -> np.ndarray:
    """Integer arithmetic only, so that it is the same on every machine: a triangle of 220 Hz that swells."""
    t = np.arange(samples, dtype=np.int64)
    period = rate_hz // 220
    triangle = np.abs((t % period) * 4 - 2 * period) - period
    return (triangle * np.minimum(t, 2000) * 6 // period).astype(np.int16)


def messages() -> list[tuple[str, list[p.Packet]]]:
    pcm = tone(1764, 22050)
    return [
        ("flush", [p.Flush(7)]),
        ("start", [p.Start(7, 0, 0, "7-0", "请到7号楼1楼B区。", "xiaolan", "smile", "a1b2c3")]),
        ("start, text beyond the basic plane", [p.Start(7, 1, 0, "7-1", "𠮷先生😀好", "xiaolan", "neutral", "")]),
        ("audio, plain", [p.Audio(7, 0, 0, p.PCM_S16LE, 22050, 4, np.array([0, 1, -1, 32767], "<i2").tobytes())]),
        ("audio, adpcm", [p.Audio(7, 0, 80, p.IMA_ADPCM, 22050, len(pcm), Encoder(22050).encode(pcm))]),
        ("patch", [p.Patch(7, 0, 0, 312, p.MOUTH, JPEG)]),
        ("eye patch", [p.Patch(7, 0, 0, 4_000_000_000, p.EYES, JPEG)]),
        ("frames", [p.Frames(7, 0, 40, p.MOUTH, (p.Frame(40, 312), p.Frame(80, 5, 128), p.Frame(120, 0, 0)))]),
        ("picture", [p.Picture(7, 0, 200, p.MOUTH, JPEG)]),
        ("caption", [p.Caption(7, 0, 120, 1, 2, 480, "到7")]),
        ("end", [p.End(7, 0, 2960)]),
        ("fallback", [p.Fallback(7, 2, 640, "7-2", "speech_unavailable", "请看屏幕上的文字。", 1980)]),
        (
            "several packets in one message",
            [
                p.Audio(7, 3, 0, p.PCM_S16LE, 24000, 2, np.array([5, -5], "<i2").tobytes()),
                p.Patch(7, 3, 0, 9, p.MOUTH, JPEG),
                p.Frames(7, 3, 0, p.MOUTH, (p.Frame(0, 9),)),
                p.Caption(7, 3, 0, 0, 1, 200, "您"),
                p.End(7, 3, 200),
            ],
        ),
        ("largest numbers", [p.End(p.UINT32, p.UINT32, p.UINT32)]),
    ]


def refused() -> list[tuple[str, bytes, str]]:
    def packet(kind: int, payload: bytes, length: int | None = None) -> bytes:
        return p.HEADER.pack(1, kind, len(payload) if length is None else length, 1, 0, 0) + payload

    start = b'{"id":"u","text":"a","avatar":"x","mood":"%s","rig":""}'
    return [
        ("nothing", b"", "message_truncated"),
        ("half a header", p.encode(p.Flush(1))[:9], "message_truncated"),
        ("payload cut", p.encode(p.Patch(1, 0, 0, 1, p.MOUTH, JPEG))[:-1], "message_truncated"),
        ("second packet cut", p.encode(p.Flush(1)) + p.encode(p.End(1, 0, 5))[:-1], "message_truncated"),
        ("version 2", b"\x02" + p.encode(p.Flush(1))[1:], "unknown_version"),
        ("kind 0", packet(0, b""), "unknown_kind"),
        ("kind 10", packet(10, b""), "unknown_kind"),
        ("flush with a payload", packet(9, b"x"), "bad_field"),
        ("start that is no JSON", packet(1, b"{"), "bad_field"),
        ("start with an unknown mood", packet(1, start % b"angry"), "bad_field"),
        ("start without an id", packet(1, b'{"text":"a","avatar":"x","mood":"smile","rig":""}'), "bad_field"),
        ("start that is no UTF-8", packet(1, b"\xff\xfe"), "bad_field"),
        ("audio too short for its header", packet(2, bytes(5)), "message_truncated"),
        ("audio of an unknown codec", packet(2, bytes([9, 0, 0, 0, 34, 86, 0, 0, 1, 0, 0, 0, 0, 0])), "bad_field"),
        ("audio with too few bytes", packet(2, bytes([0, 0, 0, 0, 34, 86, 0, 0, 2, 0, 0, 0, 0, 0])), "bad_field"),
        ("audio with a reserved byte", packet(2, bytes([0, 1, 0, 0, 34, 86, 0, 0, 1, 0, 0, 0, 0, 0])), "bad_field"),
        ("patch that is no JPEG", packet(3, bytes(16)), "bad_field"),
        ("patch of part 2", packet(3, bytes([1, 0, 0, 0, 2, 0, 0, 0]) + JPEG), "bad_field"),
        ("frames without a frame", packet(4, bytes(4)), "bad_field"),
        ("frames whose count does not fit", packet(4, bytes([0, 0, 2, 0]) + bytes(7)), "bad_field"),
        ("caption that ends before it begins", packet(6, bytes([0, 0, 1, 0])), "message_truncated"),
        ("fallback with a negative time", packet(8, b'{"id":"u","code":"c","text":"","read_ms":-1}'), "bad_field"),
    ]


def vectors() -> dict[str, Any]:
    return {
        "about": "Messages of the avatar's protocol, version 1; see docs/protocol.md. Written by make.py.",
        "messages": [
            {"name": name, "hex": b"".join(map(p.encode, sent)).hex(), "packets": [told(packet) for packet in sent]}
            for name, sent in messages()
        ],
        "refused": [{"name": name, "hex": data.hex(), "code": code} for name, data, code in refused()],
        "adpcm": adpcm(),
    }


def adpcm() -> dict[str, Any]:
    pcm = tone(1300, 24000)
    data = Encoder(24000).encode(pcm)
    return {"samples": len(pcm), "hex": data.hex(), "decoded": decode_adpcm(data, len(pcm))}


def decode_adpcm(data: bytes, samples: int) -> list[int]:
    """The algorithm as its source tells it; the player's decoder must give the same numbers."""
    out: list[int] = []
    at = 0
    while len(out) < samples:
        value, index = int.from_bytes(data[at : at + 2], "little", signed=True), data[at + 2]
        block = data[at + 4 : at + p.ADPCM_BLOCK_BYTES]
        at += p.ADPCM_BLOCK_BYTES
        out.append(value)
        for byte in block:
            for nibble in (byte & 15, byte >> 4):
                step = STEPS[index]
                change = (
                    (step >> 3)
                    + (step >> 2) * (nibble & 1)
                    + (step >> 1) * (nibble >> 1 & 1)
                    + step * (nibble >> 2 & 1)
                )
                value = max(-32768, min(32767, value - change if nibble & 8 else value + change))
                index = max(0, min(88, index + CHANGES[nibble & 7]))
                out.append(value)
    return out[:samples]


CHANGES = (-1, -1, -1, -1, 2, 4, 6, 8)
# The standard's table: each step about 1.1 times the one before.
# fmt: off
STEPS = (
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107,
    118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963,
    1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894,
    6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794,
    32767,
)
# fmt: on


if __name__ == "__main__":
    path = Path(__file__).parent / "messages.json"
    path.write_text(json.dumps(vectors(), ensure_ascii=False, indent=1) + "\n")
