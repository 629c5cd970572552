"""Fields that take what the document says and nothing else.

REST framework's own are lenient: they read 5 as "5", "5" as 5 and "yes" as true, and cut white space off before any rule holds.
"""

from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers
from rest_framework.fields import empty


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
