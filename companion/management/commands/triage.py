"""``manage.py triage [FILE|-]``: JSON lines in, one JSON line each out, as they come."""

import json
import sys
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from companion.triage import TriageError, assess


def answer(line: str) -> dict[str, Any]:
    """One line's answer, or ``{"error": {"code", "message"}}`` for a line that cannot be triaged."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return {"error": {"code": "invalid_json", "message": f"{error.msg} at column {error.colno}"}}
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return {"error": {"code": "invalid_row", "message": 'expected an object with a string "text"'}}
    age = row.get("age")
    if age is not None and (isinstance(age, bool) or not isinstance(age, (int, float))):
        return {"error": {"code": "invalid_age", "message": '"age" must be a number of years'}}
    try:
        assessment = assess(row["text"], age_years=age, sex=row.get("sex"))
    except TriageError as error:
        return {"error": {"code": error.code, "message": str(error)}}
    return assessment.to_json()


class Command(BaseCommand):
    help = 'Triage JSON lines {"text", "age"?, "sex"?} from FILE (or - for stdin), one JSON line each.'

    requires_system_checks: list[str] = []  # pure: neither database nor urls

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default="-", help="a file of JSON lines, or - for standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["file"] == "-":
            self._stream(sys.stdin)
            return
        try:
            with open(options["file"], encoding="utf-8", errors="replace") as file:
                self._stream(file)
        except OSError as error:
            raise CommandError(f"cannot read {options['file']}: {error.strerror}") from error

    def _stream(self, lines: TextIO) -> None:
        for line in lines:
            if line.strip():
                self.stdout.write(json.dumps(answer(line), ensure_ascii=False))
                self.stdout.flush()
