"""Entries cut into passages, and the words by which a question asks for one section rather than another."""

import re
from collections.abc import Iterator

from companion.knowledge.values import (
    Entry,
    ExaminationEntry,
    LaboratoryItem,
    MedicineEntry,
    Passage,
    ProcedureEntry,
    ReasonEntry,
)

_FASTING = {"yes": "要空腹。", "no": "不用空腹。", "ask": "要不要空腹，看检查单上的说明。"}

# In each kind the first aspect whose words are in the question decides; order is from the particular to the general.
ASPECTS: dict[str, tuple[tuple[str, re.Pattern[str]], ...]] = {
    "reason": (
        ("red_flags", re.compile(r"危险|急诊|120|紧急|严重吗|要命|什么情况.{0,4}(?:马上|立刻)|要不要紧|要紧(?:吗|不)")),
        ("departments", re.compile(r"(?:挂|看|去|属于|找).{0,3}(?:什么|哪个|哪|啥).{0,2}(?:科|号)|什么科|哪个科|哪科|啥科|挂号")),
        ("prepare", re.compile(r"(?:带|准备)(?:什么|啥|哪些)|要带|准备什么|就诊前|看病前|去医院前")),
        ("see_doctor", re.compile(r"要不要(?:看|去)|用不用(?:看|去)|需(?:不需)?要(?:看|去|上)|什么时候.{0,4}(?:看|去|医院)|该去医院|去医院吗|看医生吗|要看吗")),
        ("may_be", re.compile(r"为什么|为啥|怎么回事|咋回事|什么原因|原因|是什么病|啥病|怎么(?:会|引起)|引起|是不是.{0,8}病|什么是|是什么意思|怎么得")),
        ("self_care", re.compile(r"怎么办|咋办|咋整|怎么(?:缓解|护理|治|调理|预防|处理|注意|好|弄|才能)|缓解|自己|在家|吃什么|吃点啥|能吃|可以吃|不能吃|忌口|注意|预防|护理|保养|办法|饮食|运动|锻炼|休息")),
    ),
    "medicine": (
        ("missed", re.compile(r"忘(?:了|记|吃|用|打)|漏(?:了|服|吃|用|打|一次)|没吃|补吃|少吃了一次")),
        ("storage", re.compile(r"保存|存放|打开.{0,8}(?:还能|多久|天|月)|放(?:冰箱|哪|在哪)|冰箱|过期|开封|开了.{0,6}(?:多久|还能)|能放多久|储存|有效期|冷藏")),
        ("pregnant", re.compile(r"孕|怀着|喂奶|哺乳|坐月子|奶水|母乳|备孕")),
        ("children", re.compile(r"小孩|孩子|儿童|宝宝|婴儿|娃|小儿|\d岁(?:的)?(?:小孩|孩子|儿子|女儿)|几岁")),
        ("elderly", re.compile(r"老人|老年|岁数大|年纪大|上了年纪|高龄")),
        ("organs", re.compile(r"伤肝|伤肾|肝功能|肾功能|肝不好|肾不好|肝病|肾病|肝肾|肝损|肾损")),
        ("food", re.compile(r"酒|柚|牛奶|豆浆|茶|菠菜|青菜|鸡蛋|水果|(?:别|其他|另外|两)(?:的|种)药|隔开|混着|咖啡|果汁|忌口|吃什么.{0,3}(?:忌|不能)|不能.{0,3}吃什么|忌什么|饮食|一起吃|同吃|同服|一起用|海鲜|一块儿?吃|冲突|开车|食物|补品")),
        ("call", re.compile(r"(?:吃|用|打|抹|喝|滴|喷)(?:了|完|过)?.{0,6}(?:疼|拉肚子|吐|晕|痒|疹|发慌|心慌|心跳|犯困|咳|肿|跑厕所|难受|没劲|恶心|出血|便秘)|副作用|不良反应|不舒服|反应|过敏|什么时候.{0,4}(?:医院|医生)|危险|有害|吃多了|过量|伤胃")),
        ("use", re.compile(r"多少度|就不吃|(?:停|断)(?:了|药)|含(?:着|在|服)|舌头|漱口|见效|起效|隔(?:几|多)|(?:抹|涂|滴|喷|贴)(?:多久|几|多长)|(?:能|可以)(?:天天|每天)|怎么(?:吃|用|滴|喷|吸|服|打|涂|抹|贴|喝|塞)|咋(?:吃|用)|用法|饭前|饭后|空腹|早上|晚上|睡前|几次|嚼|掰|什么时候(?:吃|用|服)|何时(?:吃|用)|多长时间|能停|停药|吃多久|用多久|几滴|多少片|几片|怎样(?:吃|用|服)|用量|剂量|吃多少")),
        ("cautions", re.compile(r"上瘾|依赖|离不开|一辈子|长期|老(?:吃|用)|天天(?:吃|用)|皮试|耐药|注意|禁忌|小心|当心|要紧|能不能(?:吃|用)|可以(?:吃|用)|能(?:吃|用)(?:吗|么|不)|可不可以")),
        ("purpose", re.compile(r"治什么|什么药|干什么|作用|功效|是什么|干嘛|管什么|用来|有什么用|适应|为什么(?:吃|开)|主治|啥药|有用吗|管用")),
    ),
    "examination": (
        ("pregnant", re.compile(r"孕|怀着|备孕|哺乳|喂奶")),
        ("results", re.compile(r"(?:报告|结果)能|(?:报告|结果).{0,6}(?:多久|什么时候|几天|何时|出|拿)|多久.{0,4}(?:出|拿).{0,2}(?:结果|报告)|几天.{0,3}结果|当天")),
        ("minutes", re.compile(r"多久|多长时间|几分钟|要多少时间|久不久|耗时|一晚上|一上午|半天|一整天")),
        ("avoid", re.compile(r"起搏器|支架|钢钉|戒指|项链|首饰|耳环|手机|射线|装过|戴|金属|假牙|钢板|禁忌|不能做|能做(?:吗|么)|能不能做|可以做|辐射|危险|安全|有害|伤身|幽闭|谁不能|风险|能照|过敏")),
        ("prepare", re.compile(r"空腹|不能吃|能吃|吃什么|猪血|几点|衣服|开车|做完|之后|以后|喝的|怎么喝|留(?:哪|什么|多少)|哪一段|停.{0,4}药|抽几次|吃(?:饭|早饭|东西)|喝水|准备|注意|憋尿|要带|停药|前(?:一天|要|需)|穿什么|化妆|月经|怎么做准备|洗澡|陪")),
        ("what", re.compile(r"是什么|查什么|干什么|看什么|有什么用|为什么(?:要|做)|什么意思|疼(?:吗|不)|痛(?:吗|不)|难受|怎么做|咋做|怎么查|啥|必要")),
    ),
    "laboratory": (
        ("high", re.compile(r"高|升|多了|超|阳性|\+|大于|异常|增")),
        ("low", re.compile(r"才(?:有|\d|[一二三四五六七八九十几])|只有|低|少|下降|不足|缺|降|短|小于|不够")),
        ("range", re.compile(r"正常值|正常范围|参考|多少(?:算|是|才)?(?:正常|合适)|范围|标准|正常是多少|多少正常|控制在")),
        ("meaning", re.compile(r"是什么|什么意思|代表|查什么|啥意思|指标|意义|有什么用|看什么|说明")),
    ),
    "procedure": (("bring", re.compile(r"(?:带|准备)(?:什么|啥|哪些)|要带|证件|材料")),),
}  # fmt: skip
DEFAULTS = {
    "reason": ("may_be", "self_care", "see_doctor"),
    "medicine": ("purpose", "cautions", "call"),
    "examination": ("what", "prepare"),
    "laboratory": ("meaning", "range"),
    "procedure": ("steps", "differs"),
}
# Said together with the section asked for, so that an answer never lacks what keeps her safe.
COMPANIONS = {
    ("reason", "may_be"): ("see_doctor",),
    ("reason", "self_care"): ("see_doctor",),
    ("reason", "departments"): ("self_care",),
    ("reason", "see_doctor"): ("red_flags",),
    ("medicine", "call"): ("cautions",),
    ("medicine", "food"): ("cautions",),
    ("laboratory", "high"): ("range",),
    ("laboratory", "low"): ("range",),
    ("procedure", "bring"): ("differs",),
}


