"""``manage.py erase hospital CODE | resident ID``: destroy an owner's keys, for ever."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals.audit import Actor
from hospitals.exceptions import HospitalsError
from hospitals.models import Hospital
from hospitals.services import erasure, master_key


def _resident(name: str) -> UUID:
    try:
        return UUID(name)
    except ValueError as error:
        raise CommandError("居民的编号不对。") from error


class Command(BaseCommand):
    help = "销毁一家已退出医院或一位居民的密钥,内容从此无法恢复。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=["hospital", "resident"])
        parser.add_argument("name", help="医院代码,或居民的编号")
        parser.add_argument("--by", required=True, help="经办人的账号")
        parser.add_argument("--reason", required=True, help="理由")
        parser.add_argument("--leave", action="store_true", help="医院同时退出")

    def handle(self, *args: Any, **options: Any) -> None:
        actor, reason = Actor("commission", options["by"]), options["reason"]
        try:
            master_key.check()
            if options["kind"] == "hospital":
                hospital = Hospital.objects.filter(code=options["name"]).first()
                if hospital is None:
                    raise CommandError("没有这家医院。")
                erase = erasure.leave_and_erase if options["leave"] else erasure.erase_hospital
                count = erase(hospital.id, actor=actor, reason=reason)
            else:
                count = erasure.erase_resident(_resident(options["name"]), actor=actor, reason=reason)
        except HospitalsError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error
        self.stdout.write(f"已销毁 {count} 个密钥。")
