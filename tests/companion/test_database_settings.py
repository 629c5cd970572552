"""What the service says to PostgreSQL when it signs in: how long it waits, and what the address itself asks for."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from companion.background import in_thread
from hospitals import tenancy
from tests.hospitals.own_rows import a_hospital

PRINTED = """
import json
from companion import settings
options = settings.DATABASES["default"]["OPTIONS"]
print(json.dumps({name: str(options.get(name)) for name in ("sslmode", "options", "connect_timeout", "tcp_user_timeout")}))
"""
WHERE = ("dbname", "user", "host", "port", "password")
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's file has no sign-in")


def options_for(address: str, folder: Path) -> dict[str, str]:
    environment = os.environ | {"DATABASE_URL": address, "COMPANION_DATA_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", PRINTED], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_what_the_address_asks_for_is_kept_and_goes_before_our_own(tmp_path: Path) -> None:
    plain = options_for("postgres://companion@db/companion", tmp_path)
    assert plain["sslmode"] == "None" and "lock_timeout" in plain["options"] and plain["connect_timeout"] == "5"
    asked = options_for("postgres://companion@db/companion?sslmode=verify-full&connect_timeout=9", tmp_path)
    assert asked == plain | {"sslmode": "verify-full", "connect_timeout": "9"}


@on_postgresql
@pytest.mark.services
@pytest.mark.django_db(transaction=True)
async def test_every_thread_s_session_waits_so_long_and_no_longer() -> None:
    def shown() -> list[str]:
        with connection.cursor() as cursor:
            return [
                cursor.execute(f"SHOW {name}").fetchone()[0]
                for name in ("lock_timeout", "idle_in_transaction_session_timeout")
            ]

    assert await in_thread(shown) == ["15s", "1min"]


@on_postgresql
@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_a_row_that_somebody_holds_and_never_lets_go_is_an_error_and_no_wait_without_end() -> None:
    hospital = a_hospital()
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        where = {n: v for n, v in connection.get_connection_params().items() if n in WHERE}
        with psycopg.connect(**where) as other:
            other.execute("SET ROLE NONE")
            other.execute("SELECT 1 FROM hospitals_hospital WHERE id = %s FOR UPDATE", [hospital.id])
            held.set()
            over.wait(30)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    try:
        assert held.wait(10)
        with tenancy.scope(hospital.id), pytest.raises(OperationalError), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '50ms'")  # shorter here; that there is one is shown above
            type(hospital).objects.select_for_update().get(id=hospital.id)
    finally:
        over.set()
        holder.join(10)
        connection.close()
