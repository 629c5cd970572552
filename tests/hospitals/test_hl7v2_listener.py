"""The open door: strangers are turned away, messages are answered one by one, nobody can hold it open or fill it."""

import asyncio
import ssl
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command

from hospitals.connectors.hl7v2.listener import Listener
from hospitals.connectors.hl7v2.mllp import frame
from tests.hospitals import mllp_peer
from tests.hospitals.certificates import certificate

MESSAGE = b"MSH|^~\\&|HIS|H1|COMPANION||20260302||ADT^A04|M%d|P|2.5.1\r"
ANSWER = b"MSH|^~\\&|COMPANION||HIS|H1|20260302||ACK|A1|P|2.5.1\rMSA|AA|%s\r"


class Door:
    """A listener that remembers what it was given."""

    def __init__(self, **options: object) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.admitted: str | None = "H1"
        self.listener = Listener(self._admit, self._take, **options)  # type: ignore[arg-type]

    async def _admit(self, peer: str) -> str | None:
        return self.admitted

    async def _take(self, who: str, message: bytes) -> bytes:
        self.taken.append((who, message))
        return ANSWER % message.split(b"|")[9]

    async def __aenter__(self) -> "Door":
        self.port = await self.listener.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.listener.stop()

    async def sent(self, raw: bytes) -> bytes:
        """All that comes back until the door closes the connection or has answered every message."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            if writer.can_write_eof():
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def test_each_message_is_answered_in_order_on_one_connection() -> None:
    async with Door() as door:
        answers = await asyncio.to_thread(mllp_peer.send, door.port, *(MESSAGE % n for n in range(5)), pieces=7)
    assert [a.first("MSA").field(2) for a in answers] == [f"M{n}" for n in range(5)]
    assert [who for who, _message in door.taken] == ["H1"] * 5


async def test_a_stranger_is_turned_away_unheard() -> None:
    async with Door() as door:
        door.admitted = None
        assert await door.sent(frame(MESSAGE % 1)) == b"" and door.taken == []


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\r\n\r\n", b"\x0b" + b"x" * 2001, b"\x0b" + MESSAGE % 1])
async def test_what_is_no_mllp_too_long_or_unfinished_is_not_taken(raw: bytes) -> None:
    async with Door(max_bytes=2000) as door:
        assert await door.sent(raw) == b"" and door.taken == []


async def test_a_peer_that_says_nothing_is_let_go() -> None:
    async with Door(idle_s=0.05) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_one_peer_cannot_take_all_connections() -> None:
    async with Door(per_peer=2) as door:
        held = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(2)]
        for reader, writer in held:
            writer.write(frame(MESSAGE % 1))
            assert await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 5)
        assert await door.sent(frame(MESSAGE % 2)) == b""
        for _reader, writer in held:
            writer.close()


async def test_stopping_lets_nobody_wait() -> None:
    door = Door()
    async with door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(frame(MESSAGE % 1))
        assert await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 5)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_one_that_was_reset_before_it_was_met_leaves_nothing_behind() -> None:
    door, gone = Door(), Mock(spec=asyncio.StreamWriter)
    gone.get_extra_info.return_value = None
    await asyncio.create_task(door.listener._meet(asyncio.StreamReader(), gone))
    gone.close.assert_called_once()
    assert not door.listener._tasks and not door.listener._open


# --- TLS ------------------------------------------------------------------------------------------------------


async def test_with_tls_only_who_shows_a_known_certificate_is_heard(tmp_path: Path) -> None:
    ours, theirs, other = (certificate(tmp_path, n) for n in ("door.example", "his.example", "other.example"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=theirs)
    tls.load_cert_chain(ours)
    tls.verify_mode = ssl.CERT_REQUIRED
    door = Door()
    port = await door.listener.start("127.0.0.1", 0, tls)

    async def speak(shown: str) -> bytes:
        client = ssl.create_default_context(cafile=ours)
        if shown:
            client.load_cert_chain(shown)
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client, server_hostname="door.example"
            )
            writer.write(frame(MESSAGE % 1))
            return await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 5)
        except (OSError, asyncio.IncompleteReadError):
            return b""

    try:
        assert b"MSA|AA|M1" in await speak(theirs)
        assert await speak(other) == b"" and await speak("") == b""
        assert len(door.taken) == 1
    finally:
        await door.listener.stop()


def test_the_command_wants_a_certificate_or_the_word_that_none_is_meant() -> None:
    with pytest.raises(CommandError):
        call_command("mllp")
