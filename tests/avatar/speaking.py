"""What a test asks for, writes as a worker would, and takes from a feed."""

import asyncio

import numpy as np

from avatar import protocol, sessions, streams
from avatar.cache import patch_key
from avatar.protocol import Audio, End, Frame, Frames, Start
from avatar.sessions import Utterance
from avatar.streams import Publisher, Slice

RIG = "rig1"
JPEG = b"\xff\xd8 a mouth \xff\xd9"


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


async def said(session, index=0, **fields):
    """Ask for an utterance in the generation that stands."""
    values = {"text": "请到七号楼。", "generation": await sessions.generation(session)} | fields
    u = Utterance(session=session, utterance_id=f"{values['generation']}-{index}", index=index, **values)
    await sessions.speak(u)
    return u


def start(u):
    return Slice(
        0, 0, heard=protocol.encode(Start(u.generation, u.index, 0, u.utterance_id, u.text, u.avatar, u.mood, RIG))
    )


def sound(u, at_ms, *, states=(), ms=200, said=0):
    samples = np.zeros(ms * 8, "<i2").tobytes()
    heard = protocol.encode(Audio(u.generation, u.index, at_ms, protocol.PCM_S16LE, 8000, ms * 8, samples))
    frames = tuple(Frame(at_ms + 40 * i, state) for i, state in enumerate(states))
    seen = protocol.encode(Frames(u.generation, u.index, at_ms, protocol.MOUTH, frames)) if frames else b""
    return Slice(at_ms, at_ms + ms, heard=heard, seen=seen, states=tuple(dict.fromkeys(states)), said=said)


def end(u, at_ms):
    return Slice(at_ms, at_ms, heard=protocol.encode(End(u.generation, u.index, at_ms)), last=True)


async def work(u, *, attempt=1, ms=400, states=(), finish=True, begin=True):
    """What a worker writes; returns whether it was still wanted at the end."""
    out = Publisher(u, attempt)
    jpegs = {patch_key(u.avatar, RIG, state): JPEG + bytes([state]) for state in states}
    pieces = [start(u)] if begin else []
    pieces += [sound(u, at_ms, states=states) for at_ms in range(0, ms, 200)]
    pieces += [end(u, ms)] if finish else []
    for piece in pieces:
        if not await out.write(piece, patches=jpegs):
            return False
    return True


async def take(feed, count=1):
    """The packets of the next messages."""
    packets = []
    async with asyncio.timeout(5):
        for _ in range(count):
            message = await anext(feed)
            assert len(message) <= protocol.MESSAGE_BYTES
            packets += protocol.decode(message)
    return packets


async def until(feed, kind):
    packets = []
    while not (packets and isinstance(packets[-1], kind)):
        packets += await take(feed)
    return packets


async def nothing(feed):
    """True when the feed has nothing to say now: it has looked and gone to sleep."""
    waiting = asyncio.ensure_future(anext(feed))
    for _ in range(200):
        await asyncio.sleep(0)
        if waiting.done():
            return False
        await streams.client().ping()
        if not feed._sleeper.event.is_set() and _ > 20:
            break
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return True


def kinds(packets):
    return [type(packet).__name__ for packet in packets]


async def pass_time(feed, clock, seconds):
    clock.now += seconds
    feed._sleeper.wake()


async def settle(feed):
    """Let the feed look at Redis and go to sleep again."""
    for _ in range(30):
        await streams.client().ping()
