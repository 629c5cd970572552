"""The environment's variables, read for companion.settings. One that cannot be read raises ``ImproperlyConfigured``, which names it
and says how it is written; what it holds may be a secret and is not quoted.
"""

import json
import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured


def env(name: str, default: str = "") -> str:
    """Set to nothing is not set: deploy/compose.yaml hands on what .env leaves out."""
    return os.environ.get(name) or default


def env_bool(name: str, default: bool) -> bool:
    return env(name, "1" if default else "0").lower() in {"1", "true", "yes", "on"}


def env_int(name: str, default: int) -> int:
    try:
        return int(env(name, str(default)))
    except ValueError:
        raise ImproperlyConfigured(f"{name} is not a whole number.") from None


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env(name, default).split(",") if part.strip()]


def env_json(name: str) -> dict[str, Any]:
    """A JSON object: a backend's options, beside or in place of those given here."""
    try:
        given = json.loads(env(name, "{}"))
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"{name} is not a JSON object.")
    return given


def env_folder(name: str, default: Path) -> Path:
    """The folder, made where it is not there."""
    found = Path(env(name, str(default))).resolve()
    try:
        found.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name} is no folder that can be made here ({type(error).__name__}).") from None
    return found


def env_database(name: str, default: str) -> dict[str, Any]:
    """Django's settings of the database at this address."""
    try:
        # connections under ASGI belong to the pool, never to a request's thread
        found: dict[str, Any] = dict(dj_database_url.parse(env(name, default), conn_max_age=0))
    except ValueError:  # an unknown scheme, a port that is none
        found = {}
    if found.get("ENGINE") not in ("django.db.backends.postgresql", "django.db.backends.sqlite3"):
        raise ImproperlyConfigured(
            f"{name} is no address of a database: write postgres://USER:PASSWORD@HOST:5432/NAME, the password percent-encoded, "
            "or leave it out for SQLite."
        )
    return found
