"""What must not leave the house is hidden, and comes back in the answer. All people and numbers are invented."""

import json
from pathlib import Path

import pytest

from companion.llm.faithful import one_width
from companion.llm.masking import Mask, Restoring

SECRETS = [
    ("我叫王小明,想挂号", "王小明"),
    ("给我妈挂号,她叫欧阳秀兰", "欧阳秀兰"),
    ("帮李桂芳挂个号", "李桂芳"),
    ("我是赵国强,约过号的", "赵国强"),
    ("患者孙梅,女", "孙梅"),
    ("隔壁的张大爷说的", "张大爷"),
    ("我老伴周建国腿疼", "周建国"),
    ("我妈金敏眼睛不好", "金敏"),
    ("把林磊的号退了", "林磊"),
    ("单子上写的武明伟", "武明伟"),
    ("挂号的人是孔平", "孔平"),
    ("刚才彭秀英取过号了", "彭秀英"),
    ("身份证990101196101150028", "990101196101150028"),
    ("身份证99010119610115002X", "99010119610115002X"),
    ("身份证990101 19610115 0028", "990101 19610115 0028"),
    ("老身份证990101610115002", "990101610115002"),
    ("护照E12345678", "E12345678"),
    ("电话13800000000", "13800000000"),
    ("电话138 0000 0000", "138 0000 0000"),
    ("电话138-0000-0000", "138-0000-0000"),
    ("电话+86 13800000000", "13800000000"),
    ("电话\uff11\uff13\uff18\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10", "\uff13\uff18\uff10"),
    ("姓名\uff1a孙梅\uff0c女", "孙梅"),
    ("座机0990-8000000", "0990-8000000"),
    ("电话是一三八零零零零零零零零", "一三八零零零零零零零零"),
    ("电话是幺三八,零零零零,零零零零", "零零零零"),
    ("电话13800000000", "13800000000"),
    ("银行卡6222000000000000000", "6222000000000000000"),
    ("银行卡6222 0000 0000 0000 000", "0000 0000"),
    ("住院号是ZY20260088", "ZY20260088"),
    ("医保卡号:A00112233", "A00112233"),
    ("我1961年1月15日生的", "1961年1月15日"),
    ("生日一九六一年一月十五日", "一九六一年"),
    ("生于1961-01-15", "1961-01-15"),
    ("我住在岚州市青石区幸福路12号3单元502室", "幸福路12号"),
    ("我住在岚州市青石区幸福路12号3单元502室", "502"),
    ("家在青石镇柳树村,怎么去医院", "柳树村"),
    ("邮箱wang.xm@example.com", "wang.xm@example.com"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_personal_data_is_hidden_and_put_back(text: str, secret: str) -> None:
    mask = Mask()
    hidden = mask.hide(text)
    assert secret not in hidden
    assert mask.used
    assert one_width(mask.restore(hidden)) == one_width(text)


def test_known_names_are_hidden_wherever_they_stand() -> None:
    mask = Mask(("陈玉兰", "周国平"))
    assert "陈玉兰" not in mask.hide("陈玉兰和周国平都约好了")
    assert mask.hide("陈玉兰") == mask.hide("陈玉兰")


@pytest.mark.parametrize(
    "text",
    [
        "我想挂眼科,明天上午9点半",
        "给高血压病人看的门诊在7号楼1楼B区",
        "前面排队4人,当前叫号66号",
        "2026年的体检报告呢",
        "眼睛干了一两个月,一天三四次",
        "中山路怎么走",
        "血压160到95,血糖7.8",
        "帮我挂号",
        "我妈高血压,给她挂个号",
        "白内障手术以后要注意什么",
        "王医生今天出诊吗",
        "马上就到,等一下",
        "我爱人黄疸,脸发黄",
    ],
)
def test_what_is_no_personal_data_stays(text: str) -> None:
    assert Mask().hide(text) == text


def test_a_placeholder_that_was_never_given_out_is_dropped() -> None:
    mask = Mask(("陈玉兰",))
    mask.hide("陈玉兰")
    assert mask.restore("〔姓名1〕您好,〔姓名2〕也好") == "陈玉兰您好,也好"


def test_nobody_can_write_a_placeholder_herself() -> None:
    mask = Mask(("陈玉兰",))
    hidden = mask.hide("陈玉兰说〔姓名1〕")
    assert hidden == "〔姓名1〕说[姓名1]"


@pytest.mark.parametrize("by", [1, 2, 3, 7])
def test_a_placeholder_cut_between_deltas_comes_back_whole(by: int) -> None:
    mask = Mask(("陈玉兰",))
    answer = mask.hide("陈玉兰") + "您好,请看〔这里"
    restoring = Restoring(mask)
    pieces = [restoring.feed(answer[at : at + by]) for at in range(0, len(answer), by)]
    assert "".join(pieces) + restoring.rest() == "陈玉兰您好,请看"


def test_everyday_sentences_name_nobody() -> None:
    folder = Path(__file__).parent
    lines = [
        line for file in sorted((folder / "data").glob("*cases.jsonl")) for line in file.read_text("utf-8").splitlines()
    ]
    sentences = [json.loads(line)["text"] for line in lines]
    assert len(sentences) > 200
    changed = []
    for sentence in sentences:
        mask = Mask()
        hidden = mask.hide(sentence)
        assert one_width(mask.restore(hidden)) == one_width(sentence.replace("〔", "[").replace("〕", "]"))
        if mask.used:
            changed.append(hidden)
    assert len(changed) <= len(sentences) // 100, changed
