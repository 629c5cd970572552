"""What a conversation asks of its avatar: speak, interrupt, and the feed of messages for its socket.

An interrupt raises the session's *generation*; whatever carries an older one is dead in every queue, in the worker's
loop, in the feed and at the client.
"""

import re

from avatar.dispatch import ask
from avatar.exceptions import BadUtterance
from avatar.feed import Feed
from avatar.protocol import TEXT_CHARACTERS
from avatar.streams import STATE_TTL_S, Utterance, client, first_generation, state_key, wake_channel
from avatar.timeline import MOODS
from avatar.wakes import wakes

__all__ = ["Feed", "Utterance", "generation", "interrupt", "speak"]

_NAME = re.compile(r"[\w.@-]{1,64}", re.ASCII)


def check(u: Utterance) -> None:
    """Raises ``BadUtterance`` for what neither worker nor wire could carry."""
    ok = (
        _NAME.fullmatch(u.session)
        and 0 <= u.generation <= 0xFFFFFFFF
        and 0 <= u.index < 0x10000
        and 0 < len(u.utterance_id) <= 64
        and 0 < len(u.text) <= TEXT_CHARACTERS
        and _NAME.fullmatch(u.avatar)
        and 0.5 <= u.rate <= 2.0
        and u.mood in MOODS
        and len(u.voice) <= 64
        and len(u.lexicon) <= 500
    )
    if not ok:
        raise BadUtterance


async def speak(u: Utterance) -> None:
    """Have ``u`` spoken after those before it. Quietly nothing where its generation has been interrupted already.

    Raises ``BadUtterance``; a broker that is away is no error here, the feed asks again and falls back to the text.
    """
    check(u)
    state = state_key(u.session)
    pipe = client().pipeline(transaction=False)
    pipe.hsetnx(state, "generation", str(first_generation()))
    pipe.hget(state, "generation")
    pipe.expire(state, STATE_TTL_S)
    current = int((await pipe.execute())[1])
    if u.generation != current:
        return
    await ask(u, attempt=1)


async def interrupt(session: str, *, expected: int | None = None) -> int:
    """Make everything said so far stale, at once and everywhere; returns the generation to speak in from now on.

    With ``expected`` only where that generation still stands: a socket that closes must not hush the one that took over.
    """
    state = state_key(session)
    if expected is not None and (standing := await generation(session)) != expected:
        return standing
    pipe = client().pipeline(transaction=True)
    pipe.hsetnx(state, "generation", str(first_generation()))
    pipe.hincrby(state, "generation", 1)
    pipe.hset(state, mapping={"next": 0, "held": 0})
    pipe.expire(state, STATE_TTL_S)
    raised = int((await pipe.execute())[1])
    wakes().tell(session, raised)
    await client().publish(wake_channel(session), str(raised))
    return raised


async def generation(session: str) -> int:
    """The generation that is heard now."""
    state = state_key(session)
    pipe = client().pipeline(transaction=False)
    pipe.hsetnx(state, "generation", str(first_generation()))
    pipe.hget(state, "generation")
    pipe.expire(state, STATE_TTL_S)
    return int((await pipe.execute())[1])
