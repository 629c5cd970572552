"""``manage.py verify_audit``: read every audit chain from its beginning and name each place where it does not hold."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hospitals import audit
from hospitals.models import AuditChain


class Command(BaseCommand):
    help = "Check the audit log: any row changed, taken out, put in or cut off at the end is named. Exit 1 when one is."

    def handle(self, *args: Any, **options: Any) -> None:
        keys = list(AuditChain.objects.order_by("key").values_list("key", flat=True))
        broken = [found for key in keys for found in audit.verify(key)]
        for found in broken:
            self.stderr.write(f"{found.chain} {found.number}: {found.what}")
        if broken:
            raise CommandError(
                f"{len(broken)} breaks in {len({found.chain for found in broken})} of {len(keys)} chains."
            )
        self.stdout.write(f"{len(keys)} chains hold.")
