"""The knowledge base as data: every entry rests on a source and a review state; what lacks one is refused."""

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

from companion import knowledge
from companion.knowledge.loader import load
from companion.knowledge.values import REVIEW_STATES, KnowledgeInvalid

DIAGNOSES = ("您得了", "您患了", "确诊您", "你得了", "你患了", "诊断为")
HEAD = "id,name,words,steps,bring,differs,source,review,updated"


@dataclass(frozen=True)
class Line:
    """A line of a report, as the hospital's connector gives it."""

    name: str
    value: str
    unit: str = ""
    code: str = ""
    low: float | None = None
    high: float | None = None
    interpretation: str = ""


@dataclass(frozen=True)
class Report:
    observations: tuple[Line, ...]


def folder(path: Path, row: str) -> Path:
    (path / "procedures.csv").write_text(f"{HEAD}\n{row}\n", encoding="utf-8")
    return path


def test_every_entry_has_a_source_and_a_review_state() -> None:
    entries = [entry for _, entry in knowledge.library().shelf.entries()]
    assert all(e.source and e.review in REVIEW_STATES and e.updated for e in entries)
    assert all(p.source and p.review for p in knowledge.library().passages)
    assert all(i.source and i.review in REVIEW_STATES for i in knowledge.library().shelf.interactions.values())


def test_there_is_enough_of_each_kind() -> None:
    shelf = knowledge.library().shelf
    assert len(shelf.medicines) >= 120
    assert len(shelf.examinations) >= 100
    assert len(shelf.reasons) >= 150
    assert len(shelf.procedures) >= 30


def test_no_entry_states_a_diagnosis_or_a_dose() -> None:
    for passage in knowledge.library().passages:
        assert not any(word in passage.text for word in DIAGNOSES), passage.id
        if passage.kind == "medicine":
            assert "毫克" not in passage.text and "mg" not in passage.text.lower(), passage.id


def test_entries_are_short_enough_to_be_heard() -> None:
    for passage in knowledge.library().passages:
        assert len(passage.text) <= 130 and passage.text.count("。") <= 5, passage.id


def test_every_department_named_is_one_that_residents_are_sent_to() -> None:
    path = Path(knowledge.__file__).parent.parent / "data" / "triage" / "departments.yaml"
    known = path.read_text(encoding="utf-8")
    for entry in knowledge.library().shelf.reasons.values():
        assert all(f"name: {name}," in known for name in entry.departments), entry.id


def test_interactions_name_medicines_and_groups_that_are_there() -> None:
    shelf = knowledge.library().shelf
    tags = {f"tag:{tag}" for entry in shelf.medicines.values() for tag in entry.tags}
    for pair in shelf.interactions.values():
        assert {pair.one, pair.other} <= tags | set(shelf.medicines), pair.id


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("a.b,名,,做,带,别,,draft,2026-11-23", "source is empty"),
        ("a.b,名,,做,带,别,nothing,draft,2026-11-23", "not in sources.yaml"),
        ("a.b,名,,做,带,别,editorial,,2026-11-23", "review must be one of"),
        ("a.b,名,,做,带,别,editorial,approved,2026-11-23", "review must be one of"),
        ("a.b,名,,做,带,别,editorial,draft,soon", "is not a date"),
        ("A B,名,,做,带,别,editorial,draft,2026-11-23", "is not lower-case"),
        ("a.b,名,,,带,别,editorial,draft,2026-11-23", "steps is empty"),
        ("a.b,名,,做,带,别,editorial,draft", "not as many cells"),
    ],
)
def test_an_entry_that_breaks_the_rules_is_refused(tmp_path: Path, row: str, why: str) -> None:
    with pytest.raises(KnowledgeInvalid, match=why) as refused:
        load((folder(tmp_path, row),))
    assert refused.value.code == "knowledge_invalid"
    assert "procedures.csv" in str(refused.value)


def test_only_the_review_states_asked_for_are_read(tmp_path: Path) -> None:
    path = folder(tmp_path, "a.b,名,,做,带,别,editorial,draft,2026-11-23")
    assert load((path,)).procedures
    assert not load((path,), ("reviewed", "published")).procedures


