"""``manage.py new_master_key``: one line for the master key file, to stand before the others; writes nothing itself."""

from typing import Any

from django.core.management.base import BaseCommand

from hospitals.keys.file import new_master


class Command(BaseCommand):
    help = "打印一行新的主密钥(放在密钥文件的最前面)。"
    requires_system_checks: list[str] = []  # there may be no key, database or secret yet

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(new_master())
