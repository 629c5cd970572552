"""A PostgreSQL database of a benchmark's own, with the two roles of production, dropped afterwards.

The tables belong to the owner, and the service signs in as the role of deploy/postgres-roles.sh, which owns nothing and
cannot pass row-level security. Where the server is comes from TEST_DATABASE_URL, as for the tests.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.service_role import made

ADMIN_URL = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")


@dataclass(frozen=True)
class Database:
    """``owner``: for migrations and seeding; ``service``: what the service signs in with."""

    owner: str
    service: str


def _url(name: str, user: str = "", password: str = "") -> str:
    parts = urlsplit(ADMIN_URL)
    place = parts.netloc.rpartition("@")[2]
    who = f"{user}:{password}@{place}" if user else parts.netloc
    return urlunsplit(parts._replace(netloc=who, path=f"/{name}"))


@contextmanager
def database(name: str) -> Iterator[Database]:
    """Created empty, with the service's role ``NAME_service``; both are gone afterwards."""
    role, password = f"{name}_service", secrets.token_hex(8)
    with psycopg.connect(ADMIN_URL, autocommit=True) as admin:
        _drop(admin, name, role)
        admin.execute(f"CREATE DATABASE {name}")
        try:
            with psycopg.connect(_url(name), autocommit=True) as owner:
                for statement in made(role, database=name, password=password):
                    owner.execute(statement)
            yield Database(owner=_url(name), service=_url(name, role, password))
        finally:
            _drop(admin, name, role)


def _drop(admin: "psycopg.Connection[tuple[object, ...]]", name: str, role: str) -> None:
    admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    admin.execute(f"DROP ROLE IF EXISTS {role}")
