"""Every command of manage.py that takes words: what it is given is in no log and, but for ids and reasons, in no column."""

import contextlib
import io
from pathlib import Path

from django.core.management import CommandError, call_command, get_commands

from companion.models import Resident
from tests.canaries.places import OURS, Watch
from tests.canaries.words import ALL, ID_NUMBER, NAME, PHONE, SYMPTOM
from tests.hospitals.joining import joined

WHY = f"{PHONE} {ID_NUMBER}"
WHO = ("--by", "officer", "--because", WHY)
DRIVEN: dict[str, list[tuple[str, ...]]] = {
    "conformance": [(ALL,), ("river", "--abort", "--clear")],
    "connector": [(ALL,)],
    "door_codes": [(ALL,), ("river", "--building", ALL)],
    "erase": [
        ("resident", ALL, "--by", "officer", "--reason", WHY),
        ("resident", "{resident}", "--by", "officer", "--reason", WHY),
        ("hospital", ALL, "--by", "officer", "--reason", WHY),
        ("hospital", "river", "--leave", "--by", "officer", "--reason", WHY),
    ],
    "onboard": [(ALL, "verify", *WHO), ("river", "suspend", *WHO), ("river", "resume", *WHO), ("river", ALL, *WHO)],
    "reset_factor": [(ALL, *WHO), (PHONE, *WHO)],
    "rotate_keys": [("--owner", ALL), ("--owner", f"resident:{PHONE}"), ("--owner", "resident:{resident}")],
    "export_corrections": [("{folder}/" + NAME, "--since", ALL), ("{folder}/out", "--since", PHONE)],
    "triage": [("{folder}/lines",)],
    "mllp": [("--cert", f"/{NAME}", "--key", PHONE), ("--plain", "--host", f"{PHONE}.invalid", "--port", "0")],
    "build_avatar": [(f"/nowhere/{NAME}", "--name", "canary"), ("{folder}/lines", "--name", "canary")],
    "say": [(ALL, "--out", f"/nowhere/{NAME}.mp4")],
}
TAKE_NO_WORDS = {
    "demo": "a port; what it starts is searched in tests/scenario/test_canaries.py",
    "seed_demo": "writes the demo's invented people",
    "new_master_key": "writes a key to standard output, which is asked for",
    "verify_audit": "reads the log",
    "audit_heads": "asks for nothing",
    "evaluate": "reads a file of questions that belong to nobody, and counts",
    "train_triage": "reads files of questions that belong to nobody, and writes weights",
}


def ours() -> set[str]:
    return {name for name, app in get_commands().items() if app in OURS}


def test_every_command_is_known() -> None:
    assert ours() == DRIVEN.keys() | TAKE_NO_WORDS.keys()


def test_what_commands_are_given(watch: Watch, tmp_path: Path) -> None:
    """Standard output belongs to whoever typed the command."""
    river = joined("river")
    her = Resident.objects.create(name=NAME, phone=PHONE)
    (tmp_path / "lines").write_text(f'{{"text": "{SYMPTOM}"}}\n{ALL}\n', encoding="utf-8")
    known = {"resident": str(her.id), "folder": str(tmp_path), "hospital": str(river.hospital_id)}
    for name, lines in DRIVEN.items():
        for words in lines:
            out = io.StringIO()
            with contextlib.suppress(CommandError, OSError, SystemExit), contextlib.redirect_stdout(out):
                call_command(name, *(word.format(**known) for word in words), stdout=out, stderr=out)
    watch.printed.readouterr()
    watch.work()
    assert watch.found() == {}
