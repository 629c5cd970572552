"""Fields that take what the document says and nothing else.

REST framework's own are lenient: they read 5 as "5", "5" as 5 and "yes" as true, and cut white space off before any rule holds.
"""

import re
from collections.abc import Mapping
from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers
from rest_framework.fields import empty

_A_NAME = re.compile(r"[A-Za-z][A-Za-z_]{0,39}")


class Exact(serializers.Serializer[Any]):
    """Refuses members that it does not know, as the document says: a misspelt one would otherwise be dropped in silence."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = set(data) - set(self.fields) if isinstance(data, Mapping) else set()
        if unknown:
            # named by whoever sent it: told only where it can be no name, number or words
            told = {name if _A_NAME.fullmatch(str(name)) else "non_field_errors" for name in unknown}
            raise serializers.ValidationError({name: ["-"] for name in sorted(told)}, code="unknown_field")
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A string. Its rules hold as it was sent; white space around it is taken off afterwards. ``pattern``: for the whole of it."""

    def __init__(self, pattern: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if pattern:
            # Python's $ also stands before a last line break; \Z is shown as $ in the document
            self.validators.append(RegexValidator(pattern.removesuffix("$") + r"\Z"))

    def run_validation(self, data: Any = empty) -> Any:
        if data is not empty and data is not None and not isinstance(data, str):
            self.fail("invalid")
        if data and isinstance(data, str):
            self.run_validators(data)
        return super().run_validation(data)


class Whole(serializers.IntegerField):
    """A JSON number without a fraction."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int | float):
            self.fail("invalid")
        number: int = super().to_internal_value(data)
        return number


class Flag(serializers.BooleanField):
    """true or false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data
