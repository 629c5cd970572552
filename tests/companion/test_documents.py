"""Identity numbers, phones and names are one value however they are typed, and a slip of a digit is found."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion import documents
from companion.documents import Wrong

TODAY = date(2026, 11, 29)
BIRTHS = st.dates(min_value=date(1905, 1, 1), max_value=TODAY)
ORDERS = st.integers(0, 999)


def made(born: date, order: int) -> str:
    first = f"990101{born:%Y%m%d}{order:03}"
    return first + documents.check_digit(first)


@given(BIRTHS, ORDERS)
def test_a_number_says_birth_date_and_sex(born: date, order: int) -> None:
    read = documents.identity_number(made(born, order), today=TODAY)
    assert (read.birth_date, read.sex) == (born, "male" if order % 2 else "female")


@given(BIRTHS, ORDERS, st.integers(0, 17), st.integers(1, 9))
def test_one_wrong_digit_is_found(born: date, order: int, at: int, more: int) -> None:
    number = made(born, order)
    slip = (
        "X"
        if number[at] != "X" and at == 17 and more == 9
        else str((int(number[at]) + more) % 10)
        if number[at] != "X"
        else str(more)
    )
    with pytest.raises(Wrong):
        documents.identity_number(number[:at] + slip + number[at + 1 :], today=TODAY)


@given(BIRTHS, ORDERS, st.integers(0, 16))
def test_two_neighbours_changed_places_are_found(born: date, order: int, at: int) -> None:
    number = made(born, order)
    slip = number[:at] + number[at + 1] + number[at] + number[at + 2 :]
    if slip == number:
        return
    with pytest.raises(Wrong):
        documents.identity_number(slip, today=TODAY)


@given(BIRTHS, ORDERS)
def test_spaces_small_letters_and_full_width_digits_are_the_same_number(born: date, order: int) -> None:
    number = made(born, order)
    wide = "".join(chr(ord(c) + 0xFEE0) for c in number[:6])
    typed = f" {wide} {number[6:14]}-{number[14:].lower()} "
    assert documents.identity_number(typed, today=TODAY).number == number


@given(st.text(max_size=30))
def test_anything_else_is_refused_by_a_code_and_not_quoted(text: str) -> None:
    for read in (
        lambda t: documents.identity_number(t, today=TODAY),
        documents.mobile,
        documents.other_number,
        documents.name,
    ):
        try:
            read(text)
        except Wrong as error:
            assert str(error) in {"empty", "length", "characters", "check_digit", "birth_date"}


def test_published_example_of_the_standard() -> None:
    assert documents.check_digit("11010519491231002") == "X"
    assert documents.check_digit("44052418800101001") == "4"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("", "empty"),
        ("99010119610115002", "length"),
        ("9901011961011500A3", "characters"),
        ("990101196101150028", "check_digit"),
        (made(TODAY + timedelta(days=1), 2), "birth_date"),
        ("990101196102300024"[:17] + documents.check_digit("99010119610230002"), "birth_date"),
        ("99010118000101002" + documents.check_digit("99010118000101002"), "birth_date"),
    ],
)
def test_what_is_wrong_is_told_apart(number: str, code: str) -> None:
    with pytest.raises(Wrong) as caught:
        documents.identity_number(number, today=TODAY)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "typed", ["13900007788", "+86 139-0000-7788", "86 13900007788", "0086 139 0000 7788", "13900007788"]
)
def test_a_phone_is_eleven_digits_however_it_is_typed(typed: str) -> None:
    assert documents.mobile(typed) == "13900007788"


@pytest.mark.parametrize("typed", ["12900007788", "1390000778", "139000077889", "0931-8888888", "一三九"])
def test_no_mobile_number(typed: str) -> None:
    with pytest.raises(Wrong):
        documents.mobile(typed)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [(" 陈 玉兰 ", "陈 玉兰"), ("阿依努尔•买买提", "阿依努尔·买买提"), ("Anna-Maria O'Hara", "Anna-Maria O'Hara")],
)
def test_names_of_any_script(typed: str, kept: str) -> None:
    assert documents.name(typed) == kept


@pytest.mark.parametrize("typed", ["", "陈", "<b>陈玉兰</b>", "13900007788", "陈" * 51])
def test_no_name(typed: str) -> None:
    with pytest.raises(Wrong):
        documents.name(typed)


def test_of_age_on_the_day() -> None:
    assert documents.age(date(2008, 11, 29), TODAY) == 18 and documents.age(date(2008, 11, 30), TODAY) == 17
    assert documents.coming_of_age(date(2008, 2, 29)) == date(2026, 3, 1)


def test_a_mask_keeps_the_last_digits_only() -> None:
    assert documents.masked("13900007788") == "*******7788" and documents.masked("E1234567") == "******67"
    assert documents.masked("") == ""
