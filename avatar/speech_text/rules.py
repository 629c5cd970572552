"""The rules that turn written numbers, units, codes and abbreviations into what is said.

A rule is a pattern and what its match is said as (avatar.speech_text.say). Rules are tried in the order of RULES: what an earlier one
has claimed, a later one does not see. Patterns run over ``fold(text)``, which has the text's length but ASCII digits, letters, signs.
"""

import re
from collections.abc import Callable

from avatar.speech_text import say
from avatar.speech_text.numbers import cardinal, count, digits
from avatar.speech_text.patterns import BEHIND, COUNTED, TO, UNIT, UNITS, N, any_of, fold
from avatar.speech_text.say import Part
from avatar.speech_text.tables import first_column, pairs

Say = Callable[[re.Match[str]], list[Part] | None]


def _table(name: str) -> Say:
    return lambda m: say.whole(m, pairs(name)[m[0]])


_CODE_NAMES = r"验证码|校验码|取件码|取药码|预约码|预约号|登记号|住院号|门诊号|病历号|病案号|就诊号|流水号|订单号|单号|卡号|尾号|编号|号码|代码|工号|邮编|批号|条码|证号|密码|口令|[后前末][一二三四五六七八\d]位(?:数字?)?"

_FINDING = {"+": "阳性", "-": "阴性", "±": "弱阳性", "++": "两个加号", "+++": "三个加号", "++++": "四个加号"}
_ROMAN = {"I": "一", "II": "二", "III": "三", "IV": "四", "V": "五", "VI": "六", "VII": "七", "VIII": "八"}

