"""MLLP (HL7 v2 Transport Specification, Minimal Lower Layer Protocol): a message between VT and FS CR, with limits."""

VT, FS, CR = b"\x0b", b"\x1c", b"\x0d"
END = FS + CR
MAX_BYTES = 1024 * 1024
MAX_GARBAGE = 1024  # bytes before a start block: line ends that some senders put between messages


class FramingError(Exception):
    """No MLLP, or a message beyond the limit: nothing sensible can follow on this connection."""


def frame(message: bytes) -> bytes:
    """Raises ``FramingError`` when the message itself holds a framing byte."""
    if VT in message or FS in message:
        raise FramingError
    return VT + message + END


class Unframer:
    """Bytes in as they come, whole messages out. Not safe between threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max = max_bytes
        self._held = bytearray()
        self._inside = False
        self._looked = 0  # up to here there is no end block
        self._garbage = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Raises ``FramingError``."""
        self._held += data
        found: list[bytes] = []
        while True:
            if not self._inside:
                start = self._held.find(VT)
                skipped = len(self._held) if start < 0 else start
                if self._held[:skipped].strip(b"\r\n \0"):
                    raise FramingError
                self._garbage += skipped
                if self._garbage > MAX_GARBAGE:
                    raise FramingError
                del self._held[: skipped if start < 0 else start + 1]
                if start < 0:
                    return found
                self._inside, self._looked = True, 0
            end = self._held.find(END, max(0, self._looked - 1))
            if (end if end >= 0 else len(self._held)) > self._max:
                raise FramingError
            if end < 0:
                self._looked = len(self._held)
                return found
            message = bytes(self._held[:end])
            if VT in message:  # a new start before the end: the sender lost its place
                raise FramingError
            found.append(message)
            del self._held[: end + len(END)]
            self._inside, self._garbage = False, 0
