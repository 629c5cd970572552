"""Triage by what residents say: departments, levels, who it is about, and that a decision can be made again."""

import json
import statistics
from pathlib import Path

import pytest

from companion.management.commands.evaluate import read_rows, score
from companion.triage import LEVELS, InputRefused, ReplayMismatch, Utterance, assess, replay, with_departments
from companion.triage.values import Assessment

DATA = Path(__file__).parent / "data"
FRESH = list(read_rows(DATA / "fresh_cases.jsonl"))
UNSEEN = list(read_rows(DATA / "unseen_cases.jsonl"))
URGENCY = list(read_rows(DATA / "urgency_cases.jsonl"))
MOST_QUESTIONS = 4


def names(found: Assessment, count: int = 3) -> list[str]:
    return [department.name for department in found.departments[:count]]


def talk(text: str, pick: int) -> tuple[Assessment, int]:
    """Answer every question by its ``pick``-th option until nothing more is asked."""
    said = [Utterance(text)]
    found = assess(said)
    asked = 0
    while found.question is not None:
        asked += 1
        assert asked <= MOST_QUESTIONS
        option = found.question.options[pick % len(found.question.options)]
        said.append(Utterance(option[0], found.question.id))
        found = assess(said)
    return found, asked


def test_fresh_cases_find_their_department() -> None:
    tally = score(FRESH)
    assert tally.share("department first") >= 0.93
    assert tally.share("department within 3") >= 0.98
    assert tally.share("urgency") >= 0.96


def test_cases_that_nobody_tuned_on_find_their_department() -> None:
    tally = score(UNSEEN)
    assert tally.rows["department first"] == 80
    assert tally.share("department first") >= 0.9
    assert tally.share("department within 3") >= 0.97
    assert tally.share("urgency") >= 0.87


@pytest.mark.parametrize("row", URGENCY, ids=lambda row: row["text"])
def test_level(row: dict) -> None:
    found = assess(row["text"])
    assert found.urgency in row["urgency"]
    assert found.urgency in LEVELS and found.title and found.action and found.deadline and found.watch_for


@pytest.mark.parametrize(
    ("text", "department"),
    [
        ("波棱盖疼，上下楼费劲", "骨科"),
        ("脑壳痛，一跳一跳的", "神经内科"),
        ("窜稀两天", "消化内科"),
        ("后槽牙酸", "口腔科"),
        ("眼珠子发胀，看灯有光圈", "眼科"),
        ("耳朵嗡嗡响", "耳鼻咽喉科"),
        ("身上起风团痒", "皮肤科"),
        ("尿尿分叉还滴滴答答", "泌尿外科"),
        ("硬不起来", "男科"),
        ("来好事肚子疼得打滚", "妇科"),
        ("做试管要准备什么", "生殖医学科"),
        ("屁股眼长个肉疙瘩，擦纸上有血", "肛肠科"),
        ("奶子里有硬块", "乳腺外科"),
        ("早上起来手指僵，关节肿", "风湿免疫科"),
        ("老觉着渴，人还瘦", "内分泌科"),
        ("尿里一层沫半天不散", "肾内科"),
        ("想割双眼皮", "整形美容科"),
        ("老担心门没锁，反复检查", "精神心理科"),
        ("胃癌做了化疗", "肿瘤科"),
        ("中风后康复训练", "康复疼痛科"),
        ("乙肝小三阳", "感染科"),
        ("身上一碰就青", "血液内科"),
        ("湿气重，舌头有齿痕", "中医科"),
        ("大腿根鼓个包，是疝气吧", "普外科"),
    ],
)
def test_residents_words(text: str, department: str) -> None:
    assert department in names(assess(text), 2)


@pytest.mark.parametrize("organ", ["胃", "结肠", "肝"])
def test_an_organ_and_its_trouble_make_a_word(organ: str) -> None:
    assert names(assess(f"检查出{organ}癌"), 1) == ["肿瘤科"]
    assert "消化内科" in names(assess(f"检查出{organ}癌"))


@pytest.mark.parametrize(
    ("text", "department"),
    [
        ("吃饭的时候老是噎得慌", "消化内科"),
        ("上个三楼就得站住喘半天", "呼吸内科"),
        ("尿完了过一阵又老想尿", "泌尿外科"),
        ("手指头早上起来攥不住拳", "风湿免疫科"),
        ("动不动就掉眼泪", "精神心理科"),
    ],
)
def test_a_phrase_counts_though_words_stand_between_its_halves(text: str, department: str) -> None:
    assert department in names(assess(text), 2)


def test_a_sentence_end_parts_a_phrase() -> None:
    assert not any(mention.concept == "swallow" for mention in assess("我先吃饭。这人噎得我没话说").mentions)


@pytest.mark.parametrize("word", ["里头", "小心", "影响", "馒头", "以后", "抽时间"])
def test_a_word_that_only_holds_the_character_of_a_part_or_a_trouble_says_nothing(word: str) -> None:
    assert assess(word).mentions == ()


def test_a_wish_for_herbs_weighs_less_beside_an_illness() -> None:
    assert names(assess("胃溃疡，想吃中药"), 1) == ["消化内科"]
    assert names(assess("想吃中药调理"), 1) == ["中医科"]


@pytest.mark.parametrize("text", ["孩子他奶奶半夜认不得人", "抱孩子的时候手腕疼"])
def test_a_childs_family_is_not_the_child(text: str) -> None:
    assert not assess(text).facts.is_child


