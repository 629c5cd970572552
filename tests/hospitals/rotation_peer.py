"""A process that reads everybody and writes a row of its own while others change the keys: ``rotation_peer PATIENT STOP_FILE``.

It prints a JSON line for each round: the version it seals with from now on and what it wrote. It remembers opened keys as production
does, but shorter, so that nobody waits half a minute.
"""

import json
import sys
from itertools import count
from pathlib import Path

import django

django.setup()

from companion.models import Patient  # noqa: E402  (after Django's set-up)
from hospitals import vault  # noqa: E402


def main(patient: str, stop: Path) -> None:
    vault.REMEMBERED_S = 0.3
    for number in count():
        if stop.exists():
            return
        for row in Patient.objects.all():
            assert row.name.startswith("家人") and row.phone == "13900000001"
        mine = Patient.objects.get(id=patient)
        mine.name = f"家人 {number}"
        mine.save(update_fields=["name"])
        sealing = vault.current_key("resident", str(mine.keeper_id)).version  # with which all that follows is sealed
        print(json.dumps({"version": sealing, "written": mine.name}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
