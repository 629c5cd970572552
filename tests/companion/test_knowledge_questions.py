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


def test_words_that_nobody_prepared_meet_silence_rather_than_the_wrong_entry() -> None:
    wrong = []
    for question, entry in QUESTIONS["held_out"]:
        answer = knowledge.ask(question)
        if answer is not None and answer.passages[0].entry_id != entry:
            wrong.append((question, entry, answer.passages[0].entry_id))
    assert len(wrong) <= 0.1 * len(QUESTIONS["held_out"]), wrong


def test_a_medicine_that_is_not_named_is_not_spoken_of() -> None:
    answer = knowledge.ask("抗生素能不能跟酒一起")
    assert answer is None or answer.passages[0].kind != "medicine"
