"""``manage.py conformance HOSPITAL``: run the scripted visit through a hospital's connector and print the report.

``--abort`` ends a run that is under way, ``--clear`` ends all test appointments; their places are free again.
"""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals import tenancy
from hospitals.audit import Actor
from hospitals.exceptions import HospitalsError
from hospitals.models import ConformanceRun, Hospital
from hospitals.services import conformance, rehearsal

_MARKS = {True: "通过", False: "未过", None: "等待"}


class Command(BaseCommand):
    help = "对一家联调中的医院跑一遍一致性测试,逐项报告。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("hospital", help="医院代码")
        parser.add_argument("--wait", type=float, default=2.0, help="两次查看之间等几秒")
        parser.add_argument("--most", type=float, default=600.0, help="最多等几秒")
        parser.add_argument("--abort", action="store_true", help="结束正在进行的测试,没有结果的算没有通过")
        parser.add_argument("--clear", action="store_true", help="结束这家医院的全部测试预约,放回号源")

    def handle(self, *args: Any, **options: Any) -> None:
        hospital = Hospital.objects.filter(code=options["hospital"]).first()
        if hospital is None:
            raise CommandError("没有这家医院。")
        actor = Actor("commission", "manage.py conformance")
        if options["abort"] or options["clear"]:
            self._end(hospital, actor, options)
            return
        ends = time.monotonic() + options["most"]
        try:
            run = conformance.start(hospital_id=hospital.id, actor=actor)
            while run.finished_at is None and time.monotonic() < ends:
                run = conformance.look(hospital_id=hospital.id, run_id=run.id, actor=actor)
                time.sleep(0 if run.finished_at else options["wait"])
        except HospitalsError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error
        self._report(run)
        if not run.passed:
            raise CommandError("没有全部通过。")

    def _end(self, hospital: Hospital, actor: Actor, options: dict[str, Any]) -> None:
        with tenancy.scope(hospital.id):
            under_way = list(ConformanceRun.objects.filter(finished_at=None).values_list("id", flat=True))
            if options["abort"]:
                for run_id in under_way:
                    conformance.abort(hospital_id=hospital.id, run_id=run_id, actor=actor)
                self.stdout.write(f"结束了 {len(under_way)} 次测试。")
            if options["clear"]:
                self.stdout.write(f"结束了 {rehearsal.clear()} 个测试预约。")

    def _report(self, run: ConformanceRun) -> None:
        for number, point in enumerate(run.points, 1):
            self.stdout.write(f"{number:2} [{_MARKS[point['passed']]}] {point['name']}")
            if point["mend"]:
                self.stdout.write(f"          {point['detail']}。{point['mend']}")
