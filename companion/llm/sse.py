"""Server-sent events out of raw bytes, bounded; and a model's thinking taken out of what it says."""

from collections.abc import AsyncIterator

from companion.llm.base import ModelNonsense

LONGEST_EVENT = 64 * 1024  # bytes
LONGEST_ANSWER = 512 * 1024  # bytes of the whole stream; 400 tokens need a fifth of it
_OPEN, _CLOSE = "<think>", "</think>"


async def payloads(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The payload of each ``data:`` line; comments and other fields are skipped.

    Raises ``ModelNonsense``: "model_too_long" for an endless line or stream, "model_nonsense" for bytes that are not
    UTF-8.
    """
    held = bytearray()
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > LONGEST_ANSWER:
            raise ModelNonsense(code="model_too_long")
        held += chunk
        *lines, rest = held.split(b"\n")
        held = bytearray(rest)
        for line in lines:
            if (data := _data(bytes(line))) is not None:
                yield data
        if len(held) > LONGEST_EVENT:
            raise ModelNonsense(code="model_too_long")


def _data(line: bytes) -> str | None:
    line = line.rstrip(b"\r")
    if not line.startswith(b"data:"):
        return None
    try:
        return line[5:].decode().strip()
    except UnicodeDecodeError as error:
        raise ModelNonsense from error


class AfterThinking:
    """Drops a leading ``<think>...</think>``, which reasoning models served without a parser put before the answer."""

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"  # start | thinking | blank | speaking

    def feed(self, text: str) -> str:
        """What of this delta may be said already."""
        if self._state == "speaking":
            return text
        self._held += text
        if self._state == "start":
            seen = self._held.lstrip()
            if len(seen) < len(_OPEN) and _OPEN.startswith(seen):
                return ""
            if not seen.startswith(_OPEN):
                return self._speak()
            self._state = "thinking"
        if self._state == "thinking":
            at = self._held.find(_CLOSE)
            if at < 0:
                self._held = self._held[-len(_CLOSE) :]
                return ""
            self._state, self._held = "blank", self._held[at + len(_CLOSE) :]
        self._held = self._held.lstrip()
        return self._speak() if self._held else ""

    def _speak(self) -> str:
        held, self._held, self._state = self._held, "", "speaking"
        return held

    def rest(self) -> str:
        """What was held back when the stream ended; thoughts without an end are never said."""
        return self._speak() if self._state == "start" else ""
