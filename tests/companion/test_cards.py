"""What stands on the cards of a visit."""

import pytest

from companion import cards
from companion.journey.folding import fold
from hospitals.connectors.base import Reference
from tests.companion.whole_visit import BILL, DRUGS, EXAM, OWN, REPORT, E, hospital

ORDERED = (
    (E.ENCOUNTER_FINISHED,),
    (E.INVOICE_ISSUED, BILL),
    (E.EXAMINATION_ORDERED, EXAM),
    (E.PRESCRIPTION_ISSUED, DRUGS),
)
PAID = (E.INVOICE_PAID, Reference("i1"))
DONE = (E.EXAMINATION_COMPLETED, Reference("e1"))
REPORTED = (E.REPORT_ISSUED, REPORT)
FETCHED = (E.PRESCRIPTION_DISPENSED, Reference("p1"))


@pytest.mark.parametrize(
    ("since", "left"),
    [
        ((), "缴费、检查、取药"),
        ((PAID,), "检查、取药"),
        ((PAID, DONE), "检查、取药"),
        ((PAID, DONE, REPORTED), "看报告、取药"),
        ((PAID, FETCHED), "检查"),
    ],
)
def test_after_the_consultation_the_line_names_what_is_left(since, left) -> None:
    steps = cards.progress(fold([*OWN, *hospital(*ORDERED, *since)]))["steps"]
    assert [step["name"] for step in steps if step["state"] == "now" and "text" not in step] == [left]


def test_where_nothing_was_ordered_yet_it_says_so() -> None:
    steps = cards.progress(fold([*OWN, *hospital((E.ENCOUNTER_FINISHED,))]))["steps"]
    assert [step["name"] for step in steps if step["state"] == "now"] == ["等医生的单子"]


def test_before_and_after_it_the_line_names_all_that_may_come() -> None:
    before = cards.progress(fold([*OWN, *hospital((E.ENCOUNTER_STARTED,))]))["steps"]
    after = cards.progress(fold([*OWN, *hospital(*ORDERED, (E.VISIT_CLOSED,))]))["steps"]
    assert {"name": "缴费、检查、取药", "state": "next"} in before
    assert {"name": "缴费、检查、取药", "state": "done"} in after
