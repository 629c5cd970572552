"""libespeak-ng (GPL-3) in a process of its own: JSON lines in on stdin, framed sound and events out on stdout.

A request is {"text": pinyin syllables, "rate": words a minute, "pitch": 0..100}. The answer is a stream of frames,
one byte of kind and a big-endian u32 length: ``S`` the sample rate, ``P`` int16 sound, ``J`` a JSON list of events
[kind, text position, ms, phoneme], ``E`` the end, ``X`` a refusal with its reason. It ends when stdin does. Nothing of the
service is imported here, so that this file may be replaced together with the library.
"""

import ctypes
import json
import struct
import sys
from typing import Any

import espeakng_loader

VOICE = b"cmn-latn-pinyin"
AUDIO_OUTPUT_SYNCHRONOUS = 2
PHONEME_EVENTS = 1
CHARS_UTF8 = 1
RATE, PITCH, RANGE = 1, 3, 4
LIVELINESS = 55
BUFFER_MS = 120
EVENT_END, EVENT_WORD, EVENT_PHONEME = 0, 1, 7


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def write(kind: bytes, data: bytes = b"") -> None:
    sys.stdout.buffer.write(kind + struct.pack(">I", len(data)) + data)


def heard(wave: Any, samples: int, events: Any) -> int:
    """The library's callback: passes on the sound and the events of one buffer."""
    found, i = [], 0
    while events[i].type != EVENT_END:
        event = events[i]
        if event.type in (EVENT_WORD, EVENT_PHONEME):
            name = event.id.string.decode("utf-8", "replace") if event.type == EVENT_PHONEME else ""
            found.append([event.type, event.text_position, event.audio_position, name])
        i += 1
    if found:
        write(b"J", json.dumps(found).encode())
    if wave and samples > 0:
        write(b"P", ctypes.string_at(wave, samples * 2))
    return 0


def main() -> None:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate_hz = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, data, PHONEME_EVENTS)
    if rate_hz <= 0 or library.espeak_SetVoiceByName(VOICE) != 0:
        sys.exit("libespeak-ng has no Mandarin voice")
    callback = _Callback(heard)
    library.espeak_SetSynthCallback(callback)
    write(b"S", struct.pack(">I", rate_hz))
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
            library.espeak_SetParameter(RATE, int(request["rate"]), 0)
            library.espeak_SetParameter(PITCH, int(request["pitch"]), 0)
            library.espeak_SetParameter(RANGE, LIVELINESS, 0)
            text = request["text"].encode() + b"\0"
            done = library.espeak_Synth(text, len(text), 0, 1, 0, CHARS_UTF8, None, None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            write(b"X", type(error).__name__.encode())
        else:
            write(*((b"E",) if done == 0 else (b"X", b"espeak_Synth")))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
