"""Personal data out of what leaves for a model, and back into what it says.

Known names come from the caller; everything else is found by its form: names after words that announce one, ID, card,
phone and record numbers (also spoken in Chinese digits), births, addresses, mail. Hiding too much costs little, because
every placeholder is put back in the answer; hiding too little is the error to avoid.
"""

import re
from collections.abc import Iterable

# The hundred or so surnames that cover nearly everybody (public statistics of the ministry of public security).
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范"
    "方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段钱汤尹黎易常武乔贺赖龚文庞樊兰殷施陶洪翟安颜倪严牛温芦季俞章鲁葛伍韦申"
    "尤毕聂丛焦向柳邢路岳齐梅莫庄辛管祝左涂谷祁时舒耿牟卜詹关苗凌费纪靳盛童欧甄项曲成游阳裴席卫查屈鲍位覃霍翁隋植甘景薄单包司"
    "柏宁柯阮桂闵解强柴华车冉房边辜吉饶刁瞿戚丘古米池滕晋苑邬臧畅宫来嵺苟全褚廉简娄盖符奚木穆党燕郎邸冀谈姬屠连郜晏栾郁商蒙计喻"
    "揭窦迟宇敖糜鄢冷卓花仇艾蓝都巩稽井练仲乐虞卞封竺冼原官衣楚佟栗匡宗应台巫鞠僧桑荆谌银扬明沙薄伏岑习胥保和蔺"
)
_DOUBLE = "欧阳|上官|司马|诸葛|司徒|夏侯|皇甫|尉迟|东方|慕容|令狐|公孙|长孙|宇文"
_DIGIT = r"[\d零〇一二三四五六七八九幺两]"
_GAP = r"[\s\-—‐·.]?"
_ID = rf"(?<![\dA-Za-z])\d{{6}}{_GAP}(?:18|19|20)\d{{2}}{_GAP}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]){_GAP}\d{{3}}[\dXxX](?![\dA-Za-z])"
_PATTERNS = (
    ("证件", re.compile(rf"{_ID}|(?<!\d)\d{{15}}(?!\d)|(?<![A-Za-z0-9])[A-Za-z]{{1,2}}\d{{7,10}}(?!\d)")),
    ("邮箱", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)),
    (
        "电话",
        re.compile(
            rf"(?<!\d)(?:\+?86{_GAP})?1\d{{2}}{_GAP}\d{{4}}{_GAP}\d{{4}}(?!\d)|(?<!\d)0\d{{2,3}}{_GAP}\d{{7,8}}(?!\d)"
        ),
    ),
    ("卡号", re.compile(r"(?<!\d)\d(?:[\s\-]?\d){8,24}(?!\d)")),
    ("号码", re.compile(rf"{_DIGIT}(?:[\s,,、]?{_DIGIT}){{6,30}}")),
    (
        "编号",
        re.compile(
            r"(?:(?<=病历号)|(?<=病案号)|(?<=住院号)|(?<=门诊号)|(?<=登记号)|(?<=就诊卡号)|(?<=社保卡号)|(?<=医保卡号)|(?<=医保号)|(?<=社保号)|(?<=微信号)|(?<=QQ号)|(?<=护照号)|(?<=卡号)|(?<=车牌号))"
            r"(?:[码是为::\s]{0,3})[A-Za-z0-9][A-Za-z0-9_\-]{3,}"
        ),
    ),
    (
        "生日",
        re.compile(
            r"(?:18|19|20)\d{2}\s?[年./\-]\s?\d{1,2}\s?[月./\-]\s?\d{1,2}\s?[日号]?|(?:一九|二零|二〇)[零〇一二三四五六七八九]{2}年[一二三四五六七八九十]{1,3}月(?:[一二三四五六七八九十]{1,3}[日号])?"
        ),
    ),
    (
        "地址",
        re.compile(
            r"(?:[一-龥]{2,7}?(?:自治区|自治州|省|市|区|县|旗|镇|乡|街道))*"
            r"[一-龥]{1,8}?(?:路|街|巷|弄|大道|胡同|村|小区|新村|花园|家园|社区|苑|里|屯|庄|公寓)"
            r"[一-龥]{0,6}?[\d一二三四五六七八九十百]+(?:号楼|号院|号|栋|幢|弄|组|队|座|楼)(?:[\dA-Za-z一二三四五六七八九十]{1,4}(?:栋|幢|座|单元|楼|层|室|号|户)){0,4}(?:\d{2,4})?"
            r"|(?:(?<=住在)|(?<=家在)|(?<=家住)|(?<=地址是)|(?<=地址:)|(?<=地址:)|(?<=户口在)|(?<=老家在)|(?<=老家是))(?!哪|什么|几|这|那|附近|医院|院)[一-龥\dA-Za-z]{3,30}"
        ),
    ),
    (
        "姓名",
        re.compile(
            rf"(?:(?<=名字叫)|(?<=名字是)|(?<=姓名是)|(?<=姓名:)|(?<=姓名:)|(?<=我叫)|(?<=他叫)|(?<=她叫)|(?<=妈叫)|(?<=爸叫)|(?<=子叫)|(?<=女叫)|(?<=伴叫)|(?<=公叫)|(?<=婆叫)|(?<=人叫)|(?<=患者)|(?<=患者:)|(?<=病人)|(?<=家属)|(?<=给)|(?<=帮)|(?<=替)|(?<=我是)|(?<=我妈)|(?<=我爸))"
            rf"(?:{_DOUBLE}|[{_SURNAMES}])(?!血压|血糖|血脂|医|大夫|烧|科|主任|教授)[一-龥]{{1,2}}?(?=$|[,。,.!?!?、;;\s的是今挂约看取拿交缴办查报预来去说在有也想要岁])"
            rf"|(?:{_DOUBLE}|[{_SURNAMES}])[一-龥]?(?:先生|女士|小姐|大爷|大妈|大娘|阿姨|叔叔|奶奶|爷爷)"
        ),
    ),
)  # fmt: skip
_KINDS = "|".join(kind for kind, _pattern in _PATTERNS)
_PLACEHOLDER = re.compile(rf"〔(?:{_KINDS})\d+〕")
_OPEN = re.compile(r"〔[^〕]{0,6}$")
# One width of stops for the forms below; brackets of placeholders are ours alone.
_ONE_WIDTH = str.maketrans("\uff0c\uff1f\uff01\uff1b\uff1a〔〕", ",?!;:[]")


