"""Words that wait in Redis are sealed: the right secret opens them, nothing else does."""

import pytest

from avatar.seal import Unreadable, opened, sealed
from avatar.streams import Slice, Utterance

SAID = "陈玉兰,请到7号楼。"


@pytest.fixture(params=["AES-256-GCM", "SM4-GCM"], autouse=True)
def cipher(request: pytest.FixtureRequest, settings) -> str:
    settings.SEAL_CIPHER = request.param
    return request.param


def test_what_was_sealed_opens_and_shows_nothing() -> None:
    data = sealed(SAID.encode())
    assert opened(data).decode() == SAID
    assert SAID.encode() not in data and sealed(SAID.encode()) != data


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d[:-1],
        lambda d: bytes([d[0] ^ 1]) + d[1:],
        lambda d: bytes([d[0] ^ 3]) + d[1:],
        lambda d: d[:1] + bytes([d[1] ^ 1]) + d[2:],
        lambda d: d[:-1] + bytes([d[-1] ^ 1]),
        lambda _d: b"",
        lambda d: d[:12],
    ],
)
def test_damage_is_seen(spoil) -> None:
    with pytest.raises(Unreadable):
        opened(spoil(sealed(SAID.encode())))


def test_another_secret_does_not_open_it(settings) -> None:
    data = sealed(SAID.encode())
    settings.SECRET_KEY = "another"
    with pytest.raises(Unreadable):
        opened(data)


def test_what_was_sealed_for_one_purpose_does_not_open_for_another() -> None:
    with pytest.raises(Unreadable):
        opened(sealed(SAID.encode(), purpose="one"), purpose="other")


def test_what_was_sealed_before_the_cipher_was_changed_still_opens(settings) -> None:
    data = sealed(SAID.encode())
    for other in ("AES-256-GCM", "SM4-GCM"):
        settings.SEAL_CIPHER = other
        assert opened(data).decode() == SAID


def test_neither_an_utterance_nor_what_is_heard_of_it_can_be_read_in_redis() -> None:
    u = Utterance("s", 1, "u1", 0, SAID)
    assert Utterance.from_record(u.to_record()) == u
    assert SAID.encode() not in u.to_record()
    piece = Slice(0, 40, heard=SAID.encode(), seen=b"frames", states=(3,))
    stored = piece.fields()
    assert SAID.encode() not in b"".join(stored.values())
    assert Slice.from_fields(stored) == piece
