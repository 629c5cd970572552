"""Retrieval on a written set: the right entry first for residents' words, and silence where nobody knows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from companion import knowledge

QUESTIONS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "data" / "knowledge_questions.yaml").read_text(encoding="utf-8")
)
LEAST_RIGHT = 0.9
LEAST_SILENT = 0.95
LEAST_RIGHT_UNPREPARED = 0.7


def answered() -> Iterator[tuple[str, str]]:
    for entry, questions in QUESTIONS["answered"].items():
        yield from ((entry, question) for question in questions)


def test_the_set_is_large_enough_and_names_entries_that_are_there() -> None:
    assert len(list(answered())) >= 150
    assert len(QUESTIONS["unanswered"]) >= 40
    assert set(QUESTIONS["answered"]) <= {entry.id for _, entry in knowledge.library().shelf.entries()}


def test_the_right_entry_answers_residents_questions() -> None:
    wrong = []
    for entry, question in answered():
        answer = knowledge.ask(question)
        first = answer.passages[0].entry_id if answer else None
        if first != entry:
            wrong.append((question, entry, first))
    assert len(wrong) <= (1 - LEAST_RIGHT) * len(list(answered())), wrong


def test_what_nobody_can_know_is_not_answered() -> None:
    said = [question for question in QUESTIONS["unanswered"] if knowledge.ask(question) is not None]
    assert len(said) <= (1 - LEAST_SILENT) * len(QUESTIONS["unanswered"]), said


def test_an_answer_is_made_of_its_passages_alone() -> None:
    for _, question in answered():
        answer = knowledge.ask(question)
        if answer is not None:
            assert all(passage.source and passage.text.rstrip("。") in answer.text for passage in answer.passages)


def test_words_that_nobody_prepared_find_the_right_entry_more_often_than_not_and_seldom_a_wrong_one() -> None:
    right, wrong = 0, []
    for question, entry in QUESTIONS["held_out"]:
        answer = knowledge.ask(question)
        first = answer.passages[0].entry_id if answer else None
        right += first == entry
        if first not in (None, entry):
            wrong.append((question, entry, first))
    assert right >= LEAST_RIGHT_UNPREPARED * len(QUESTIONS["held_out"])
    assert len(wrong) <= 0.1 * len(QUESTIONS["held_out"]), wrong


def test_a_medicine_that_is_not_named_is_not_spoken_of() -> None:
    """A class of medicines has an entry of its own; none of its medicines is guessed."""
    answer = knowledge.ask("抗生素能不能跟酒一起")
    assert answer is not None and {passage.entry_id for passage in answer.passages} == {"class.antibiotic"}
    assert knowledge.ask("白色的小圆片能不能跟酒一起") is None


def test_nobody_is_told_how_many_tablets() -> None:
    for question in ("阿莫西林我一次吃四粒行不行", "我该吃几片降压药", "打胰岛素几个单位合适"):
        assert knowledge.ask(question) is None


def test_what_residents_call_a_thing_finds_it() -> None:
    for said, entry in (
        ("降压药能和柚子一起吃吗", "class.blood-pressure"),
        ("住院的病历咋复印", "visit.copy-record"),
        ("我不会弄智能机咋个挂号", "visit.register-old"),
        ("空腹血糖六点五算不算糖尿病", "glu"),
    ):
        answer = knowledge.ask(said)
        assert answer is not None and answer.passages[0].entry_id == entry, said


def test_two_medicines_are_answered_together_or_not_at_all() -> None:
    known = knowledge.ask("感冒药和退烧药能一起吃吗")
    assert known is not None and [passage.section for passage in known.passages] == ["together"]
    assert knowledge.ask("氨氯地平和黛力新能一起吃吗") is None
