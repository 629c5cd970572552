"""``manage.py door_codes HOSPITAL > doors.html``: a sheet with the code of every door, to print and hang up."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals.exceptions import HospitalsError
from hospitals.models import Hospital
from hospitals.services import door_codes


class Command(BaseCommand):
    help = "一家医院的门码,每扇门一个,打印出来贴在门口。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("hospital", help="医院代码")
        parser.add_argument("--building", help="只要这一栋楼的")

    def handle(self, *args: Any, **options: Any) -> None:
        hospital = Hospital.objects.filter(code=options["hospital"]).first()
        if hospital is None:
            raise CommandError("没有这家医院。")
        try:
            self.stdout.write(door_codes.sheet(hospital_id=hospital.id, building=options["building"]))
        except HospitalsError as error:
            raise CommandError(f"{error.code}: {error.detail}") from error
