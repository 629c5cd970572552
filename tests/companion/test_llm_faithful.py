"""A rewrite keeps every fact, or it is refused."""

import re
from collections.abc import Iterator

import pytest

from companion import knowledge
from companion.llm.faithful import covered, facts, unfaithful, ungrounded

NAMES = (
    "陈玉兰",
    "岚州市第一人民医院",
    "眼科",
    "王芳",
    "李建国",
    "布洛芬",
    "阿司匹林",
    "眼科检查一区",
    "药房",
    "高血压",
    "糖尿病",
)
QUEUE = "当前您需要就诊,前面排队4人,当前叫号66号,地址位于7号楼1楼B区眼科检查一区。"
BILL = "检查费,一共120元。医保支付80元,您自付40元。"
SLOT = "岚州市第一人民医院眼科,明天上午9点半,王芳主任医师,挂号费25元。"


def terms(text: str) -> list[str]:
    return [name for name in NAMES if name in text]


@pytest.mark.parametrize(
    ("original", "rewrite"),
    [
        (QUEUE, "您前面还有4位,现在叫到66号,在7号楼1楼B区眼科检查一区。"),
        (QUEUE, "您别着急,前面还有四位,现在叫号66号,就在7号楼1楼B区眼科检查一区。"),
        (BILL, "检查费总共120元,医保付80元,您自己付40块。"),
        (SLOT, "岚州市第一人民医院眼科,明天上午9点半,王芳主任医师,挂号费二十五元。"),
        ("做检查前要先缴检查费。", "您做检查前,要先缴检查费。"),
        ("您现在没有正在办的就诊。", "您现在没有在办的就诊。"),
        (
            "您的71号刚才过号了,不要着急。请到药房门口,告诉护士您过号了。",
            "您的71号刚过号了,别急,请到药房门口告诉护士您过号了。",
        ),
    ],
)
def test_the_same_facts_in_warmer_words_may_be_said(original: str, rewrite: str) -> None:
    assert unfaithful(original, rewrite, terms) == ()


@pytest.mark.parametrize(
    ("original", "rewrite", "rule"),
    [
        (QUEUE, "您前面还有66位,现在叫到4号,在7号楼1楼B区眼科检查一区。", "facts"),
        (QUEUE, "您前面还有4位,现在叫到66号,在1号楼7楼B区眼科检查一区。", "facts"),
        (QUEUE, "您前面还有4位,现在叫到66号,在7号楼1楼眼科检查一区。", "facts"),
        (QUEUE, "您前面还有4位,现在叫到66号,在7号楼1楼B区。", "facts"),
        (QUEUE, "您前面还有4位,大概等10分钟,现在叫到66号,在7号楼1楼B区眼科检查一区。", "facts"),
        (BILL, "检查费一共120元,医保付40元,您自付80元。", "facts"),
        (BILL, "检查费自付120元,医保付80元,一共40元。", "facts"),
        (BILL, "检查费一共120元,您自付40元。", "facts"),
        (SLOT, "岚州市第一人民医院眼科,后天上午9点半,王芳主任医师,挂号费25元。", "facts"),
        (SLOT, "岚州市第一人民医院眼科,明天下午9点半,王芳主任医师,挂号费25元。", "facts"),
        (SLOT, "岚州市第一人民医院眼科,明天上午9点,王芳主任医师,挂号费25元。", "facts"),
        (SLOT, "岚州市第一人民医院眼科,明天上午9点半,李建国主任医师,挂号费25元。", "facts"),
        ("这项检查要空腹,检查前不要吃东西。", "这项检查要空腹,检查前可以吃东西。", "facts"),
        ("这项检查要空腹,检查前不要吃东西。", "这项检查检查前不要吃东西。", "facts"),
        ("请不要重复付款。", "请重复付款。", "facts"),
        ("已提交,正在等医院确认。", "已经成功了,医院确认了。", "facts"),
        ("您可以吃布洛芬。", "您可以吃阿司匹林。", "facts"),
        ("出门向左走。", "出门向右走。", "facts"),
        ("要现在缴吗?", "现在缴了。", "question"),
        ("您现在不用排队。", "您现在不用排队,病没事,放心吧。", "promise"),
        ("请到眼科检查一区。", "请到眼科检查一区,您这是青光眼症,要用药。", "medical"),
        ("请到眼科检查一区。", "请到眼科检查一区 http://example.com", "strange"),
        ("请到药房取药。", "今夜星光灿烂,鱼儿游泳唱歌跳舞,药房取药。", "off_topic"),
        ("请到药房。", "请您慢慢走到药房,药房里的人会热情接待您,您不要着急啊。", "longer"),
        ("请到药房。", " ", "empty"),
    ],
)  # fmt: skip
def test_a_changed_fact_is_refused(original: str, rewrite: str, rule: str) -> None:
    assert rule in unfaithful(original, rewrite, terms)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("二十五元", "25元"),
        ("25块", "25元"),
        ("一百二十元", "120元"),
        ("十二号", "12号"),
        ("两位", "2人"),
        ("一万三千元", "13000元"),
        ("12.50元", "12.5元"),
    ],
)
def test_numbers_are_read_whichever_way_they_are_written(text: str, value: str) -> None:
    assert [f.value for f in facts(text, terms) if f.kind == "number"] == [value]


