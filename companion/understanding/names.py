"""Names as people say them: hospitals by nickname or by sound, departments by their everyday words, doctors by surname."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from companion.ports.booking import HospitalView
from companion.understanding.sounds import Lexicon

_DATA = Path(__file__).parent.parent / "data" / "dialogue"

_ORDINALS = "一二三四五六七八九十"
_KINDS = {
    "中医": ("中医院", "中医医院"),
    "妇幼": ("妇幼", "妇幼保健院", "妇保院", "妇幼院"),
    "儿童": ("儿童医院", "儿医", "儿医院"),
    "肿瘤": ("肿瘤医院",),
    "眼科": ("眼科医院",),
    "口腔": ("口腔医院", "牙科医院"),
    "社区": ("社区医院", "社区卫生服务中心", "社区"),
    "卫生院": ("卫生院",),
    "精神": ("精神病院", "精神卫生中心", "精卫中心"),
    "附属": ("附属医院", "附院", "大学附院"),
    "肺科": ("胸科医院", "肺科医院"),
    "传染": ("传染病医院",),
    "康复": ("康复医院",),
}


def nicknames(hospital: HospitalView) -> set[str]:
    """How people say this hospital: what it lists itself, and what its full name lets one expect (市一院, 一院)."""
    name, city = hospital.name, hospital.city.removesuffix("市")
    said = {name, *hospital.nicknames}
    bare = name
    for place in (f"{city}市", f"{city}县", city):
        if place and bare.startswith(place):
            bare = bare.removeprefix(place)
            said.add(bare)
            break
    ordinal = re.search(rf"第([{_ORDINALS}])(?:人民)?医院", name)
    if ordinal:
        n = ordinal[1]
        level = "省" if "省" in name else "市" if "市" in name else ""
        short = {f"第{n}医院", f"第{n}人民医院", f"{n}医院", f"{n}院", f"人民{n}院"}
        said |= short | {f"{city}{s}" for s in short if city}
        if level:
            said |= {f"{level}{n}院", f"{level}{n}医院", f"{level}{n}", f"{level}第{n}医院", f"{city}{level}{n}院"}
    elif "人民医院" in name:
        prefix = "省" if "省" in name else "县" if "县" in name else "区" if "区" in name else "市"
        said |= {f"{prefix}人民医院", f"{prefix}人医", f"{prefix}医院", f"{prefix}院"}
    for mark, words in _KINDS.items():
        if mark in bare:
            level = "省" if "省" in name else "市" if "市" in name else "县" if "县" in name else ""
            said |= set(words) | {f"{level}{w}" for w in words if level} | {f"{city}{w}" for w in words if city}
    return {s for s in said if len(s) >= 2}


class Hospitals:
    """An index over the hospitals of the directory, nearest first; made once per directory."""

    def __init__(self, hospitals: tuple[HospitalView, ...]) -> None:
        self.all = hospitals
        self._by_name: dict[str, list[HospitalView]] = {}
        for hospital in hospitals:
            for name in sorted(nicknames(hospital)):
                self._by_name.setdefault(name, []).append(hospital)
        self._names = sorted(self._by_name, key=len, reverse=True)
        pattern = "|".join(map(re.escape, self._names))
        self._pattern = re.compile(pattern) if pattern else None
        self._sounds = Lexicon(n for n in self._names if len(n) >= 3)

    def find(self, text: str) -> tuple[tuple[HospitalView, ...], str]:
        """(hospitals that the words can mean, nearest first; the words), or ((), "")."""
        if self._pattern is None:
            return (), ""
        match = self._pattern.search(text)
        if match:
            return self._meant(match.group()), match.group()
        if "院" in text or "市" in text or "妇幼" in text or "社区" in text:
            corrected = self._sounds.corrected(text)
            match = self._pattern.search(corrected) if corrected != text else None
            if match:
                return self._meant(match.group()), match.group()
            near = self._sounds.nearest(text, shortest=5)
            if near:
                return self._meant(near[0]), near[1]
        return (), ""

    def _meant(self, name: str) -> tuple[HospitalView, ...]:
        """Those that list this name as their own; else all whose full name lets one expect it."""
        named = self._by_name[name]
        return tuple([h for h in named if name in (h.name, *h.nicknames)] or named)


_index: tuple[tuple[HospitalView, ...], Hospitals] | None = None


def hospital_index(hospitals: tuple[HospitalView, ...]) -> Hospitals:
    """The index of this directory; kept while the directory is the same."""
    global _index
    if _index is None or _index[0] != hospitals:
        _index = (hospitals, Hospitals(hospitals))
    return _index[1]


@dataclass(frozen=True, slots=True)
class Departments:
    """Everyday words → standard department names, from data/dialogue/departments.yaml."""

    by_word: dict[str, str]
    pattern: re.Pattern[str]

    def find(self, text: str) -> tuple[tuple[str, str], ...]:
        """(standard name, the words) of each department named, in order, each once."""
        found: dict[str, str] = {}
        for match in self.pattern.finditer(text):
            found.setdefault(self.by_word[match.group()], match.group())
        return tuple(found.items())


def _load_departments() -> Departments:
    data = yaml.safe_load((_DATA / "departments.yaml").read_text(encoding="utf-8"))
    by_word = {}
    for name, words in data["departments"].items():
        for word in (name, *words):
            by_word[word] = name
    pattern = "|".join(re.escape(w) for w in sorted(by_word, key=len, reverse=True))
    return Departments(by_word, re.compile(f"(?:{pattern})(?!医院)"))


DEPARTMENTS = _load_departments()

_SURNAMES = (
    "欧阳|司马|上官|诸葛|司徒|夏侯|皇甫|尉迟|东方|慕容|"
    "[王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩邓冯曹彭曾萧肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付傅方邹熊白孟秦邱侯江尹薛闫阎段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向汤常温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝官封谈匡鞠惠荆乐冀郁胥南班储原栗燕楚鄢劳谌奚皮粟冼蔺楼盘满闻位厉伊仝区郜海阚花权强帅屠豆朴盖练廉禹井祖漆巴丰支卿国狄平计索宣晋相初门云容敬来扈晁芮都普阙浦戈伏鹿薄邸雍辜羊阿乌母裘亓修邰赫杭况那宿鲜印逯隆茹诺战慕危玉银亢嵇公哈湛宾戎勾茅利於呼居揭干但尉冶斯元束檀衣信展阴昝智幸奉植衡富尧闭由]"
)
_DOCTOR = re.compile(
    rf"(?P<name>(?:{_SURNAMES})[一-龥]{{0,2}}?)(?P<title>副?主任医师|主治医师|副?主任|医生|大夫|医师|教授|专家|老师)"
)
_NOT_NAMES = frozenset(
    {
        "专",
        "主",
        "好",
        "女",
        "男",
        "老",
        "家",
        "名",
        "那",
        "向",
        "和",
        "单",
        "时",
        "都",
        "来",
        "门",
        "平",
        "位",
        "成",
        "由",
        "但",
        "应",
        "元",
        "明",
        "国",
    }
)


def find_practitioner(text: str) -> str:
    """The surname or name before 医生, 大夫, 主任, ...; empty when no doctor is named."""
    for match in _DOCTOR.finditer(text):
        name = match["name"]
        if text[max(0, match.start() - 1) : match.start() + 1] in ("主任", "主治", "专家"):
            continue
        if name in _NOT_NAMES or re.search(r"[的个看挂找约位名是跟让给请换有女男]", name[1:]):
            continue
        if name[0] in _NOT_NAMES and len(name) > 1:
            continue
        return name
    return ""