def aspect(kind: str, question: str) -> str:
    """The section of an entry of this kind that the question asks for; "" where it asks for none in particular."""
    return next((name for name, words in ASPECTS[kind] if words.search(question)), "")


def aspect_words(kind: str, question: str) -> list[tuple[int, int]]:
    """Where the words of any aspect stand in the question."""
    return [hit.span() for _, words in ASPECTS[kind] for hit in words.finditer(question)]


def passages(kind: str, entry: Entry) -> Iterator[Passage]:
    """The sections of an entry that have a text; a passage's id is ``entry.section``."""
    for section, text in _texts(entry):
        if text:
            yield Passage(
                id=f"{entry.id}.{section}",
                entry_id=entry.id,
                kind=kind,
                title=entry.name,
                section=section,
                text=text,
                source=entry.source,
                review=entry.review,
            )


def _texts(entry: Entry) -> Iterator[tuple[str, str]]:
    if isinstance(entry, ReasonEntry):
        yield "may_be", entry.may_be
        yield "self_care", entry.self_care
        yield "see_doctor", entry.see_doctor
        yield "departments", f"{entry.name}，一般挂{'或'.join(entry.departments[:2])}。"
        yield "red_flags", entry.red_flags
        yield "prepare", entry.prepare
    elif isinstance(entry, MedicineEntry):
        dose = "用多少、用几天，按医生开的处方。" if entry.prescription else "用多少，看说明书，或者问药师。"
        yield "purpose", entry.purpose
        yield "use", f"{entry.use}{dose}"
        yield "cautions", entry.cautions
        yield "pregnant", entry.pregnant
        yield "children", entry.children
        yield "elderly", entry.elderly
        yield "organs", entry.organs
        yield "food", entry.food
        yield "missed", entry.missed
        yield "storage", entry.storage
        yield "call", entry.call
    elif isinstance(entry, ExaminationEntry):
        yield "what", entry.what
        yield "prepare", f"{_FASTING[entry.fasting]}{entry.prepare}"
        yield "avoid", entry.avoid
        yield "pregnant", entry.pregnant
        yield "minutes", f"大约要{entry.minutes}。"
        yield "results", entry.results
    elif isinstance(entry, ProcedureEntry):
        yield "steps", entry.steps
        yield "bring", entry.bring
        yield "differs", entry.differs
    elif isinstance(entry, LaboratoryItem):
        yield "meaning", entry.meaning
        yield "high", entry.high_means
        yield "low", entry.low_means
        yield "range", range_words(entry)


_SEX = {"": "", "male": "男性", "female": "女性"}


def range_words(item: LaboratoryItem, *, age_years: float | None = None, sex: str | None = None) -> str:
    """The ranges in a sentence: the one that fits, or all of the grown-ups', and that the report's own goes first."""
    own = "各家医院方法不同，以报告单上的范围为准。"
    if item.expected:
        return f"{item.name}一般是{item.expected}。{own}"
    unit = "" if item.unit == "1" else item.unit
    fitting = item.range_for(age_years=age_years, sex=sex) if age_years is not None else None
    if fitting is not None:
        return f"{item.name}的参考范围是{fitting.words()}{unit}。{own}"
    grown = [r for r in item.ranges if r.age_high > 18]
    if not grown:
        return ""
    parts = [f"{_SEX[r.sex]}{_ages(r.age_low, r.age_high)}{r.words()}" for r in grown]
    return f"{item.name}的参考范围，成人{'，'.join(parts)}{unit}。{own}"


def _ages(low: float, high: float) -> str:
    if low <= 20 and high >= 100:
        return ""
    return f"{low:g}到{high - 1:g}岁" if high < 100 else f"{low:g}岁以上"
