"""Yuan as hospitals write them, to the fen; whatever is no amount is refused at once."""

import pytest

from hospitals.connectors.money import fen


@pytest.mark.parametrize(("yuan", "amount"), [("80.55", 8055), ("12", 1200), ("1.2E+3", 120_000), ("-3.50", -350)])
def test_an_amount_is_whole_fen(yuan: str, amount: int) -> None:
    assert fen(yuan) == amount


# The first ones are numbers: to write them out takes a process seconds, or does not end.
@pytest.mark.parametrize("yuan", ["1E+199990", "1E+999999", "0E+999990", "1E+12", "Infinity", "NaN", "sNaN", "x", ""])
def test_what_is_no_amount_is_refused(yuan: str) -> None:
    with pytest.raises(ValueError, match="no amount"):
        fen(yuan)


@pytest.mark.parametrize("yuan", ["0.001", "1E-999990"])
def test_parts_of_a_fen_are_refused(yuan: str) -> None:
    with pytest.raises(ValueError, match="parts of a fen"):
        fen(yuan)
