"""``manage.py export_corrections OUT.jsonl``: what reviewers confirmed and corrected, as rows to test and to train on.

Without personal data; docs/language_model.md says what is left out and who must read the file before it is used.
"""

import json
import os
import tempfile
from datetime import datetime, time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date

from companion.quality import Export


class Command(BaseCommand):
    help = (
        "Write reviewers' corrections as JSON lines: split (test or train), text, intent, department, urgency, label."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("out", type=Path, help="a file that does not exist yet")
        parser.add_argument("--since", default="", help="only what was reviewed on or after this day (2026-11-24)")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"]
        if out.exists():
            raise CommandError(f"{out} exists; name another file.")
        if not out.parent.is_dir():
            raise CommandError(f"There is no folder {out.parent}.")
        export = Export(_day(options["since"]))
        counts = {"test": 0, "train": 0}
        # written beside and moved at the end, readable by the owner alone: half an export is never taken for one
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=".corrections-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                for row in export:
                    counts[row.split] += 1
                    file.write(json.dumps(row.to_dict(), ensure_ascii=False) + "\n")
            os.link(name, out)
        except FileExistsError as error:
            raise CommandError(f"{out} exists; name another file.") from error
        finally:
            os.unlink(name)
        self.stdout.write(f"{counts['test']} test rows, {counts['train']} training rows in {out}.")
        for reason, count in sorted(export.left_out.items()):
            self.stdout.write(f"left out ({reason}): {count}")


def _day(text: str) -> datetime | None:
    if not text:
        return None
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise CommandError(f"{text} is no day; write it as 2026-11-24.")
    return timezone.make_aware(datetime.combine(day, time.min))
