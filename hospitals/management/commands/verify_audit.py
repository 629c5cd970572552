"""``manage.py verify_audit``: read the audit log from its beginning and name each place where it does not hold."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals.audit import proof
from hospitals.audit.proof import Anchor
from hospitals.exceptions import HospitalsError, InvalidInput
from hospitals.services import master_key


class Command(BaseCommand):
    help = (
        "Check the audit log: any row changed, taken out, put in or cut off, any chain gone or begun again is named. "
        "Exit 1 when one is. With --anchors also that each chain passes through the heads in these log lines."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anchors", default="", metavar="FILE", help="log lines with audit.heads; others are skipped"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self._anchored = 0
        broken, where = 0, set()
        try:
            master_key.check()
            for found in proof.whole(self._anchors(options["anchors"])):
                self.stderr.write(f"{found.chain} {found.number}: {found.what}")
                broken += 1
                where.add(found.chain)
        except InvalidInput as error:
            raise CommandError(f"{options['anchors']}: {error.detail}") from error
        except OSError as error:
            raise CommandError(f"{options['anchors']}: {error.strerror}") from error
        except HospitalsError as error:  # without the key nothing is proved, and nothing is broken
            raise CommandError(f"{error.code}: {error.detail}") from error
        if options["anchors"] and not self._anchored:
            raise CommandError(f"{options['anchors']} holds no heads.")
        if broken:
            raise CommandError(f"{broken} breaks in {len(where)} chains.")
        through = f", through {self._anchored} heads" if options["anchors"] else ""
        self.stdout.write(f"{proof.chains()} chains hold{through}.")

    def _anchors(self, file: str) -> Iterator[Anchor]:
        for one in proof.read(Path(file)) if file else ():
            self._anchored += 1
            yield one
