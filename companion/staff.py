"""Staff's door to the admin: guessing is held back, each try is logged, and passwords are not words of this place."""

import hashlib
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

from hospitals import audit
from hospitals.audit import Actor
from hospitals.services import limits
from hospitals.services.limits import Limit

log = structlog.get_logger(__name__)

# By account and address together, so that nobody can lock an account out from elsewhere; by address for lists of accounts.
WRONG_FOR_ACCOUNT = Limit("staff-account", 5, 900)
WRONG_FROM_ADDRESS = Limit("staff-address", 50, 900)
# What somebody who knows the place would try first.
WORDS = (
    "companion",
    "hospital",
    "jiankang",
    "banxing",
    "xiaolan",
    "weijian",
    "admin",
    "健康",
    "伴行",
    "小岚",
    "卫健",
    "医院",
)
SHORTEST_WITHOUT_WORD = 8


class SignInForm(AuthenticationForm):
    """Django's form; a wrong name, a wrong password and too many tries get the same words."""

    def clean(self) -> dict[str, Any]:
        address = str(self.request.META.get("REMOTE_ADDR", "")) if self.request else ""
        name = str(self.cleaned_data.get("username", ""))
        account = hashlib.sha256(f"{address}/{name}".encode()).hexdigest()
        if limits.exhausted(WRONG_FOR_ACCOUNT, account) or limits.exhausted(WRONG_FROM_ADDRESS, address):
            log.warning("staff_sign_in_refused", code="too_many_tries")
            raise self.get_invalid_login_error()
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            limits.count(WRONG_FOR_ACCOUNT, account)
            limits.count(WRONG_FROM_ADDRESS, address)
            log.warning("staff_sign_in_refused", code="wrong_name_or_password")
            raise
        audit.record("staff.sign_in", actor=Actor("commission", name), entity="account")
        return cleaned


class WordsOfThisPlace:
    """Refuses a password that is little more than a word of this place; any characters may be used."""

    def validate(self, password: str, user: Any = None) -> None:
        rest = password.lower()
        for word in WORDS:
            rest = rest.replace(word, "")
        if rest != password.lower() and len(rest) < SHORTEST_WITHOUT_WORD:
            raise ValidationError(self.get_help_text(), code="word_of_this_place")

    def get_help_text(self) -> str:
        return "密码不能主要由本系统或单位的名称组成。"
