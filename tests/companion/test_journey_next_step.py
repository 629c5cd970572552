"""What she is to do now, wherever her visit stands."""

from hypothesis import given
from hypothesis import strategies as st

from companion.journey.folding import fold
from companion.journey.next_step import NextStep, next_step
from companion.wording import NEXT
from tests.companion.whole_visit import BILL, EXAM, OWN, WHOLE_VISIT, E, hospital


@given(st.integers(1, len(WHOLE_VISIT)))
def test_no_prefix_of_a_visit_is_without_a_next_step(length: int) -> None:
    assert next_step(fold(WHOLE_VISIT[:length])).name in NEXT


def test_bills_come_before_the_examination_they_pay_for() -> None:
    seen = fold([*OWN, *hospital((E.ENCOUNTER_FINISHED,), (E.EXAMINATION_ORDERED, EXAM), (E.INVOICE_ISSUED, BILL))])
    assert next_step(seen) == NextStep("pay", "i1")
