"""The demo province: hospitals from data files, the demo's residents and family, the commission's admin."""

from datetime import date, timedelta
from typing import Any

import yaml
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from companion import people, roles, signin
from companion.identity.base import Identity
from companion.models import Resident
from hospitals import seed

DATA = settings.BASE_DIR / "companion" / "data" / "demo" / "residents.yaml"


class Command(BaseCommand):
    help = "Make (or refresh) the demo province. Running it again keeps what residents did and renews the slots."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.MODE != "demo":
            raise CommandError("seed_demo is for the demo only; COMPANION_MODE is not demo.")
        seed.seed_province(timezone.now())
        with transaction.atomic():
            for entry in yaml.safe_load(DATA.read_text(encoding="utf-8"))["residents"]:
                self._resident(entry)
            self._commission()
        if options["verbosity"]:
            self.stdout.write("The demo province stands.")

    def _resident(self, entry: dict[str, Any]) -> None:
        identity = Identity(provider="development", app_id="demo", open_id=entry["code"])
        _token, signed_in = signin.open_session(identity)
        signin.revoke(signed_in.session_id)
        resident = Resident.objects.get(id=signed_in.resident_id)
        if resident.family.exists():
            return
        resident.name, resident.phone = entry["people"][0]["name"], entry["people"][0]["phone"]
        resident.save()
        for person in entry["people"]:
            values = {name: person[name] for name in ("name", "id_number", "phone", "sex")}
            year = None if person["relation"] == "self" else timezone.now() + timedelta(days=365)
            people.keep(
                resident,
                values | {"birth_date": self._birth_date(person).isoformat()},
                person["relation"],
                expires_at=year,
            )

    @staticmethod
    def _birth_date(person: dict[str, Any]) -> date:
        """Ages stay as the story has them, whatever year the demo runs in."""
        return date(timezone.localdate().year - person["age_years"], 1, 15)

    @staticmethod
    def _commission() -> None:
        if not User.objects.filter(username="commission").exists():
            admin = User.objects.create_user("commission", password="demo-only", is_staff=True)
            admin.groups.add(Group.objects.get(name=roles.ADMINISTRATOR))
        if not User.objects.filter(username="reviewer").exists():
            reviewer = User.objects.create_user("reviewer", password="demo-only", is_staff=True)
            reviewer.groups.add(Group.objects.get(name=roles.REVIEWER))
