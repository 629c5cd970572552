"""``manage.py new_master_key``: one line for the master key file, to stand before the others; or a key made in a token."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals.exceptions import KeyServiceUnavailable
from hospitals.keys import chosen_service
from hospitals.keys.file import new_master


class Command(BaseCommand):
    help = "打印一行新的主密钥(放在密钥文件的最前面);--in-token:在加密机(PKCS#11)里造一把,从此用它封装。"
    requires_system_checks: list[str] = []  # there may be no key, database or secret yet

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--in-token", action="store_true", help="在 KEY_SERVICE 指定的加密机令牌里生成")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["in_token"]:
            self.stdout.write(new_master())
            return
        try:
            make = getattr(chosen_service(), "make_master", None)
            if make is None:
                raise CommandError("COMPANION_KEY_SERVICE 不是加密机(PKCS#11)。")
            self.stdout.write(f"已在令牌里生成主密钥 {make()}。")
        except KeyServiceUnavailable as error:
            raise CommandError(f"{error.code}: {error.detail}") from error
