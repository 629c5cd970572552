"""``manage.py build_avatar PORTRAIT --name NAME``: an avatar from a photograph, kept in the data folder."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from avatar.exceptions import RigError
from avatar.photograph import build
from avatar.renderers import ASSETS, NAME, custom_folder


class Command(BaseCommand):
    requires_system_checks = ()  # needs neither database nor addresses
    help = "Make a talking avatar from a portrait: one face, seen from the front, lips closed, evenly lit."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("portrait", type=Path, help="a JPEG, PNG or WebP")
        parser.add_argument("--name", required=True, help="small letters, digits, - and _")
        parser.add_argument("--replace", action="store_true", help="build anew an avatar of that name")

    def handle(self, *args: object, portrait: Path, name: str, replace: bool, **options: object) -> None:
        if not NAME.fullmatch(name):
            raise CommandError(
                "A name has small letters, digits, - and _, at most 40, and begins with a letter or digit."
            )
        if (ASSETS / name).exists():
            raise CommandError(f"{name} is a built-in avatar. Take another name.")
        if (custom_folder() / name).exists() and not replace:
            raise CommandError(f"There is an avatar {name} already. Add --replace to build it anew.")
        try:
            rig = build(portrait, name, custom_folder())
        except RigError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{name}: {len(rig.mouth_states)} mouths, {len(rig.eye_states)} pairs of eyes in {rig.folder}\n"
            f"Hear it: manage.py say 您好 --avatar {name} --out hello.mp4"
        )
