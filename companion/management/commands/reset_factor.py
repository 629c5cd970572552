"""``manage.py reset_factor ACCOUNT --by WHO --because WHY``: for who has lost phone and recovery codes and has no colleague."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from companion import second_factor
from hospitals.audit import Actor


class Command(BaseCommand):
    help = "清除一个账号的两步验证;下次登录时重新设置。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("account")
        parser.add_argument("--by", required=True, help="经办人的账号")
        parser.add_argument("--because", required=True, help="理由")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["account"]).first()
        actor = Actor("commission", options["by"])
        if user is None or not second_factor.reset(user, actor=actor, reason=options["because"]):
            raise CommandError("没有这个账号,或者它没有设两步验证。")
        self.stdout.write("已清除。")
