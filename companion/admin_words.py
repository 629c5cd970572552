"""What staff read in place of the codes of talks: intents, skills, urgency, what happened in a visit, why something was reported."""

from companion.safety.red_flags import load
from companion.triage import LEVELS
from hospitals.admin import words

INTENTS = {
    "check_in": "取号",
    "queue": "排队",
    "route": "问路",
    "pay": "缴费",
    "examination": "检查",
    "report": "报告",
    "medicine": "用药",
    "follow_up": "复诊",
    "my_visits": "我的预约",
    "medicine_reminder": "用药提醒",
    "travel_time": "路上多久",
    "next_step": "下一步做什么",
    "book": "预约",
    "waiting_list": "候补",
    "cancel": "取消预约",
    "reschedule": "改约",
    "triage": "挂什么科",
    "health_question": "健康问题",
    "human": "找人工",
    "complaint": "投诉",
    "repeat": "再说一遍",
    "slower": "慢一点",
    "faster": "快一点",
    "louder": "大声一点",
    "quieter": "小声一点",
    "stop": "停",
    "switch_person": "换一位就诊人",
    "who_looked": "谁看过我的信息",
    "add_person": "添加家人",
    "withdraw_consent": "结束代办授权",
    "invitation": "家人邀请",
    "sign_ins": "登录过的设备",
    "hospital_notices": "医院公告",
    "opening_hours": "门诊时间",
    "who_are_you": "你是谁",
    "help": "能做什么",
    "greeting": "问好",
    "thanks": "道谢",
    "goodbye": "告别",
    "small_talk": "闲聊",
    "emergency_call": "叫急救",
    "yes": "是",
    "no": "不是",
    "choose": "选一个",
    "unknown": "没有听懂",
}
SKILLS = {
    "emergency": "急救",
    "triage": "分诊",
    "book": "预约",
    "appointments": "我的预约",
    "check_in": "取号",
    "queue": "排队",
    "route": "导航",
    "pay": "缴费",
    "examination": "检查",
    "report": "报告",
    "medicine": "用药",
    "follow_up": "复诊",
    "reminding": "提醒",
    "next_step": "下一步",
    "health": "健康问答",
    "people": "就诊人",
    "family": "家人授权",
    "looked": "谁看过",
    "signed_in": "登录设备",
    "waiting_list": "候补",
    "news": "公告和时间",
    "human": "人工",
    "manner": "语速和音量",
    "talk": "闲谈",
}
URGENCY: dict[str, str] = dict(
    zip(LEVELS, ("立即拨打120", "马上去急诊", "24小时内就诊", "可以看门诊", "可以先在家观察"), strict=True)
)
RATINGS = {1: "满意", -1: "不满意"}
# Codes of reports that are no red flags.
_REPORTED = {"asked_for": "居民要求叫急救", "raised": "分诊时判为急危重"}
# What stands before a colon, and what it is followed by.
_ABOUT = {
    "command": ("没有送达的操作", words.COMMANDS),
    "report": ("报告", {}),
    "refund": ("退款要人处理", {}),
    "amount": ("付的金额不对", {}),
}


def reported(code: str) -> str:
    """A rule's code as the commission reads it; the code itself where there is no word for it."""
    rules = load()
    if title := next((str(rules.kinds[rule.kind]["title"]) for rule in rules.rules if rule.id == code), ""):
        return title
    about, _colon, rest = code.partition(":")
    if rest and about in _ABOUT:
        word, values = _ABOUT[about]
        return f"{word}:{values.get(rest, rest)}"
    return _REPORTED.get(code, code)