RULES: tuple[tuple[re.Pattern[str], Say], ...] = tuple(
    (re.compile(pattern, re.ASCII), saying)
    for pattern, saying in [
        (r"(?:https?://|www\.)[!-~]+", lambda m: say.whole(m, "网址")),
        (r"[\w.+-]+@[A-Za-z\d-]+(?:\.[A-Za-z\d-]+)+", lambda m: say.whole(m, "邮箱地址")),
        (rf"(?<![A-Za-z\d])(?:{any_of(first_column('abbreviations.tsv'))})(?![A-Za-z\d+])", _table("abbreviations.tsv")),
        (r"\([-+±]{1,4}\)", lambda m: say.whole(m, _FINDING.get(m[0][1:-1], ""))),
        (r"(?<![\dA-Za-z])\d{17}[\dXx](?![\dA-Za-z])", say.identity),
        (r"(?<![\d.])(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)", say.telephone),
        (r"(?<![\d.])\(?0\d{2,3}(?:\)|-|\) ?| )\d{3,4}[- ]?\d{4}(?!\d)", say.telephone),
        (r"(?<![\d.])0\d{2,3}-\d{5}(?!\d)", say.telephone),
        (r"(?<![\d.])[48]00[- ]?\d{3}[- ]?\d{4}(?!\d)|(?<![\d.])[48]00-\d{4}-\d{3}(?!\d)", say.telephone),
        (rf"(?:{_CODE_NAMES})(?:是|为|:|：|\s){{0,2}}(?P<code>[A-Za-z\d][A-Za-z\d-]{{2,}})", say.number_of),
        (rf"(?<![\d.A-Za-z-])(?:{any_of(first_column('hotlines.tsv'))})(?![\d.:%/-])(?!,\d)", say.hotline),
        (r"(?<!\d)(?P<y>(?:19|20)\d\d)\s?年\s?(?P<m>\d{1,2})\s?月\s?(?P<d>\d{1,2})(?:\s?[日号]|(?![\d.]))", say.date),
        (r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<sep>[-/.])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})(?:\s?[日号]|(?![\d.]))", say.date),
        (r"(?<!\d)(?P<y>(?:19|20)\d\d)(?=\s?(?:年(?!前|后|内|来|间|多|的时间)|届|学年))", lambda m: say.whole(m, digits(m["y"]))),
        (rf"(?<![\d.])(?:(?P<from>\d{{1,2}}){TO})?(?P<m>\d{{1,2}})(?=\s?月(?!\s?龄))(?:\s?月\s?(?P<d>\d{{1,2}})(?=\s?[日号]))?", say.month_and_day),
        (
            rf"(?<![\d:.])(?P<h>\d{{1,2}}):(?P<mi>[0-5]\d){TO}(?P<h2>\d{{1,2}}):(?P<mi2>[0-5]\d)(?![\d:])",
            say.from_time_to_time,
        ),
        (r"(?<![\d:.])(?P<h>\d{1,2}):(?P<mi>[0-5]\d)(?::(?P<s>[0-5]\d))?(?![\d:])", say.at_time),
        (r"(?P<a>(?<![\d./])\d{2,3})\s?/\s?(?P<b>\d{2,3})(?P<u>\s?(?:mmHg|kPa))(?![A-Za-z])", say.pressure),
        (r"(?<=血压)(?P<pre>[^\d，。；]{0,6})(?P<a>\d{2,3})\s?/\s?(?P<b>\d{2,3})(?P<u>)(?![\d/])", say.pressure),
        (
            rf"(?:(?P<low>{N}){TO})?(?P<n>{N})\s?(?P<what>[次片粒支袋滴喷吸包瓶顿餐])\s?/\s?(?P<per>日|天|周|月|年|小时|分钟|分|晚|早|次|min|d|h|w)(?![A-Za-z])",
            say.often,
        ),
        (rf"(?:(?P<low>{N}){TO})?(?P<n>{N})\s?(?P<u>{UNIT})\s?/\s?(?P<per>次|日|天|周|晚|早|餐|片|粒|支|袋)", say.dose),
        (rf"\$\s?(?P<n>{N})", lambda m: say.whole(m, count(m["n"]) + "美元")),
        (rf"[¥]\s?(?P<n>{N})(?:\s?元)?", say.price),
        (rf"(?P<n>{N})(?<=\.\d\d)\s?元(?!/)", say.price),
        (rf"(?:(?P<low>{N})\s?[%‰]?{TO})?(?P<n>{N})\s?(?P<sign>[%‰])", say.percent),
        (rf"(?P<sign>(?<=[视光镜轴为是约温])-)(?P<n>{N}){BEHIND}", say.signed),
        (rf"(?P<sign>(?<![\dA-Za-z\u4e00-\u9fff)])[-+]|±)\s?(?P<n>{N}){BEHIND}", say.signed),
        (r"(?<![A-Za-z\d.-])\d+(?:-\d+){2,}(?![\d.])", say.address),
        (rf"(?P<a>{N})(?P<ua>\s?{UNITS})?{TO}(?P<b>{N}){BEHIND}", say.span),
        (r"(?P<times>[×xX*]\s?)?(?<![\d.])10(?:\^|\*\*)?(?P<p>(?<=[\^*])-?\d{1,2}|⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)(?P<u>/(?:L|μL|uL|ml|mL|l))?(?![A-Za-z\d])", say.power),
        (r"第\s?(?P<a>\d{1,4})\s?/\s?(?P<b>\d{1,4})(?=\s?页)", say.pages),
        (r"(?<![\d./A-Za-z])(?P<a>\d{1,2})/(?P<b>\d{1,3})(?![\d/.])", say.fraction),
        (r"(?<![\d:.])(?P<a>\d{1,4}):(?P<b>\d{1,4})(?![\d:])", lambda m: [say.number(m, "a"), (m.end("a"), m.start("b"), "比"), say.number(m, "b")]),
        (r"(?<![A-Za-z])q(?P<n>\d{1,2})(?P<per>[hd])(?![A-Za-z])", say.every),
        (r"(?<!\d)(?P<w>\d{1,2})\s?[wW]\+(?P<d>\d)d?(?![A-Za-z\d])", say.pregnancy),
        (r"(?<!\d)(?:[5-9]0|00)(?=后(?!天|面|续|再|休|复|来))", lambda m: say.whole(m, digits(m[0]))),
        (r"(?:N[Oo]|no)\.?\s?(?P<n>\d+)", lambda m: say.whole(m, cardinal(m["n"]) + "号")),
        (r"(?P<n>\d+)#", lambda m: say.whole(m, cardinal(m["n"]) + "号")),
        (r"#(?P<n>\d+)", lambda m: say.whole(m, cardinal(m["n"]) + "号")),
        (r"(?<=转)\s?\d{3,5}(?!\d)", lambda m: say.whole(m, digits(m[0], one="幺"))),
        (r"(?<![\d.])\d{5,6}(?![\d.])", say.called),
        (r"(?P<n>\d+)(?P<f>[½¼¾⅓⅔])", say.mixed),
        (r"(?<![A-Za-z\d])[A-TV-Z](?P<n>\d{2})(?P<sub>\.(?:\d{1,3}[A-Za-z]?\d{0,3}))(?![\d.])", say.disease_code),
        (rf"(?<![A-Za-z\d])(?P<letter>[A-Z])(?P<a>\d{{1,4}}){TO}(?P<to>(?P=letter))(?P<b>\d{{1,4}})(?![\dA-Za-z.])", say.from_to),
        (r"(?<![A-Za-z\d])[A-Za-z]{1,6}-?(?P<n>\d+)(?![\d.])", say.letters_and_digits),
        (r"(?<![A-Za-z\d.])\d+(?:\.\d+){2,}(?![\d.])", say.version),
        (rf"第\s?(?P<n>{N})", say.ordinal),
        (r"(?<![\d./A-Za-z])(?P<n>\d{3,4})(?=\s?(?:号?(?:诊室|病房|病室|房|床|教室)|室))", say.room),
        (rf"(?P<n>{N})(?P<behind>\s?{UNITS})", say.measured),
        (rf"(?P<n>{N})(?=\s?(?:{COUNTED}))", say.counted),
        (N, say.plain),
        (r"\d+", say.plain),
        (r"(?<![A-Za-z])(?P<n>I{1,3}|IV|VI{0,3})(?=\s?(?:型|级|期|度|类|区))", lambda m: say.whole(m, _ROMAN[m["n"]])),
        (rf"(?<=[日号月年周点分楼层室区岁一二三四五六七八九十]){TO}(?=\d|周|星期)", lambda m: say.whole(m, "到")),
        (r"(?<=[\dA-Za-z\u4e00-\u9fff])\s?\*(?=\s?\d)|(?<=\d)[xX](?=\d)", lambda m: say.whole(m, "乘")),
        (r"(?<=[岁元天分人名米斤])\+", lambda m: say.whole(m, "以上")),
        (rf"(?:{any_of(first_column('signs.tsv'))})", _table("signs.tsv")),
        (r"(?<=[A-Za-z\u4e00-\u9fff])/(?=[A-Za-z\u4e00-\u9fff])", lambda m: say.whole(m, "，")),
    ]
)  # fmt: skip


def parts(text: str) -> list[Part]:
    """What the rules say about ``text``: (begin, end, said) in rising order, without overlap; the rest is said as it is written."""
    folded = fold(text)
    taken = bytearray(len(text))
    found: list[Part] = []
    for pattern, saying in RULES:
        for m in pattern.finditer(folded):
            if any(taken[m.start() : m.end()]):
                continue
            for begin, end, said in saying(m) or ():
                if begin < end:
                    found.append((begin, end, said))
                    taken[begin:end] = b"\x01" * (end - begin)
    return sorted(found)