@pytest.mark.parametrize("denied", ["没有发烧", "不发烧", "没发烧"])
def test_what_is_denied_does_not_count(denied: str) -> None:
    found = assess(f"{denied}，就是膝盖疼")
    assert names(found, 1) == ["骨科"]
    assert any(mention.negated for mention in found.mentions)


@pytest.mark.parametrize("who", ["小孙子", "我闺女", "宝宝", "俺家娃"])
def test_a_child_goes_to_paediatrics(who: str) -> None:
    found = assess(f"{who}发烧咳嗽")
    assert names(found, 1) == ["儿科"] and found.facts.is_child


@pytest.mark.parametrize("text", ["坐月子里老想哭，看见孩子就烦", "多囊想要孩子", "结婚三年一直怀不上孩子"])
def test_a_child_wished_for_or_looked_after_is_not_the_patient(text: str) -> None:
    assert not assess(text).facts.is_child


def test_a_childs_eyes_and_teeth_go_where_adults_go() -> None:
    assert names(assess("孩子近视涨了一百度"), 1) == ["眼科"]


def test_pregnancy_goes_to_obstetrics() -> None:
    assert names(assess("怀孕三十周，腿肿"), 1) == ["产科"]
    assert names(assess("肚里娃七个月了，脚肿"), 1) == ["产科"]


def test_the_weeks_of_a_pregnancy_are_not_how_long_it_has_hurt() -> None:
    found = assess("怀孕三十周了，头疼腿肿")
    assert found.facts.duration_days is None and found.urgency == "within_24h"


def test_a_babys_months_are_an_age() -> None:
    found = assess("宝宝八个月，拉肚子一天了")
    assert found.facts.age_years == pytest.approx(0.667) and found.facts.duration_days == 1


def test_an_age_said_without_years() -> None:
    assert assess("我爸七十六了，走路没劲").facts.age_years == 76


def test_sex_and_age_that_contradict_a_department() -> None:
    assert "妇科" not in names(assess("小肚子疼", sex="male"), 2)
    assert "儿科" not in names(assess("发烧咳嗽", age_years=40), 5)
    assert "男科" not in names(assess("下身疼，小便刺痛", sex="female"), 2)


def test_a_risk_raises_the_level_and_says_why() -> None:
    plain, thinned = assess("头磕了一下"), assess("吃华法林，头磕了一下")
    assert LEVELS.index(thinned.urgency) < LEVELS.index(plain.urgency)
    assert any(reason.direction == "raises" and reason.source for reason in thinned.reasons)


def test_a_long_story_is_about_this_times_trouble() -> None:
    found = assess(
        "我老公以前抽烟喝酒都厉害，有脂肪肝，血脂也高，前年心脏放了支架，一直吃阿司匹林和他汀，"
        "这半个月小便次数特别多，晚上要起来五六趟，尿的时候要等半天，这是怎么回事，要看哪个科"
    )
    assert names(found, 1) == ["泌尿外科"] and "heart_disease" in found.facts.risks


def test_an_old_injury_is_not_todays() -> None:
    assert assess("刚摔了一跤，胳膊疼").urgency == "within_24h"
    assert assess("三个月前摔了一跤，胳膊还疼").urgency == "outpatient"


@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_said_is_refused(text: str) -> None:
    with pytest.raises(InputRefused):
        assess(text)


@pytest.mark.parametrize(("age", "sex"), [(-1, None), (131, None), (None, "x")])
def test_impossible_people_are_refused(age: float | None, sex: str | None) -> None:
    with pytest.raises(InputRefused):
        assess("头疼", age_years=age, sex=sex)


@pytest.mark.parametrize("text", ["我不舒服", "哎呀", "好难受啊"])
def test_unclear_asks_and_falls_back_to_general_medicine(text: str) -> None:
    found = assess(text)
    assert not found.certain and found.fallback.name == "普通内科"
    assert found.question is not None or found.offer_human


@pytest.mark.parametrize("pick", [0, 1, 2])
def test_few_questions_and_never_the_same_twice(pick: int) -> None:
    counts = [talk(row["text"], pick)[1] for row in FRESH[::3]]
    assert statistics.median(counts) <= 2 and max(counts) <= MOST_QUESTIONS


def test_after_the_questions_there_is_a_department_or_a_human() -> None:
    for row in FRESH[::5]:
        found, _ = talk(row["text"], 0)
        assert found.certain or found.offer_human


@pytest.mark.parametrize("use_ranker", [True, False])
def test_a_hundred_logs_replay_to_the_same_result(use_ranker: bool) -> None:
    for row in FRESH[:50] + URGENCY[:50]:
        log = json.loads(json.dumps(assess(row["text"], use_ranker=use_ranker).to_log(), ensure_ascii=False))
        assert replay(log).to_log() == assess(row["text"], use_ranker=use_ranker).to_log()


def test_a_changed_log_does_not_replay() -> None:
    log = json.loads(json.dumps(assess("头疼").to_log()))
    with pytest.raises(ReplayMismatch):
        replay(log | {"knowledge_version": "older"})
    log["result"]["urgency"] = "ambulance"
    with pytest.raises(ReplayMismatch):
        replay(log)


def test_a_hospital_without_a_department_sends_elsewhere() -> None:
    found = with_departments(assess("胃疼反酸"), {"消化内科": "内科", "普通内科": "内科"})
    assert names(found) == ["内科"]
