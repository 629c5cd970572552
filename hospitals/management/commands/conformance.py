"""``manage.py conformance HOSPITAL``: run the scripted visit through a hospital's connector and print the report."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals.audit import Actor
from hospitals.exceptions import HospitalsError
from hospitals.models import ConformanceRun, Hospital
from hospitals.services import conformance

_MARKS = {True: "通过", False: "未过", None: "等待"}


class Command(BaseCommand):
    help = "对一家联调中的医院跑一遍一致性测试,逐项报告。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("hospital", help="医院代码")
        parser.add_argument("--wait", type=float, default=2.0, help="两次查看之间等几秒")
        parser.add_argument("--most", type=float, default=600.0, help="最多等几秒")

    def handle(self, *args: Any, **options: Any) -> None:
        hospital = Hospital.objects.filter(code=options["hospital"]).first()
        if hospital is None:
            raise CommandError("没有这家医院。")
        actor = Actor("commission", "manage.py conformance")
        ends = time.monotonic() + options["most"]
        try:
            run = conformance.start(hospital_id=hospital.id, actor=actor)
            while run.finished_at is None and time.monotonic() < ends:
                time.sleep(options["wait"])
                run = conformance.look(hospital_id=hospital.id, run_id=run.id, actor=actor)
        except HospitalsError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error
        self._report(run)
        if not run.passed:
            raise CommandError("没有全部通过。")

    def _report(self, run: ConformanceRun) -> None:
        for number, point in enumerate(run.points, 1):
            self.stdout.write(f"{number:2} [{_MARKS[point['passed']]}] {point['name']}")
            if point["mend"]:
                self.stdout.write(f"          {point['detail']}。{point['mend']}")
