"""``manage.py say TEXT --avatar NAME --engine espeak --out FILE.mp4``: a film of an avatar that says the text."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from avatar.exceptions import AvatarError
from avatar.film import Voice, aigc_label, make, sentences
from avatar.renderers import get_renderer
from avatar.timeline import MOODS
from avatar.tts.base import SpeechRequest


class Command(BaseCommand):
    requires_system_checks = ()  # needs neither database nor addresses
    help = "Film an avatar that says a text, with its lips on the voice's clock. Any length."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("text", nargs="?", default="", help="what to say; - reads it from standard input")
        parser.add_argument("--text-file", type=Path, help="read the text (UTF-8) from a file instead")
        parser.add_argument("--avatar", default="xiaolan")
        parser.add_argument("--engine", default="espeak", choices=sorted(settings.SPEECH_ENGINES))
        parser.add_argument("--voice", default="")
        parser.add_argument("--rate", type=float, default=1.0, help="1.0 is the voice's own pace")
        parser.add_argument("--mood", default="neutral", choices=MOODS)
        parser.add_argument("--still", action="store_true", help="no breathing, blinks or sway")
        parser.add_argument(
            "--producer", default="health-companion", help="who is named in the label of generated content"
        )
        parser.add_argument("--out", type=Path, required=True)
        parser.add_argument("--timeline", type=Path, help="also write phonemes and visemes with their times, as JSON")

    def handle(self, *args: object, **options: Any) -> None:
        out: Path = options["out"]
        if not out.parent.is_dir():
            raise CommandError(f"There is no folder {out.parent}.")
        try:
            parts, total = self._text(options["text"], options["text_file"])
            made = asyncio.run(
                make(
                    sentences(parts),
                    voice=_engine(options["engine"]),
                    renderer=get_renderer(options["avatar"]),
                    out=out,
                    timeline=options["timeline"],
                    request=SpeechRequest(text="", voice=options["voice"], rate=options["rate"]),
                    mood=options["mood"],
                    still=options["still"],
                    metadata=aigc_label(options["producer"], uuid4().hex),
                    progress=_bar(total),
                )
            )
        except AvatarError as error:
            raise CommandError(str(error)) from error
        finally:
            sys.stderr.write("\n")
        if not made.frames:
            out.unlink(missing_ok=True)
            raise CommandError("There is nothing to say.")
        self.stdout.write(f"{out}: {made.duration_ms / 1000:.1f} s")

    @staticmethod
    def _text(text: str, file: Path | None) -> tuple[Iterator[str], int]:
        """The text in lines, and its length in bytes or 0 where that is not known."""
        if file is not None:
            try:
                size = file.stat().st_size
                return _lines(file), size // 3
            except OSError as error:
                raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        if text == "-":
            return iter(sys.stdin), 0
        return iter([text]), len(text)


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as opened:
        yield from opened


def _engine(name: str) -> Voice:
    entry: dict[str, Any] = settings.SPEECH_ENGINES[name]
    engine: Voice = import_string(entry["BACKEND"])(**entry["OPTIONS"])
    return engine


def _bar(total: int) -> Callable[[int, int], None]:
    """A progress bar on standard error, drawn at most ten times a second. ``total`` characters; 0 where unknown."""
    drawn = 0.0

    def draw(characters: int, duration_ms: int) -> None:
        nonlocal drawn
        now = time.monotonic()
        if now - drawn < 0.1 and characters < total:
            return
        drawn = now
        filmed = f"{duration_ms // 60000:d}:{duration_ms // 1000 % 60:02d}"
        if total:
            part = min(1.0, characters / total)
            done = round(30 * part)
            sys.stderr.write(f"\r[{'#' * done}{'.' * (30 - done)}] {100 * part:3.0f}%  {filmed}")
        else:
            sys.stderr.write(f"\r{characters} characters  {filmed}")
        sys.stderr.flush()

    return draw
