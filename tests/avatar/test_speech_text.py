"""What is written, as it is said: numbers and doses, codes, polyphones; and the way back from what is said to what is written."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avatar.speech_text import Foreign, Mark, Syllable, clauses, read, spoken
from avatar.speech_text.numbers import cardinal, count, money
from avatar.speech_text.patterns import fold
from avatar.speech_text.pronounce import split
from avatar.speech_text.tables import pairs, rows
from avatar.visemes import FINALS, INITIALS


def pinyin(text: str, lexicon: tuple = ()) -> str:
    return " ".join(sound.pinyin for sound in read(text, lexicon).sounds if isinstance(sound, Syllable))


# --- numbers and what stands around them ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "said"),
    [
        # quantities
        ("3个", "三个"),
        ("2个人", "两个人"),
        ("12个", "十二个"),
        ("22片", "二十二片"),
        ("200元", "两百元"),
        ("1,005步", "一千零五步"),
        ("2000米", "两千米"),
        ("20000人", "两万人"),
        ("0.5片", "零点五片"),
        ("2.5个小时", "二点五个小时"),
        ("2楼", "二楼"),
        ("2号", "二号"),
        ("2月", "二月"),
        ("2个月", "两个月"),
        ("2年", "两年"),
        ("2天后", "两天后"),
        ("第2次", "第二次"),
        ("2型糖尿病", "二型糖尿病"),
        ("10000000", "一千万"),
        # ranges
        ("3-5天", "三到五天"),
        ("1～2次", "一到两次"),
        ("2—3周", "两到三周"),
        ("5mg-10mg", "五毫克到十毫克"),
        ("36.3-37.2℃", "三十六点三到三十七点二摄氏度"),
        ("60~100次", "六十到一百次"),
        # dates and times
        ("2026年3月5日", "二零二六年三月五日"),
        ("2026-03-05", "二零二六年三月五日"),
        ("2026/3/5", "二零二六年三月五日"),
        ("3月2号", "三月二号"),
        ("15:30", "十五点三十分"),
        ("15：05", "十五点零五分"),
        ("2:00", "两点"),
        ("08:00-11:30", "八点到十一点三十分"),
        ("12:05:09", "十二点零五分九秒"),
        ("2026-03-05 08:00", "二零二六年三月五日 八点"),
        # doses and units
        ("0.5g", "零点五克"),
        ("5mg/次", "每次五毫克"),
        ("1-2片/次", "每次一到两片"),
        ("3次/日", "每日三次"),
        ("75次/分", "每分钟七十五次"),
        ("10 mg/kg", "十毫克每千克"),
        ("5.6mmol/L", "五点六毫摩尔每升"),
        ("5.6×10^9/L", "五点六乘以十的九次方每升"),
        ("4.5*10¹²/L", "四点五乘以十的十二次方每升"),
        ("120/80mmHg", "一百二十比八十毫米汞柱"),
        ("血压是135/85", "血压是一百三十五比八十五"),
        ("37.8℃", "三十七点八摄氏度"),
        ("37.8°C", "三十七点八摄氏度"),
        ("-5℃", "零下五摄氏度"),
        ("65 kg", "六十五千克"),
        ("1.5 cm", "一点五厘米"),
        ("40IU/L", "四十国际单位每升"),
        ("300mg*20片", "三百毫克乘二十片"),
        ("1/2片", "半片"),
        ("1/3", "三分之一"),
        ("95%", "百分之九十五"),
        ("3%-5%", "百分之三到百分之五"),
        ("5‰", "千分之五"),
        ("1:200", "一比二百"),
        ("≥90", "大于等于九十"),
        # money
        ("¥36.50", "三十六元五角"),
        ("￥1,234.56", "一千二百三十四元五角六分"),
        ("36.50元", "三十六元五角"),
        ("120元", "一百二十元"),
        # places, queue numbers, telephones, codes
        ("66号", "六十六号"),
        ("A066号", "A零六六号"),
        ("7号楼1楼B区", "七号楼一楼B区"),
        ("301室", "三零幺室"),
        ("12号诊室", "十二号诊室"),
        ("3-2-301", "三杠二杠三零幺"),
        ("拨打120", "拨打幺二零"),
        ("急救电话：120", "急救电话：幺二零"),
        ("血压120", "血压一百二十"),
        ("120个", "一百二十个"),
        ("12356", "幺二三五六"),
        ("12356元", "一万两千三百五十六元"),
        ("13800001234", "幺三八，零零零零，幺二三四"),
        ("0571-87654321", "零五七幺，八七六五四三二幺"),
        ("400-800-1234", "四零零，八零零，幺二三四"),
        ("33010619900307123X", "三三零幺零六，幺九九零零三零七，幺二三X"),
        ("验证码802415", "验证码八零二四幺五"),
        ("住院号：0012345", "住院号：零零幺二三四五"),
        ("J18.901", "J幺八点九零幺"),
        ("卡号后4位5678", "卡号后四位五六七八"),
        ("停车场B1-B2", "停车场B一到B二"),
        ("3-5F", "三到五楼"),
        ("第1/3页", "第一页，共三页"),
        ("K+ 4.2", "血钾 四点二"),
        ("12.3g/L↑", "十二点三克每升，偏高"),
        ("q8h", "每八小时一次"),
        ("孕38w+2", "孕三十八周加两天"),
        ("11/23", "十一月二十三日"),
        ("5-6月", "五到六月"),
        ("2026年1-3月", "二零二六年一到三月"),
        ("11月23日-25日", "十一月二十三日到二十五日"),
        ("周一-周五", "周一到周五"),
        ("N95口罩", "N九五口罩"),
        ("80后", "八零后"),
        ("84消毒液", "八四消毒液"),
        ("No.5", "五号"),
        ("3#楼", "三号楼"),
        ("65岁+", "六十五岁以上"),
        ("10⁻³", "十的负三次方"),
        ("近视-3.00", "近视负三点零零"),
        ("拨打95588", "拨打九五五八八"),
        ("转8001", "转八零零幺"),
        ("$20", "二十美元"),
        ("2½片", "二又二分之一片"),
        ("版本1.2.3", "版本一点二点三"),
        # abbreviations
        ("B超", "B超"),
        ("维生素B12", "维生素B十二"),
        ("HbA1c 6.5%", "糖化血红蛋白 百分之六点五"),
        ("CA19-9", "CA幺九九"),
        ("PM2.5", "PM二点五"),
        ("CT/MRI", "CT，MRI"),
        ("HBsAg(+)", "HBsAg阳性"),
        ("HBsAg（-）", "HBsAg阴性"),
        ("Ⅱ型", "二型"),
        ("II型", "二型"),
        ("①挂号", "一挂号"),
        ("https://a.cn/x?y=1", "网址"),
        ("２０２６年１月２日，１５：３０", "二零二六年一月二日，十五点三十分"),
    ],
)
def test_what_is_written_is_said_so(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [("0", "零"), ("10", "十"), ("066", "零六六"), ("12.50", "十二点五零"), ("9" * 20, "九" * 20)],
)
def test_cardinals(written: str, said: str) -> None:
    assert cardinal(written) == said


def test_counts_and_money_at_their_edges() -> None:
    assert [count(n) for n in ("2", "12", "20", "220", "12000", "120000")] == [
        "两",
        "十二",
        "二十",
        "两百二十",
        "一万两千",
        "十二万",
    ]
    assert [money(n) for n in ("0.08", "200.05", "0.5", "2", "12.345")] == [
        "八分",
        "两百元零五分",
        "五角",
        "两元",
        "十二点三四五元",
    ]


# --- how it is read ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "syllables"),
    [
        ("挂号", "gua4 hao4"),
        ("张大夫", "zhang1 dai4 fu5"),
        ("呕吐", "ou3 tu4"),
        ("主诉", "zhu3 su4"),
        ("血压", "xue4 ya1"),
        ("流血", "liu2 xie3"),
        ("白血病", "bai2 xue4 bing4"),
        ("便宜", "pian2 yi5"),
        ("大便", "da4 bian4"),
        ("还得空腹", "hai2 dei3 kong1 fu4"),
        ("还款", "huan2 kuan3"),
        ("等得久", "deng3 de5 jiu3"),
        ("得病", "de2 bing4"),
        ("会得流感", "hui4 de2 liu2 gan3"),
        ("值得吃", "zhi2 de5 chi1"),
        ("都会好", "dou1 hui4 hao3"),
        ("走不动", "zou3 bu5 dong4"),
        ("长了疹子", "zhang3 le5 zhen3 zi5"),
        ("多长时间", "duo1 chang2 shi2 jian1"),
        ("重新挂号", "chong2 xin1 gua4 hao4"),
        ("体重", "ti3 zhong4"),
        ("头发", "tou2 fa5"),
        ("发烧", "fa1 shao1"),
        ("银行", "yin2 hang2"),
        ("步行", "bu4 xing2"),
        ("头晕", "tou2 yun1"),
        ("晕车", "yun4 che1"),
        ("咽喉", "yan1 hou2"),
        ("吞咽", "tun1 yan4"),
        ("膀胱", "pang2 guang1"),
        ("冠心病", "guan1 xin1 bing4"),
        ("恶心", "e3 xin5"),
        ("恶性", "e4 xing4"),
        ("鼻塞", "bi2 se4"),
        ("阿司匹林", "a1 si1 pi3 lin2"),
        ("B超", "bi4 chao1"),
        ("CT", "xi1 ti4"),
    ],
)
def test_polyphones_are_read_by_their_words(text: str, syllables: str) -> None:
    assert pinyin(text) == syllables


@pytest.mark.parametrize(
    ("text", "syllables"),
    [
        ("你好", "ni2 hao3"),
        ("一个", "yi2 ge4"),
        ("一天", "yi4 tian1"),
        ("第一", "di4 yi1"),
        ("1楼", "yi1 lou2"),
        ("十一点", "shi2 yi1 dian3"),
        ("不是", "bu2 shi4"),
        ("不好", "bu4 hao3"),
    ],
)
def test_tones_change_before_others(text: str, syllables: str) -> None:
    assert pinyin(text) == syllables


def test_a_hospitals_own_words() -> None:
    lexicon = (("乐行楼", "yue4 xing2 lou2"), ("3F", "三楼"), ("一附院", "第一附属医院"), ("坏", "xyz9"))
    reading = read("请到乐行楼3F，一附院。", lexicon)
    assert reading.said == "请到乐行楼三楼，第一附属医院。"
    assert "yue4 xing2 lou2 san1 lou2" in pinyin("请到乐行楼3F，一附院。", lexicon)
    assert [piece.said for piece in reading.pieces if piece.end - piece.start == 3] == ["第一附属医院"]
    assert pinyin("乐行楼3F", (("乐行楼3F", "yuè xíng lóu"),)) == "yue4 xing2 lou2 san1 lou2"
    assert spoken("坏", lexicon) == "xyz九"  # what is no pinyin is said


def test_an_engine_that_takes_no_pinyin_is_given_homophones() -> None:
    reading = read(
        "请到乐行楼、乐山楼，你好", (("乐行楼", "yue4 xing2 lou2"), ("乐山楼", "le4 shan1 lou2"), ("你好", "ni3 hao3"))
    )
    assert pinyin(reading.plain).split()[2:5] == ["yue4", "xing2", "lou2"]
    assert len(reading.plain) == len(reading.said)
    assert reading.plain[3:] == reading.said[3:]  # what is read so anyway is left as it is
    assert read("乐行楼").plain == "乐行楼"


def test_the_longest_of_a_hospitals_words_wins() -> None:
    assert spoken("东院区", (("东院", "东面的院"), ("东院区", "东区"))) == "东区"


def test_words_are_read_and_letters_are_spelled() -> None:
    sounds = read("ibuprofen OK WBC").sounds
    assert [type(sound) for sound in sounds[:1]] == [Foreign]
    assert [sound.text for sound in sounds] == ["ibuprofen", "O", "K", "W", "W", "W", "B", "C"]


def test_marks_are_pauses() -> None:
    assert [sound.long for sound in read("好，好。好！（好）").sounds if isinstance(sound, Mark)] == [
        False,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("pinyin", "parts"),
    [
        ("yuan2", ("", "van", 2)),
        ("xiong1", ("x", "iong", 1)),
        ("wu5", ("", "u", 5)),
        ("lve4", ("l", "ve", 4)),
        ("ng2", ("", "ng", 2)),
        ("jiu3", ("j", "iou", 3)),
        ("er2", ("", "er", 2)),
    ],
)
def test_syllables_come_apart(pinyin: str, parts: tuple) -> None:
    assert split(pinyin) == parts


# --- the way back ------------------------------------------------------------------------------------------------------
def test_what_is_said_leads_back_to_what_is_written() -> None:
    reading = read("服0.5g，拨打120")
    at = reading.said.index("点五")
    assert reading.text[slice(*reading.written(at, at + 2))] == "0.5"
    at = reading.said.index("幺二零")
    assert reading.text[slice(*reading.written(at, at + 3))] == "120"
    assert reading.text[slice(*reading.written(0, len(reading.said)))] == "服0.5g，拨打120"


_WRITTEN = st.lists(
    st.one_of(
        st.text(max_size=6),
        st.text("0123456789.-/:%,～¥×^年月日号点片次mgLT℃个 ", max_size=12),
        st.sampled_from(
            ["血压", "呕吐", "大夫", "B超", "HbA1c", "mmHg", "拨打", "验证码", "\ud800", "𠀀", "嗯", "ｍｇ", "٣"]
        ),
    ),
    max_size=8,
).map("".join)


@given(_WRITTEN, st.lists(st.tuples(st.text(max_size=3), st.text(max_size=6)), max_size=2).map(tuple))
@example("99:99", ())
@example("1.2.3-4/5%", ())
@example("0" * 40, ())
@example("+86 138 0000 1234", ())
@example("2026-13-45", ())
@settings(max_examples=300, deadline=None)
def test_any_text_can_be_read_and_every_sound_has_its_place(text: str, lexicon: tuple) -> None:
    reading = read(text, lexicon)
    assert [piece.start for piece in reading.pieces] + [len(text)] == [0] + [piece.end for piece in reading.pieces]
    spans = [(sound.start, sound.end) for sound in reading.sounds]
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    for sound in reading.sounds:
        assert 0 <= sound.said_at < len(reading.said)
        if isinstance(sound, Syllable):
            assert sound.final in FINALS and (sound.initial in INITIALS or not sound.initial)
            assert 1 <= sound.tone <= 5


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_folding_keeps_every_character_in_its_place(text: str) -> None:
    assert len(fold(text)) == len(text)


@given(_WRITTEN)
@settings(max_examples=150, deadline=None)
def test_clauses_are_the_text(text: str) -> None:
    pieces = clauses(text)
    at = 0
    for piece in pieces:
        found = text.index(piece, at)
        assert not text[at:found].strip()
        at = found + len(piece)
    assert not text[at:].strip()


def test_the_first_clause_is_short_and_no_number_is_cut() -> None:
    text = "您好，我是小兰，请您先到一楼大厅取号，然后到三楼的内分泌科门诊候诊。费用是1,200元，时间是15:30。"
    pieces = clauses(text)
    assert "".join(pieces) == text
    assert 6 <= len(pieces[0]) <= 12
    assert any("1,200元" in piece for piece in pieces) and any("15:30" in piece for piece in pieces)


# --- the tables --------------------------------------------------------------------------------------------------------
def test_phrases_have_a_syllable_for_each_character() -> None:
    table = rows("phrases.tsv")
    assert len({row[0] for row in table}) == len(table) > 600
    for word, syllables in table:
        assert len(word) == len(syllables.split()), word
        assert all(split(syllable)[2] == int(syllable[-1]) for syllable in syllables.split())


def test_letters_units_and_signs_can_be_said() -> None:
    assert len(pairs("letters.tsv")) == 26
    for syllables in pairs("letters.tsv").values():
        assert all(split(syllable) for syllable in syllables.split())
    for name in ("units.tsv", "signs.tsv", "abbreviations.tsv"):
        table = rows(name)
        assert len({row[0] for row in table}) == len(table)
        for row in table:
            assert not any(char.isdigit() for char in row[1]), row