def test_words_that_count_nothing_are_no_numbers() -> None:
    assert [f for f in facts("等一下,我们一起一步一步来,十分方便", terms) if f.kind == "number"] == []


PASSAGE = "高血压的人要少吃盐,一天不超过5克。血压平稳也不要自己停药。头痛得厉害、看东西模糊,要马上去急诊。"


@pytest.mark.parametrize(
    "sentence",
    ["高血压要少吃盐,一天不超过5克。", "血压平稳了也不要自己停药。", "头痛得厉害、看东西模糊,要马上去急诊。"],
)
def test_what_the_passage_carries_may_be_said(sentence: str) -> None:
    assert ungrounded(sentence, PASSAGE, terms) == ()


@pytest.mark.parametrize(
    ("sentence", "rule"),
    [
        ("高血压的人要少吃盐,一天不超过8克。", "numbers"),
        ("高血压的人可以吃阿司匹林。", "names"),
        ("血压平稳可以自己停药。", "clause"),
        ("高血压的人要多吃盐。", "clause"),
        ("吃大蒜能治高血压。", "not_in_passage"),
        ("血压平稳要马上去急诊。", "clause"),
        ("高血压的人多喝红酒,经常游泳。", "not_in_passage"),
        ("高血压少吃盐就能治愈。", "promise"),
        ("您这是脑瘤。", "medical"),
        ("高血压的人要少吃盐,吃ABC。", "latin"),
        ("", "empty"),
    ],
)
def test_what_the_passage_does_not_carry_is_refused(sentence: str, rule: str) -> None:
    assert rule in ungrounded(sentence, PASSAGE, terms)


TWO = "高血压的人少吃盐,低血压的人多吃盐。早上起来慢一点。"


@pytest.mark.parametrize("sentence", ["高血压的人多吃盐。", "低血压的人少吃盐。", "早上起来快一点。"])
def test_halves_of_two_clauses_make_no_third(sentence: str) -> None:
    assert "clause" in ungrounded(sentence, TWO, terms)
    right = {"高": "高血压的人少吃盐。", "低": "低血压的人多吃盐。", "早": "早上起来慢一点。"}[sentence[0]]
    assert ungrounded(right, TWO, terms) == ()


def test_cover_is_a_share() -> None:
    assert covered("少吃盐", PASSAGE) == 1.0
    assert covered("红酒游泳", PASSAGE) == 0.0


SENTENCE = re.compile(r"[^。!?\uff01\uff1f]+[。!?\uff01\uff1f]?")
WRONG = (("不要", ""), ("不能", "能"), ("少", "多"), ("多", "少"), ("饭前", "饭后"), ("饭后", "饭前"), ("早", "晚"), ("高", "低"), ("低", "高"), ("没有", "有"), ("不用", "要"))  # fmt: skip
NONSENSE = re.compile(r"有有|多多|少少")  # 有没有 and 多少 cut in two say nothing


def wrong(sentence: str) -> Iterator[str]:
    """The sentence with a number, a degree or a negation changed."""
    for match in re.finditer(r"\d+(?:\.\d+)?", sentence):
        yield f"{sentence[: match.start()]}{float(match.group()) + 7:g}{sentence[match.end() :]}"
    for have, want in WRONG:
        if have in sentence:
            yield sentence.replace(have, want, 1)


def test_every_entry_carries_its_own_sentences_and_no_changed_one() -> None:
    """All passages of the knowledge base, their own sentences and those with one thing changed."""
    refused, accepted, own, changed = [], [], 0, 0
    for passage in knowledge.library().passages:
        text = f"{passage.title}。{passage.text}"
        for sentence in SENTENCE.findall(passage.text):
            own += 1
            if len(sentence) <= 80 and ungrounded(sentence, text, terms):
                refused.append(sentence)
            for other in wrong(sentence):
                if other not in passage.text and not NONSENSE.search(other):
                    changed += 1
                    accepted += [] if ungrounded(other, text, terms) else [other]
    assert own > 500 and changed > 500
    assert len(refused) <= own // 100, refused
    assert len(accepted) <= changed // 200, accepted
