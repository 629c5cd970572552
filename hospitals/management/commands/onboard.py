"""``manage.py onboard HOSPITAL STEP --by WHO --because WHY``: the commission's steps, for who works without the admin."""

from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospitals.audit import Actor
from hospitals.exceptions import HospitalsError
from hospitals.models import ApiClient, Hospital
from hospitals.services import onboarding

STEPS = {
    "verify": onboarding.verify,
    "take-back": onboarding.take_back_verification,
    "live": onboarding.go_live,
    "suspend": onboarding.suspend,
    "resume": onboarding.resume,
    "leave": onboarding.leave,
}


class Command(BaseCommand):
    help = "卫健委对一家医院的操作:核验、撤回核验、上线、暂停、恢复、退出、对接方式、密钥;不写操作就显示经过。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("hospital", help="医院代码")
        parser.add_argument("step", nargs="?", choices=list(STEPS))
        parser.add_argument("--connector", default="", help="改成这种对接方式")
        parser.add_argument("--end-client", choices=ApiClient.Environment.values, help="立即停用这个环境的账号")
        parser.add_argument("--end-signing", action="store_true", help="立即停用事件签名密钥")
        parser.add_argument("--new-claim", action="store_true", help="重发领取凭证,只显示这一次")
        parser.add_argument("--by", default="", help="经办人的账号")
        parser.add_argument("--because", default="", help="理由")

    def handle(self, *args: Any, **options: Any) -> None:
        hospital = Hospital.objects.filter(code=options["hospital"]).first()
        if hospital is None:
            raise CommandError("没有这家医院。")
        deeds: list[Any] = []
        if options["connector"]:
            deeds.append(partial(onboarding.set_connector, name=options["connector"]))
        if options["end_client"]:
            deeds.append(partial(onboarding.end_client, environment=options["end_client"]))
        if options["end_signing"]:
            deeds.append(onboarding.end_signing_secrets)
        if options["new_claim"]:
            deeds.append(onboarding.reissue_claim)
        if options["step"]:
            deeds.append(STEPS[options["step"]])
        if deeds and not options["by"]:
            raise CommandError("请用 --by 写明经办人。")
        for do in deeds:
            try:
                claim = do(hospital_id=hospital.id, actor=Actor("commission", options["by"]), reason=options["because"])
            except HospitalsError as error:
                raise CommandError(f"{error.code}: {error.detail}") from error
            if claim:
                self.stdout.write(f"领取凭证(只显示这一次):{claim}")
        for step in onboarding.history(hospital.id):
            self.stdout.write(f"{timezone.localtime(step.at):%Y-%m-%d %H:%M} {step} {step.actor} {step.reason}")