class Mask:
    """One exchange's mask. ``names``: people we know of, hidden wherever they stand."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        whole = {n for n in names if len(n) >= 2}
        given = {n[1:] for n in whole if len(n) == 3}  # 玉兰: how family and friends say it
        self._names = sorted(whole | given, key=len, reverse=True)
        self._by_word: dict[str, str] = {}
        self._by_placeholder: dict[str, str] = {}

    @property
    def used(self) -> bool:
        return bool(self._by_word)

    def hide(self, text: str) -> str:
        """The text as it may leave: each value has the same placeholder throughout the exchange."""
        text = text.translate(_ONE_WIDTH)
        for name in self._names:
            if name in text:
                text = text.replace(name, self._placeholder("姓名", name))
        for kind, pattern in _PATTERNS:
            pieces = re.split(r"(〔[^〕]*〕)", text)  # what is hidden already is left alone
            text = "".join(
                piece
                if piece.startswith("〔")
                else pattern.sub(lambda match, kind=kind: self._placeholder(kind, match.group()), piece)
                for piece in pieces
            )
        return text

    def _placeholder(self, kind: str, word: str) -> str:
        if word not in self._by_word:
            self._by_word[word] = f"〔{kind}{len(self._by_word) + 1}〕"
            self._by_placeholder[self._by_word[word]] = word
        return self._by_word[word]

    def restore(self, text: str) -> str:
        """Placeholders back to what they stood for; one that this exchange never gave out is dropped."""
        return _PLACEHOLDER.sub(lambda match: self._by_placeholder.get(match.group(), ""), text)


class Restoring:
    """``Mask.restore`` for one stream: a placeholder cut between two deltas is held back until it is whole."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = ""

    def feed(self, delta: str) -> str:
        text = self._held + delta
        half = _OPEN.search(text)
        self._held = text[half.start() :] if half else ""
        return self._mask.restore(text[: half.start()] if half else text)

    def rest(self) -> str:
        """What was held back when the stream ended; an open bracket that never closed is dropped."""
        held, self._held = self._held, ""
        return self._mask.restore(held) if "〕" in held else ""
