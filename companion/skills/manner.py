"""How the avatar speaks: again, slower, louder, stop."""

from collections.abc import AsyncIterator

from companion import pace
from companion.events import Adjust, Event, Say
from companion.skills.scene import Contract, Scene

CONTRACT = Contract(
    name="manner",
    intents=("repeat", "slower", "faster", "louder", "quieter", "stop"),
    says="the same words again, or one short word that the manner has changed",
)
_SLOWEST, _FASTEST, _SOFTEST, _LOUDEST = 0.6, 1.3, 0.4, 2.0


async def run(scene: Scene) -> AsyncIterator[Event]:
    memory = scene.memory
    before = list(memory.said)  # what is said now takes its place
    memory.expecting = dict(scene.expecting)  # the open question stays open
    match scene.wish.intent:
        case "stop":
            yield Adjust("stop")
        case "repeat":
            yield Adjust("repeat")
            memory.repeated += 1
            for words in before or ["我还没有说过话。"]:
                for sentence in pace.sentences(words) if memory.repeated > 1 else [words]:
                    yield Say(sentence)  # not understood twice: in smaller bites
        case "slower" | "faster":
            step = -0.15 if scene.wish.intent == "slower" else 0.15
            memory.rate = round(min(_FASTEST, max(_SLOWEST, memory.rate + step)), 2)
            yield Adjust("rate", memory.rate)
            if scene.wish.intent == "slower":
                yield Say("好的,我慢慢说。")
                for words in before:
                    yield Say(words)
            else:
                yield Say("好的,我说快一点。")
        case "louder" | "quieter":
            step = 0.3 if scene.wish.intent == "louder" else -0.3
            memory.volume = round(min(_LOUDEST, max(_SOFTEST, memory.volume + step)), 2)
            yield Adjust("volume", memory.volume)
            if scene.wish.intent == "louder":
                yield Say("好的,我大声一点。")
                for words in before:
                    yield Say(words)
            else:
                yield Say("好的,我小声一点。")
