"""What is rendered once and shown often: patches shared by every process through Redis, and whole stock announcements.

Redis evicts these first when it is short of memory (they expire, and the policy is volatile-lru); each is bounded besides.
"""

import hashlib
import json
import struct
import time
from collections import OrderedDict

from avatar.seal import Unreadable, opened, sealed
from avatar.streams import Slice, Utterance, client

# An announcement is kept once it has been asked for twice: what is said to one resident alone is never stored.
SEEN_TTL_S = 86_400
ANNOUNCEMENT_TTL_S = 86_400
ANNOUNCEMENTS = 512
ANNOUNCEMENT_BYTES = 512 * 1024

_SIZES = struct.Struct("<IIHBIIH")


def patch_key(avatar: str, rig: str, state: int) -> str:
    return f"hc:patch:{avatar}:{rig}:{state}"


class Patches:
    """This process's share of the patch cache: at most ``max_bytes`` of JPEGs, least recently used out first."""

    def __init__(self, max_bytes: int = 32 * 1024 * 1024) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: str, jpeg: bytes) -> None:
        self.size += len(jpeg) - len(self._kept.pop(key, b""))
        self._kept[key] = jpeg
        while self.size > self.max_bytes:
            self.size -= len(self._kept.popitem(last=False)[1])

    async def fetch(self, avatar: str, rig: str, states: list[int]) -> dict[int, bytes]:
        """JPEGs of those ``states`` that this process or Redis knows."""
        found, missing = {}, []
        for state in states:
            jpeg = self.get(patch_key(avatar, rig, state))
            if jpeg is None:
                missing.append(state)
            else:
                found[state] = jpeg
        if missing:
            keys = [patch_key(avatar, rig, state) for state in missing]
            for state, key, jpeg in zip(missing, keys, await client().mget(keys), strict=True):
                if jpeg is not None:
                    self.put(key, jpeg)
                    found[state] = jpeg
        return found


patches = Patches()


class Published:
    """Which patches a worker has lately put into Redis; asked anew after an hour, as Redis may forget."""

    def __init__(self, again_s: float = 3600.0, most: int = 65_536) -> None:
        self.again_s = again_s
        self.most = most
        self._at: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        return time.monotonic() - self._at.get(key, -1e9) < self.again_s

    def add(self, key: str) -> None:
        if len(self._at) >= self.most:
            self._at.clear()
        self._at[key] = time.monotonic()

    def clear(self) -> None:
        self._at.clear()


def announcement_key(u: Utterance, rig: str, voice: str) -> str:
    """``voice``: whatever else decides how it sounds (the chain of engines)."""
    said = json.dumps([u.text, u.voice, u.rate, u.avatar, u.mood, u.lexicon, rig, voice], ensure_ascii=False)
    return f"hc:said:{hashlib.sha256(said.encode()).hexdigest()}"


async def recall(key: str) -> list[Slice] | None:
    """The announcement's slices, addressed to generation 0 and index 0; None where it is not kept."""
    stored = await client().get(key)
    try:
        plain = opened(stored) if stored is not None else None
    except Unreadable:
        plain = None
    if plain is None:
        return None
    pipe = client().pipeline(transaction=False)
    pipe.zadd("hc:said", {key: time.time()})
    pipe.expire(key, ANNOUNCEMENT_TTL_S)
    await pipe.execute()
    return _unpack(plain)


async def worth_keeping(key: str) -> bool:
    """True from the second time on that this announcement is asked for."""
    return not await client().set(f"{key}:seen", b"", nx=True, ex=SEEN_TTL_S)


async def keep(key: str, slices: list[Slice]) -> None:
    """Keep a whole announcement; the least recently used beyond ``ANNOUNCEMENTS`` go."""
    stored = sealed(_pack(slices))
    if len(stored) > ANNOUNCEMENT_BYTES:
        return
    pipe = client().pipeline(transaction=False)
    pipe.set(key, stored, ex=ANNOUNCEMENT_TTL_S)
    pipe.zadd("hc:said", {key: time.time()})
    pipe.zcard("hc:said")
    over = int((await pipe.execute())[2]) - ANNOUNCEMENTS
    if over > 0:
        old = await client().zpopmin("hc:said", over)
        await client().unlink(*(name for name, _ in old))


def _pack(slices: list[Slice]) -> bytes:
    parts = []
    for piece in slices:
        parts.append(
            _SIZES.pack(
                piece.start_ms,
                piece.end_ms,
                piece.said,
                piece.last,
                len(piece.heard),
                len(piece.seen),
                len(piece.states),
            )
        )
        parts += [piece.heard, piece.seen, struct.pack(f"<{len(piece.states)}I", *piece.states)]
    return b"".join(parts)


def _unpack(stored: bytes) -> list[Slice]:
    slices, at = [], 0
    while at < len(stored):
        start_ms, end_ms, said, last, heard, seen, states = _SIZES.unpack_from(stored, at)
        at += _SIZES.size
        middle, end = at + heard, at + heard + seen
        slices.append(
            Slice(
                start_ms=start_ms,
                end_ms=end_ms,
                heard=stored[at:middle],
                seen=stored[middle:end],
                states=struct.unpack_from(f"<{states}I", stored, end),
                said=said,
                last=bool(last),
            )
        )
        at = end + 4 * states
    return slices
