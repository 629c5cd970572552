"""``manage.py onboard HOSPITAL STEP --by WHO --because WHY``: the commission's steps, for who works without the admin."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals.audit import Actor
from hospitals.exceptions import HospitalsError
from hospitals.models import Hospital
from hospitals.services import onboarding

STEPS = {
    "verify": onboarding.verify,
    "live": onboarding.go_live,
    "suspend": onboarding.suspend,
    "resume": onboarding.resume,
    "leave": onboarding.leave,
}


class Command(BaseCommand):
    help = "卫健委对一家医院的操作:核验、上线、暂停、恢复、退出;不写操作就显示经过。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("hospital", help="医院代码")
        parser.add_argument("step", nargs="?", choices=list(STEPS))
        parser.add_argument("--by", default="", help="经办人的账号")
        parser.add_argument("--because", default="", help="理由")

    def handle(self, *args: Any, **options: Any) -> None:
        hospital = Hospital.objects.filter(code=options["hospital"]).first()
        if hospital is None:
            raise CommandError("没有这家医院。")
        if options["step"]:
            if not options["by"]:
                raise CommandError("请用 --by 写明经办人。")
            try:
                STEPS[options["step"]](
                    hospital_id=hospital.id, actor=Actor("commission", options["by"]), reason=options["because"]
                )
            except HospitalsError as error:
                raise CommandError(f"{error.code}: {error.detail}") from error
        for step in onboarding.history(hospital.id):
            self.stdout.write(f"{step.at:%Y-%m-%d %H:%M} {step} {step.actor} {step.reason}")
