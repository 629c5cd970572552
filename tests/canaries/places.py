"""Where canaries are looked for: log lines, standard output, task messages, Redis, the database and its files."""

import copy
import io
import logging.config
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from celery import current_app
from celery.signals import before_task_publish
from django.conf import settings
from django.core import signing
from django.db import connection

from companion.observability import LOGGING
from tests.canaries.clear import columns
from tests.canaries.words import found_in
from tests.embedded import ON_SERVICES
from tests.obedient import as_owner
from tests.scenario.test_canaries import everything_in

OURS = ("companion", "avatar", "hospitals")
Message = tuple[str, Any, Any]


@contextmanager
def logs() -> Iterator[io.StringIO]:
    """What the service's own configuration writes, with every level let through."""
    out = io.StringIO()
    shape: dict[str, Any] = copy.deepcopy(dict(LOGGING))
    for handler in shape["handlers"].values():
        handler["stream"] = out
    shape["root"]["level"] = "DEBUG"
    for name in OURS:
        shape["loggers"][name]["level"] = "DEBUG"
    for name in ("django", "celery", "uvicorn", "asyncio", "httpx", "httpcore"):
        shape["loggers"].setdefault(name, {})["level"] = "DEBUG"
    logging.config.dictConfig(shape)
    try:
        yield out
    finally:
        logging.config.dictConfig(LOGGING)
        for name in ("django", "celery", "uvicorn", "asyncio", "httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.NOTSET)


@contextmanager
def sent() -> Iterator[list[Message]]:
    """Each task message as it goes to the broker: name, body and headers."""
    messages: list[Message] = []

    def publish(sender: str, body: Any, headers: Any, **_more: Any) -> None:
        messages.append((sender, body, headers))

    before_task_publish.connect(publish)
    try:
        yield messages
    finally:
        before_task_publish.disconnect(publish)


def work(messages: list[Message], done: int = 0) -> int:
    """Do what was sent after the first ``done``, as a worker would, until nothing more comes; voices are not made."""
    while done < len(messages):
        name, body, _headers = messages[done]
        done += 1
        if not name.startswith("avatar."):
            current_app.tasks[name].apply(args=body[0], kwargs=body[1])
    return done


def in_redis() -> bytes:
    with redis.Redis.from_url(settings.REDIS_URL) as store:
        return everything_in(store)


def in_clear() -> dict[str, list[str]]:
    """ "table.column" → the canaries in it, over every table that there is. Staff's sessions are opened, for they are packed."""
    found: dict[str, set[str]] = {}
    with as_owner(), connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    if value is None or isinstance(value, int | float):
                        continue
                    plain = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    if name == "session_data":
                        plain = _session(str(value))
                    if what := found_in(plain):
                        found.setdefault(f"{table}.{name}", set()).update(what)
    return {place: sorted(what) for place, what in found.items()}


def _session(packed: str) -> bytes:
    data = packed.split(":")[0]
    raw = signing.b64_decode(data.lstrip(".").encode())
    return zlib.decompress(raw) if data.startswith(".") else raw


def database_files() -> bytes:
    """SQLite's own files, with what a deleted row leaves behind in them."""
    name = Path(connection.settings_dict["NAME"])
    return b"".join(path.read_bytes() for path in name.parent.glob(f"{name.name}*"))


def tidy() -> None:
    """Nothing of other tests is left in the files."""
    if not ON_SERVICES:  # that Redis may be others' too, and no other test knows these canaries
        with redis.Redis.from_url(settings.REDIS_URL) as store:
            store.flushdb()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def other_files() -> bytes:
    """All else in the data folder: pictures, keys, the embedded Redis' log."""
    database = Path(str(connection.settings_dict["NAME"])).name
    paths = (path for path in Path(settings.DATA_DIR).rglob("*") if path.is_file())
    return b"".join(path.read_bytes() for path in paths if not path.name.startswith(database))


@dataclass
class Watch:
    """What has been written and sent since the test began. ``answers``: bodies of refusals, by what was asked."""

    logs: io.StringIO
    sent: list[Message]
    printed: Any
    answers: dict[str, bytes] = field(default_factory=dict)
    done: int = 0

    def work(self) -> None:
        self.done = work(self.sent, self.done)

    def found(self, *allowed: dict[str, str]) -> dict[str, list[str]]:
        """Place → canaries, without the places where there are none and the columns of the ``allowed`` kinds."""
        out, err = self.printed.readouterr()
        places: dict[str, bytes | str] = {
            "logs": self.logs.getvalue(),
            "standard output": out + err,
            "tasks": repr(self.sent),
            "Redis": in_redis(),
            "files": other_files(),
            **{f"answer: {name}": body for name, body in self.answers.items()},
        }
        told = {name: what for name, data in places.items() if (what := found_in(data))}
        clear = in_clear()
        if connection.vendor == "sqlite" and not clear and (what := found_in(database_files())):
            told["database files"] = what
        known = {column for kind in allowed for column in columns(kind)}
        return told | {place: what for place, what in clear.items() if place not in known}
