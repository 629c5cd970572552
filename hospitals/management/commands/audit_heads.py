"""``manage.py audit_heads``: write the heads of the audit log's chains to the log stream now; the clock does it every hour."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hospitals.audit import heads
from hospitals.exceptions import HospitalsError
from hospitals.services import master_key


class Command(BaseCommand):
    help = (
        "Write the heads that moved to the log stream (audit.heads) and into the commission's chain. "
        "Run it once after an upgrade from plain digests: chains from before are sealed as they stand."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            master_key.check()
            moved = heads.send()
        except HospitalsError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error
        self.stdout.write(f"{moved} heads moved.")