def test_words_of_entries_are_not_given_twice_within_a_kind() -> None:
    """Two entries of a kind that share a name would make a look-up a matter of chance."""
    for kind in ("medicine", "examination", "reason", "procedure"):
        owner: dict[str, str] = {}
        for entry_kind, entry in knowledge.library().shelf.entries():
            for word in {entry.name, *entry.words} if entry_kind == kind else ():
                assert owner.setdefault(word, entry.id) == entry.id, f"{kind} {word}: {owner[word]}, {entry.id}"


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        (Line("血红蛋白", "95", "g/L"), "low"),
        (Line("白细胞计数", "12.0", "10^9/L"), "high"),
        (Line("★白细胞计数(WBC)", "6", "×10⁹/L"), "normal"),
        (Line("白细胞计数", "6", "g/L"), "unknown"),
        (Line("血红蛋白", "50", "g/L"), "critical"),
        (Line("随便什么", "7"), "unknown"),
        (Line("随便什么", "7", low=1, high=5), "high"),
        (Line("随便什么", "7", interpretation="HH"), "critical"),
        (Line("随便什么", "阳性"), "unknown"),
    ],
)
def test_a_line_is_marked(line: Line, mark: str) -> None:
    assert knowledge.explain_observation(line, 40, "female").mark == mark


def test_ranges_are_those_of_the_sex() -> None:
    line = Line("血红蛋白", "125", "g/L")
    assert knowledge.explain_observation(line, 40, "female").mark == "normal"
    assert knowledge.explain_observation(line, 40, "male").mark == "low"


@pytest.mark.parametrize(
    ("value", "mark"), [("阴性", "normal"), ("阳性", "abnormal"), ("弱阳性", "abnormal"), ("+", "abnormal")]
)
def test_results_in_words_are_read(value: str, mark: str) -> None:
    item = next(i for i in knowledge.library().shelf.laboratory.values() if i.expected == "阴性")
    assert knowledge.explain_observation(Line(item.name, value)).mark == mark


def test_the_report_s_own_range_goes_first() -> None:
    assert knowledge.explain_observation(Line("血红蛋白", "125", "g/L", low=130, high=175), 40, "female").mark == "low"


def test_an_unknown_item_is_not_explained() -> None:
    line = knowledge.explain_observation(Line("随便什么", "7"))
    assert (line.explanation, line.source) == ("", "")


def test_a_critical_value_is_left_to_the_clinician() -> None:
    report = Report((Line("血红蛋白", "50", "g/L"),))
    line = knowledge.explain_report(report, age_years=70, sex="female")[0]
    assert knowledge.is_critical(report, age_years=70, sex="female")
    assert "医生" in line.explanation and "护士" in line.explanation
    assert not any(word in line.explanation for word in ("贫血", "低", "高", "危急"))


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("氨氯地平", "氨氯地平"),
        ("络活喜", "氨氯地平"),
        ("我在吃拜阿司匹灵", "阿司匹林"),
        ("芬必得", "布洛芬"),
        ("二甲双瓜", "二甲双胍"),
        ("阿托伐他丁", "阿托伐他汀"),
        ("瑞舒伐他丁", "瑞舒伐他汀"),
        ("左氧氟砂星", "左氧氟沙星"),
    ],
)
def test_a_medicine_is_found_by_generic_brand_or_misspelt_name(said: str, name: str) -> None:
    found = knowledge.medicine(said)
    assert found is not None and found.name == name


def test_a_name_between_two_medicines_is_not_guessed() -> None:
    assert knowledge.medicine("阿莫沙星") is None
    assert knowledge.medicine("没有这种药") is None


def test_two_of_one_kind_and_risky_pairs_are_told() -> None:
    texts = [
        c.text for c in knowledge.medicine_cautions("布洛芬", other_medicines=["华法林", "双氯芬酸"], age_years=70)
    ]
    assert any("华法林" in text and "出血" in text for text in texts)
    assert any("同一类药" in text for text in texts)


def test_age_sex_and_pregnancy_limits_come_first() -> None:
    young = knowledge.medicine_cautions("左氧氟沙星", age_years=9)
    assert young[0].severe and "18岁以上" in young[0].text
    assert knowledge.medicine_cautions("坦索罗辛", age_years=60, sex="female")[0].severe
    assert "不能用" in knowledge.medicine_cautions("缬沙坦", age_years=30, sex="female", pregnant=True)[0].text


def test_csv_files_have_no_column_that_nobody_reads() -> None:
    for path in (Path(knowledge.__file__).parent.parent / "data" / "knowledge").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            assert all(next(csv.reader(file))), path.name
