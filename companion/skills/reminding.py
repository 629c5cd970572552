"""What she wants to be reminded of: when to leave home, and when to take her medicine."""

from collections.abc import AsyncIterator

from companion.events import Event, Option, Say
from companion.skills import phrases
from companion.skills.scene import Contract, Scene, no_visit
from companion.understanding.durations import minutes

CONTRACT = Contract(
    name="reminding",
    intents=("travel_time", "medicine_reminder"),
    needs=("visit",),
    does=("current", "upcoming", "travel_told", "remind_of_medicine", "next_step"),
    says="when she will be told to leave, or at which times she will be reminded of which medicine",
)
LONGEST_WAY_MIN = 12 * 60
_NOT = ("不用", "不要", "别", "取消", "关掉", "关了", "甭", "莫", "不需要", "停止")


async def run(scene: Scene) -> AsyncIterator[Event]:
    visit = await scene.visit()
    if visit is None:
        async for event in no_visit(scene):
            yield event
        return
    text = scene.understood.text
    if scene.wish.intent == "travel_time":
        way = minutes(text)
        if way is None or not 0 < way <= LONGEST_WAY_MIN:
            yield Say("从家到医院大约要多久?您说几分钟或者几个小时就行。")
            options = (("半小时", "路上要半小时"), ("一小时", "路上要一小时"), ("两小时", "路上要两小时"))
            yield scene.ask("next", tuple(Option(label, words) for label, words in options))
            return
        leave = await scene.port.travel_told(visit_id=visit.visit_id, minutes=way, key=scene.key("travel"))
        if leave is None:
            yield Say("记下了。这次就诊已经不用再出门了。")
        else:
            yield Say(f"记下了,路上{phrases.length(way)}。{phrases.clock(leave, scene.now)}我叫您出门。")
    else:
        wanted = not any(word in text for word in _NOT)
        plan = await scene.port.remind_of_medicine(visit_id=visit.visit_id, wanted=wanted, key=scene.key("medicine"))
        if not wanted:
            yield Say("好的,不再提醒用药。要提醒的时候再告诉我。")
        elif not plan:
            yield Say("医生现在还没有给您开药。开了我再提醒您。")
        else:
            for medicine, times in plan:
                if times:
                    yield Say(f"{medicine},我每天{'、'.join(phrases.hour(t) for t in times)}提醒您。")
                else:
                    yield Say(f"{medicine},处方没有写固定的时间,我没法定时提醒。请问问医生或药师。")
            yield Say("提醒要开着这个页面才听得见。哪天不想听提醒了,告诉我一声。")
    async for event in scene.next_events(visit.visit_id):
        yield event
