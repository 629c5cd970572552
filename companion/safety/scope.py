"""Whether a word that was said is so, now, and of somebody: negation, the past, supposing, quoting, asking to know.

The cues are the grammar of everyday Chinese, not medical facts; tests/companion/test_safety.py shows each at work.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from companion.safety.text import clauses

_ASKING = (
    r"是不是|有没有|好不好|能不能|要不要|会不会|该不该|可不可以|行不行|疼不疼|痛不痛|严不严重|算不算|用不用|对不对"
)
_NOT_A_NEGATION = (
    r"不知|不晓得|不明|不清楚|不舒服|不得劲|不得法|不舒坦|不适|不好|不对|不行|不见好|不见效|不见轻|没好|没见好|没用|没效"
    r"|没管用|不管用|不管|不过|不只|不光|不仅|不但|不止|不停|不断|不久|不了|不着|不上|不下|不出|不动|不起|不开|不住|不进"
    r"|不全|不齐|不稳|不清|不通|不准|不成|不吃药|没吃药|不能|不敢|不想|不爱|不调|不规律|不均|不孕|不育|不射|不举|不到|没劲"
    r"|没力|没精神|没胃口|没知觉|没感觉|没多久|没办法|没几天|没过|没睡|没有力|没有劲|没有胃口|没有精神|没有知觉|没有好|没有缓解"
    r"|没有效果|没有改善|没有用|没有减轻|没有意识|没有反应|没有呼吸|没有心跳|没气|没反应|没意识|没呼吸|没心跳|没脉|没胎动"
    r"|没有胎动|无力|无缘|无名|无故|无法|无意识|无痛|无反应|无呼吸|无精|未婚|未来|未成年|未愈|不省人事|不小心|不注意|不听使唤"
    r"|不要紧|不一样|不足|不良|不全|不消化|不想活|不思|不宁|不利|不退|没退|没有退|不尽|不净|不干净|不同|不可|不应|不愿|不肯|不认"
    r"|不会说|不会走|不会动|不说话|不哭|不吃奶|不睁眼|不醒|不理人|不长|不张|不灵|没一会|没走几步|没两步"
)
_CUE = re.compile(
    rf"(?P<asking>{_ASKING})|(?P<other>{_NOT_A_NEGATION})"
    r"|(?P<wide>没有出现|没有发生|没有任何|没有过|没有|没出现|没什么|并没有|并没|并无|否认|未见|未出现|无明显|不伴有|不伴|不存在|也没有|都没有|从来没|从没|从未|排除|无|未)"
    r"|(?P<narrow>没再|不再|并不|并非|不是|不算|不太|不怎么|不会|不用|没|不|别)"
)
_FILLER = re.compile(
    r"有|任何|什么|明显|其他|别的|其它|出现|发生|觉得|感觉|感到|过|再|怎么|太|很|特别|伴有?|症状|情况|现象|是|见|像|也|和|或者|或|及|与|以及|、|的|啥|因为|由于|说|发|头|又"
)
_BREAKS = re.compile(
    r"但|可是|就|才|只是|而是|却|反而|反倒|还|仍|一直|老是|总是|吃|去|做|用|治|查|管|及时|好好|睡|休息|打针|敢|知道|结果|导致|引起|突然|以后|之后|后"
)
_AFTER_NO = re.compile(
    r"^(?:倒是?|都|也|的?症状|的?现象|的?情况|这些|感)*(?:没有了|没了|没有(?!好|减|缓|改|用|效|停|退|消|明显好)|没出现|不明显|已经?好|好了|消失|排除了|已缓解|缓解了|治好|痊愈|退了|正常|阴性|倒没|倒不)"
)
_PAST = re.compile(
    r"以前|曾经|曾|小时候|年轻(?:的?时候|时)|早年|去年|前年|上次|那年|那时|当年|得过|患过|有过|犯过|发作过|做过|病史|既往|从前|过去(?:有|得|曾|也|患)"
    r"|(?:\d+|[一二两三四五六七八九十几多半]+)(?:多)?(?:年|个月)(?:以)?前|上个月|前几年|早些年|术后\d*年|大前年|几年前|多年前|之前得|原来"
)
_STILL = re.compile(
    r"现在|目前|又|一直|至今|到现在|近来|最近|复发|今天|今早|今晚|刚刚?|昨|反复|老是|总是|这几天|这两天|突然|还(?:是|在|有|会)|这次|开始"
)
_SUPPOSE = re.compile(
    r"会(?=[^,。]{1,10}(?:吗|么)(?:$|[,。?!]))|如果|要是|假如|假设|万一|倘若|会不会(?:引起|导致|得|变|发展|造成)|(?:会|能|可能|可以|容易)(?:引起|导致|引发|造成|诱发|得|患上|变成|发展成)"
    r"|(?:怕|担心|害怕|以防|预防|防止|避免|提防|小心|当心)(?!的|冷|热|光|黑|人)|防(?=中风|脑梗|心梗|猝死|中暑|中毒)|怎样避免|怎么避免"
)
_KNOWLEDGE = re.compile(
    r"是什么意思|什么叫|什么是|是什么病|是个?啥病|指的是|(?:有|是)(?:哪些|什么|啥)(?:症状|表现|前兆|征兆|特点|危害|后果|原因|后遗症|信号)|症状(?:有|是)(?:哪些|什么|啥)"
    r"|(?:前兆|先兆|征兆|表现|早期症状|症状|信号)(?:都|会|一般|通常)*(?:有|是|包括)?(?:哪些|什么|啥|怎样|怎么样|如何)|怎么护理|如何护理|怎样护理|护理(?:方法|知识)|怎么预防|如何预防|怎样预防|预防(?:方法|措施|办法)"
    r"|(?:怎么|如何|怎样)(?:急救|抢救|判断|识别|辨别|区分|分辨|避免)|急救(?:方法|知识|步骤|措施|常识)|科普|常识|(?:讲|说|介绍|了解)一下|想了解|想知道|学习|培训|有(?:什么|啥)(?:区别|不同|不一样)|区别"
    r"|课本|考试|考题|论文|作文|论述|百科|讲座|会传染|传染(?:吗|么|不)|会遗传|遗传(?:吗|么|不)|能活多久|能活几年|可以吃|能吃|能不能吃|可不可以吃|吃什么(?:好|药|食物)|为什么(?:会|要|老人|人|孕妇)|为啥(?:会|要)|(?:属于|挂)(?:什么|哪个|哪)科"
    r"|(?:会|能|可以|能够)(?:引起|导致|治好|治愈|根治)|(?:的|发病)原因|什么(?:原因)?(?:引起|导致|造成|诱发)|发病率|死亡率|多少钱|报销|请问.{0,12}(?:正常值|多少正常)|严重吗|有什么关系|几个阶段|分几(?:种|级|期)|怎么分(?:级|期|类)"
)
_QUOTE = re.compile(
    r"电视(?!看)|电影|小说|书上|书里|书中|新闻|网上(?:说|看|讲|有人)|视频(?:里|上|说|讲)|听说|听人说|听人讲|抖音|短视频|故事|剧(?:里|中|情)|梦见|梦到|做梦|开玩笑|游戏|台词|歌词|古人|俗话|成语|造句|文章|朋友圈|公众号|宣传|海报|演习|演练|演的|演戏|排练|剧本|比喻|标题|词典"
)
_LIVE = re.compile(
    r"现在|刚刚?(?!好)|突然|忽然|猛地|一下子|今天|今早|今晚|今儿|昨晚|昨夜|昨天|正在|救命|救救|快来|怎么办(?:啊|呀|哪)?|咋办|咋整|咋搞|已经(?:有)?(?:\d|[一二两三四五六七八九十半几])|这会儿?|眼下|半天|赶紧|快点|着急|很急|急死|倒在|躺在|在地上|起不来|叫不醒|不行了|分钟|小时|刚才|方才|这阵|半夜"
)

_SETTLED = re.compile(
    r"医生(?:就|都|也|却|还)?(?:说|告诉|讲|诊断|判断|建议|让)|确诊|诊断(?:为|是|出|说)|查出|出院|住院|住了|抢救|救回|(?:送|带|去)[^,。]{0,6}医院"
    r"|(?:得了|患有|患了|患上|患|有|得的?|就有)癫痫(?!发作)|癫痫(?:病|患者|病人|怎么|如何|能|可以|要|的|会|是|应|用|吃|该|有|治|症|多)"
    r"|(?:发病|病发|发作|复发|犯病)(?:的|起来)?(?:时|次数|频|一次)|(?:每次|每年|经常|时常|有时|偶尔|总是|老是|从小|[一二两三四五六七八九十几\d]多?年)[^。]{0,12}(?:抽|倒|晕|昏|癫|不省|口吐|犯)"
)
_ASKS_FOR_TREATMENT = re.compile(
    r"治(?!不了了)|医院|哪家|哪里|原因|引起|引来|遗传|吃(?:什么|啥|哪)|喝药|药(?:物|费|吗|能|可)|影响|干扰|可以|能(?:不能|够|否|治|吃|停|好|活)|会不会|是不是|吗|么[?。]|症状|病因|费用|饮食|护理|预防|复查|检查|诊断|饮酒|怎么回事|注意|复发|智力|后代|结婚|怀孕|康复|方法|怎么(?:做|样|防|护|能|会|得)"
)
_AGAIN_NOW = re.compile(
    r"正在|刚刚|刚才|还在抽|还没醒|没醒|不醒|没反应|叫不|喊不|又(?:抽|犯|发|倒|晕)|抽个不停|抽[^,。]{0,4}(?:分钟|半天|半个)|(?:犯病|发作|犯|抽过去|抽起来|抽上)了(?:[,。!]|$|怎么办|咋办|半天)|倒在?地上?(?:抽|不)|(?:嘴唇?|脸色?|口唇|面色)(?:都|也|发|青)*(?:紫|青|白)|停不下来|不停|救命|赶紧|快来|打120|现在(?:还|正|人|又|在抽|躺|倒)|口吐白沫(?:怎么办|咋办)"
    r"|(?:今天|今早|今晚|今儿|昨晚|昨夜|早上|上午|中午|下午|晚上|夜里|现在|刚)[^,。]{0,10}(?:晕倒|昏倒|晕过|昏过|倒[在地了下]|抽[搐起筋得了]|栽|没了?意识|不省|昏迷)"
)

_HISTORY = re.compile(
    r"以前|平时|平常|一直吃|长期吃|多年|前年|去年|年前|做过|得过|患过|既往|病史|放了|放过|开过刀|老毛病|小时候|生下来|早些年|十几年|几十年|[有患](?:高血压|糖尿病|冠心病|脂肪肝|乙肝)"
)
_THIS_TIME = re.compile(
    r"这次|这回|主要(?:是|想)|(?:这|近)(?:一|两|几|半|三)?个?多?(?:月|周|星期|礼拜|阵子?|段时间|年)|最近|近来|近期|近半年"
)


@dataclass
class Scope:
    """The scope of every place in one normalised text; spans are [start, end) offsets into ``text``."""

    text: str
    clause_spans: list[tuple[int, int]] = field(init=False)
    knowledge: bool = field(init=False)
    quoted: bool = field(init=False)
    live: bool = field(init=False)
    settled: bool = field(init=False)

    def __post_init__(self) -> None:
        self.clause_spans = clauses(self.text)
        self._starts = [start for start, _ in self.clause_spans]
        self._cues = list(_CUE.finditer(self.text))
        self.knowledge = bool(_KNOWLEDGE.search(self.text))
        self.quoted = bool(_QUOTE.search(self.text))
        self.live = bool(_LIVE.search(self.text))
        self.settled = (
            bool(_SETTLED.search(self.text))
            and bool(_ASKS_FOR_TREATMENT.search(self.text))
            and not _AGAIN_NOW.search(self.text)
        )

    def clause(self, at: int) -> tuple[int, int]:
        """The clause that holds the character at ``at``."""
        if not self.clause_spans:
            return (0, len(self.text))
        return self.clause_spans[max(0, bisect_right(self._starts, at) - 1)]

    def clause_text(self, at: int) -> str:
        start, end = self.clause(at)
        return self.text[start:end]

    def negated(self, start: int, end: int) -> bool:
        """Is what stands at [start, end) denied by a cue before it, or after it (发烧倒没有)?"""
        first, last = self.clause(start)
        if _AFTER_NO.match(self.text[end : min(last, end + 10)]):
            return True
        for cue in reversed(self._cues):
            if cue.end() > start or cue.start() < first:
                continue
            if cue.lastgroup in ("asking", "other"):
                if start - cue.end() <= 8:
                    continue
                break
            gap = self.text[cue.end() : start]
            if _BREAKS.search(gap):
                return False
            rest = _FILLER.sub("", gap)
            if not rest:
                return True
            if cue.lastgroup == "wide":
                return len(gap) <= 24 and ("、" in gap or "和" in gap or "或" in gap or len(rest) <= 4)
            return len(rest) <= 1 and len(gap) <= 3
        return False

    def past(self, at: int) -> bool:
        """Is the clause about former times, with no word that it goes on?"""
        clause = self.clause_text(at)
        return bool(_PAST.search(clause)) and not _STILL.search(clause)

    def present_from(self) -> int:
        """Where a story turns from what its teller has long had to what they came for; 0 where it does not."""
        for turn in _THIS_TIME.finditer(self.text, 40):
            if _HISTORY.search(self.text, 0, turn.start()):
                return turn.start()
        return 0

    def supposed(self, at: int) -> bool:
        """Does the clause suppose, fear or ask for prevention before this place?"""
        first, last = self.clause(at)
        cue = _SUPPOSE.search(self.text, first, last)
        return cue is not None and cue.start() <= at

    def asserted(self, start: int, end: int) -> bool:
        """Said to be so, now: neither denied nor past nor supposed."""
        return not (self.negated(start, end) or self.past(start) or self.supposed(start))
