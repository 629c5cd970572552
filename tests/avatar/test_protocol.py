"""The wire to the byte: vectors shared with the player, round trips, and nothing but typed errors for anything else."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar import protocol as p
from avatar.exceptions import BadField, MessageTooLarge, MessageTruncated, ProtocolError, UnknownKind, UnknownVersion
from tests.avatar.vectors import make

VECTORS = json.loads((Path(__file__).parent / "vectors" / "messages.json").read_text())

uint32 = st.integers(0, p.UINT32)
time_ms = st.integers(0, 10_000_000)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
jpeg = st.binary(max_size=200).map(lambda tail: b"\xff\xd8" + tail)


@st.composite
def audio(draw):
    samples = draw(st.integers(1, 3000))
    codec = draw(st.sampled_from([p.PCM_S16LE, p.IMA_ADPCM]))
    size = samples * 2 if codec == p.PCM_S16LE else p.adpcm_bytes(samples)
    data = draw(st.binary(min_size=1, max_size=8))
    return p.Audio(
        draw(uint32), draw(uint32), draw(time_ms), codec, draw(st.integers(8000, 48000)), samples, (data * size)[:size]
    )


@st.composite
def frames(draw):
    at = draw(time_ms)
    run = [p.Frame(at + draw(st.integers(0, 65535)), draw(uint32), draw(st.integers(0, 255)))]
    for delta in draw(st.lists(st.integers(0, 65535), max_size=20)):
        run.append(p.Frame(run[-1].pts_ms + delta, draw(uint32), draw(st.integers(0, 255))))
    return p.Frames(draw(uint32), draw(uint32), at, draw(st.sampled_from([p.MOUTH, p.EYES])), tuple(run))


@st.composite
def caption(draw):
    at = draw(time_ms)
    end = at + draw(time_ms)
    return p.Caption(
        draw(uint32), draw(uint32), at, draw(st.integers(0, 65535)), draw(st.integers(1, 65535)), end, draw(words)
    )


part = st.sampled_from([p.MOUTH, p.EYES])
packets = st.one_of(
    st.builds(
        p.Start,
        uint32,
        uint32,
        st.just(0),
        words,
        words,
        words,
        st.sampled_from(["neutral", "smile", "concern"]),
        st.one_of(st.just(""), words),
    ),
    audio(),
    frames(),
    caption(),
    st.builds(p.Patch, uint32, uint32, time_ms, uint32, part, jpeg),
    st.builds(p.Picture, uint32, uint32, time_ms, part, jpeg),
    st.builds(p.End, uint32, uint32, time_ms),
    st.builds(p.Fallback, uint32, uint32, time_ms, words, words, words, st.integers(0, 3_600_000)),
    st.builds(p.Flush, uint32),
)


@given(st.lists(packets, min_size=1, max_size=6))
def test_what_is_encoded_is_decoded(sent):
    assert p.decode(b"".join(map(p.encode, sent))) == sent


@given(st.binary(max_size=400))
@settings(max_examples=300)
def test_any_bytes_give_packets_or_a_typed_error(data):
    try:
        found = p.decode(data)
    except ProtocolError:
        return
    assert found


@given(packets, st.data())
@settings(max_examples=300)
def test_a_damaged_message_gives_packets_or_a_typed_error(packet, data):
    message = bytearray(p.encode(packet))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    message = message[: data.draw(st.integers(1, len(message)))]
    try:
        for found in p.decode(bytes(message)):
            assert p.decode(p.encode(found)) == [found]
    except ProtocolError:
        pass


@given(packets, st.integers(0, p.UINT32), st.integers(0, p.UINT32))
def test_a_stored_packet_is_addressed_anew(packet, generation, index):
    if isinstance(packet, p.Flush):
        index = 0
    (moved,) = p.decode(p.readdress(p.encode(packet), generation=generation, index=index))
    assert (moved.generation, moved.index, moved.pts_ms) == (generation, index, packet.pts_ms)


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda v: v["name"])
def test_vectors_decode_and_encode_to_the_same_bytes(vector):
    message = bytes.fromhex(vector["hex"])
    decoded = p.decode(message)
    assert [make.told(packet) for packet in decoded] == vector["packets"]
    assert b"".join(map(p.encode, decoded)) == message
    assert p.from_text(p.to_text(message)) == message


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["name"])
def test_refused_vectors_carry_their_code(vector):
    with pytest.raises(ProtocolError) as caught:
        p.decode(bytes.fromhex(vector["hex"]))
    assert caught.value.code == vector["code"]


def test_the_vectors_are_what_the_generator_writes():
    assert make.vectors() == VECTORS


def test_limits():
    with pytest.raises(MessageTooLarge):
        p.decode(bytes(p.MESSAGE_BYTES + 1))
    with pytest.raises(MessageTooLarge):
        p.encode(p.Patch(0, 0, 0, 1, p.MOUTH, b"\xff\xd8" + bytes(p.MAX_JPEG_BYTES)))
    assert len(p.encode(p.Patch(0, 0, 0, 1, p.MOUTH, b"\xff\xd8" + bytes(p.MAX_JPEG_BYTES - 2)))) == p.MESSAGE_BYTES
    with pytest.raises(MessageTruncated):
        p.decode(b"")
    with pytest.raises(UnknownVersion):
        p.decode(b"\x02" + p.encode(p.Flush(1))[1:])
    with pytest.raises(UnknownKind):
        p.decode(p.HEADER.pack(1, 99, 0, 0, 0, 0))
    with pytest.raises(BadField):
        p.encode(p.Start(1, 0, 0, "u", "一" * 2001, "xiaolan", "neutral", ""))
    with pytest.raises(BadField):
        p.encode(p.Flush(-1))
    with pytest.raises(ProtocolError):
        p.from_text("not base64!")


@given(st.lists(st.integers(16, 40_000), min_size=1, max_size=12))
def test_joined_messages_keep_every_packet_in_order(sizes):
    sent = [bytes([i]) * size for i, size in enumerate(sizes)]
    joined = list(p.join(sent))
    assert b"".join(joined) == b"".join(sent)
    assert all(len(message) <= p.MESSAGE_BYTES for message in joined)
