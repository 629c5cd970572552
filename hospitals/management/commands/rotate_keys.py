"""``manage.py rotate_keys``: change data keys or the blind index's, or wrap all under a new master key; may be killed and run again."""

from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals.audit import Actor
from hospitals.exceptions import HospitalsError
from hospitals.services import master_key, reindexing, rotation


class Command(BaseCommand):
    help = "更换数据密钥(--owner 只换一个)或盲索引的密钥(--index),或改用新的主密钥封装(--master)。可随时中断,再次运行即继续。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", default="", help="hospital:编号 或 resident:编号")
        parser.add_argument("--audit", action="store_true", help="只更换审计记录的密钥;旧密钥保留,用于核对旧记录")
        parser.add_argument("--master", action="store_true", help="只改用新的主密钥封装")
        parser.add_argument("--index", action="store_true", help="更换盲索引的密钥")
        parser.add_argument(
            "--give-up",
            action="store_true",
            help="与 --owner 或 --index 合用:放弃打不开的内容,旧密钥照样销毁",
        )

    def _tell(self, progress: rotation.Progress) -> None:
        self.stdout.write(f"  {progress.table} {progress.rows}")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor("service", "rotate_keys")
        give_up = options["give_up"]
        if give_up and not (options["owner"] or options["index"]):
            raise CommandError("--give-up 只能与 --owner 或 --index 合用。")
        self._damaged = 0
        try:
            master_key.check()
            if options["master"]:
                self._tell_of_master(rotation.rewrap_all(actor=actor, tell=self._tell))
                return
            if options["index"]:
                self._tell_of_index(reindexing.rotate(actor=actor, tell=self._tell, give_up=give_up))
                self._end("--index", give_up)
                return
            if options["audit"]:
                self.stdout.write(f"审计记录改用密钥 v{rotation.rotate_audit(actor=actor)}。")
                return
            if options["owner"]:
                kind, _colon, owner_id = options["owner"].partition(":")
                done = rotation.rotate(kind, owner_id, actor=actor, tell=self._tell, give_up=give_up)
                self._tell_of_owner(kind, owner_id, done)
                self._end(f"--owner {kind}:{owner_id}", give_up)
                return
            left = rotation.rotate_all(actor=actor, each=self._tell_of_owner, tell=self._tell)
            later = f"还有 {left} 个没有换完,十分钟后再运行一次。" if left else "已经开始的更换都已完成。"
            self.stdout.write(later)
            self._end("--owner 持有者", give_up=False)
        except HospitalsError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error

    def _tell_of_owner(self, kind: str, owner_id: str, done: rotation.Rotated) -> None:
        later = "旧密钥保留中,十分钟后再运行一次。" if done.waiting else "旧密钥已销毁。"
        if done.damaged and not done.retired:
            later = "有内容打不开,旧密钥保留。"
        self.stdout.write(f"{kind}:{owner_id} v{done.version},{done.rows} 行。{later}")
        self._name(done.damaged, f"{kind}:{owner_id} ")

    def _tell_of_master(self, done: rotation.Rewrapped) -> None:
        self.stdout.write(f"已重新封装 {done.keys} 个密钥。")
        for kind, owner_id, version in done.unopened:
            self.stderr.write(f"  打不开:{kind}:{owner_id} v{version}")
        if done.unopened:
            raise CommandError(f"{len(done.unopened)} 个密钥打不开,没有重新封装;旧的主密钥不要销毁。")

    def _tell_of_index(self, done: reindexing.Reindexed) -> None:
        if done.begun:
            self.stdout.write(f"盲索引 v{done.version} 已就绪,一分钟后启用,届时再运行一次。")
            return
        later = "旧密钥已销毁。" if done.ended else "旧密钥保留中,十分钟后再运行一次。"
        if done.damaged and not done.ended:
            later = "有内容打不开,旧密钥保留。"
        if done.waiting:
            later = f"还有 {done.waiting} 行要等(本人再次登录、邀请过期之后),旧密钥保留到那时。"
        self.stdout.write(f"盲索引 v{done.version},{done.rows} 行。{later}")
        self._name(done.damaged)

    def _name(self, damaged: Iterable[rotation.Damaged], whose: str = "") -> None:
        for one in damaged:
            self._damaged += 1
            self.stderr.write(f"  打不开:{whose}{one}")

    def _end(self, which: str, give_up: bool) -> None:
        if not self._damaged:
            return
        if give_up:
            self.stdout.write(f"放弃了 {self._damaged} 处打不开的内容。")
            return
        raise CommandError(
            f"{self._damaged} 处打不开,原样未动,相关的旧密钥保留;其余照常更换。请从备份恢复上面列出的列,再运行一次;"
            f"确实无法恢复的,运行 rotate_keys {which} --give-up 放弃。"
        )
