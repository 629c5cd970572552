"""What stands on a real-name card, as it is written by hand: resident identity numbers, other documents, phones, names.

Each function gives the value in its one normal form, so that the same person is the same blind index however she typed
it. Raises ``Wrong`` with a code; never quotes what was given. Free of Django.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date

ADULT_AT = 18
OLDEST = 130
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"
_ID_CARD = re.compile(r"[0-9]{17}[0-9X]")
_OTHER = re.compile(r"[A-Z0-9]{5,20}")
_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_NAME = re.compile(r"[^\W\d_](?:[^\W\d_]|[·.'\- ])*[^\W\d_]")
_LONGEST_NAME = 50


class Wrong(ValueError):
    """``code``: length | characters | check_digit | birth_date | empty."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class IdentityNumber:
    """A resident identity number (公民身份号码) and what it says: birth date and sex ("male" | "female")."""

    number: str
    birth_date: date
    sex: str


def _plain(text: str) -> str:
    """Full-width letters and digits as usual ones, no spaces or hyphens, capitals."""
    return re.sub(r"[\s\-—–]", "", unicodedata.normalize("NFKC", text)).upper()


def check_digit(first_17: str) -> str:
    """The eighteenth character by ISO 7064 MOD 11-2, as GB 11643-1999 has it."""
    return _CHECK[sum(int(digit) * weight for digit, weight in zip(first_17, _WEIGHTS, strict=True)) % 11]


def identity_number(text: str, *, today: date) -> IdentityNumber:
    """18 characters by GB 11643-1999: area, birth date, order (odd: male), check digit.

    Whether the area code was ever assigned is not looked at: codes come and go, and people keep their numbers.
    """
    number = _plain(text)
    if not number:
        raise Wrong("empty")
    if len(number) != 18:
        raise Wrong("length")
    if not _ID_CARD.fullmatch(number):
        raise Wrong("characters")
    if number[17] != check_digit(number[:17]):
        raise Wrong("check_digit")
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError as error:
        raise Wrong("birth_date") from error
    check_born(born, today=today)
    return IdentityNumber(number, born, "male" if int(number[16]) % 2 else "female")


def other_number(text: str) -> str:
    """A passport's or permit's number: letters and digits, without a check of its own."""
    number = _plain(text)
    if not number:
        raise Wrong("empty")
    if not _OTHER.fullmatch(number):
        raise Wrong("characters")
    return number


def mobile(text: str) -> str:
    """A mainland mobile number as eleven digits; +86, spaces and hyphens are taken off."""
    number = re.sub(r"^(?:\+86|0086|86(?=1[3-9][0-9]{9}$))", "", _plain(text))
    if not number:
        raise Wrong("empty")
    if not _MOBILE.fullmatch(number):
        raise Wrong("characters")
    return number


def name(text: str) -> str:
    """A person's name: letters of any script, with 「·」 between the parts of a long one."""
    found = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip()
    found = re.sub(r"[•・‧∙]", "·", found)
    if not found:
        raise Wrong("empty")
    if len(found) > _LONGEST_NAME:
        raise Wrong("length")
    if not _NAME.fullmatch(found):
        raise Wrong("characters")
    return found


def check_born(born: date, *, today: date) -> None:
    """Raises ``Wrong`` for a birth date that is still to come or longer ago than anybody lives."""
    if born > today or born.year < today.year - OLDEST:
        raise Wrong("birth_date")


def age(born: date, today: date) -> int:
    """Whole years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def coming_of_age(born: date) -> date:
    """The day she is no minor any more; who was born on a 29 February comes of age on 1 March."""
    try:
        return born.replace(year=born.year + ADULT_AT)
    except ValueError:
        return date(born.year + ADULT_AT, 3, 1)


def masked(number: str) -> str:
    """Enough to recognise one's own, too little to use: the last four of a long number, the last two of a short one."""
    shown = 4 if len(number) >= 11 else 2
    return "*" * max(0, len(number) - shown) + number[-shown:] if number else ""
