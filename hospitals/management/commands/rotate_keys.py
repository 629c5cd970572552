"""``manage.py rotate_keys``: change data keys, or wrap them under a new master key; may be killed and run again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals.audit import Actor
from hospitals.exceptions import HospitalsError
from hospitals.models import DataKey
from hospitals.services import rotation


class Command(BaseCommand):
    help = "更换数据密钥(--owner 只换一个),或把数据密钥改用新的主密钥封装(--master)。可随时中断,再次运行即继续。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", default="", help="hospital:编号 或 resident:编号")
        parser.add_argument("--audit", action="store_true", help="只更换审计记录的密钥;旧密钥保留,用于核对旧记录")
        parser.add_argument("--master", action="store_true", help="只改用新的主密钥封装")

    def _tell(self, progress: rotation.Progress) -> None:
        self.stdout.write(f"  {progress.table} {progress.rows}")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor("service", "rotate_keys")
        try:
            if options["master"]:
                self.stdout.write(f"已重新封装 {rotation.rewrap_all(actor=actor, tell=self._tell)} 个密钥。")
                return
            if options["audit"]:
                self.stdout.write(f"审计记录改用密钥 v{rotation.rotate_audit(actor=actor)}。")
                return
            for kind, owner_id in self._owners(options["owner"]):
                done = rotation.rotate(kind, owner_id, actor=actor, tell=self._tell)
                later = "旧密钥保留中,十分钟后再运行一次。" if done.waiting else "旧密钥已销毁。"
                self.stdout.write(f"{kind}:{owner_id} v{done.version},{done.rows} 行。{later}")
        except HospitalsError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error

    def _owners(self, chosen: str) -> list[tuple[str, str]]:
        """Those asked for; otherwise whoever is in the middle of a change, or, when nobody is, everybody."""
        if chosen:
            kind, _colon, owner_id = chosen.partition(":")
            return [(kind, owner_id)]
        keys = DataKey.objects.filter(destroyed_at=None, owner_kind__in=rotation.OWNERS)
        names = list(keys.order_by("owner_kind", "owner_id").values_list("owner_kind", "owner_id"))
        begun = {name for name in names if names.count(name) > 1}
        return sorted(begun or set(names))
