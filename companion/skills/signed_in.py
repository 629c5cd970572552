"""Where she is signed in, and an end to it on a phone that is not hers any more."""

import re
from collections.abc import AsyncIterator

from companion.events import Event, Say, ShowCard
from companion.ports import as_card
from companion.skills import phrases
from companion.skills.scene import Contract, Scene

CONTRACT = Contract(
    name="signed_in",
    intents=("sign_ins",),
    actions=("sign_ins", "end_sign_in", "end_other_sign_ins"),
    does=("sign_ins", "end_sign_in", "end_other_sign_ins"),
    says="where she is signed in and since when; ends one of them, or all but this one",
)
_OTHERS = re.compile(r"退出(?:所有|其他|别的|全部)|(?:其他|别的).{0,6}(?:都)?(?:退出|退了|下线)")


async def run(scene: Scene) -> AsyncIterator[Event]:
    if scene.kind == "end_sign_in":
        await scene.port.end_sign_in(str(scene.action.get("session", "")))
        yield Say("好了,那里已经退出。")
    elif scene.kind == "end_other_sign_ins" or _OTHERS.search(scene.understood.text):
        ended = await scene.port.end_other_sign_ins()
        yield Say(f"好了,退出了别处的{ended}次登录,这里不变。" if ended else "别处没有登录,不用退出。")
    found = await scene.port.sign_ins()
    others = [one for one in found if not one.current]
    yield ShowCard("sign_ins", {"sign_ins": as_card(found)})
    if not others:
        yield Say("现在只有这里登录着。")
        return
    yield Say(
        f"除了这里,还有{len(others)}处登录着。最近的一处是{phrases.clock(others[0].since, scene.now)}从{others[0].app}登录的。"
    )
    yield Say("不是您自己的,请点卡片上的退出。")
