"""The rights of the service's role in PostgreSQL, read from what production runs (deploy/postgres-roles.sh), under other names."""

import re
from pathlib import Path

_SHELL = Path(__file__).resolve().parents[1] / "deploy" / "postgres-roles.sh"
_CREATED = re.compile(r"CREATE ROLE (\w+) LOGIN PASSWORD '.*?' (.+)")
_TO_COME = re.compile(r"ALTER DEFAULT PRIVILEGES IN SCHEMA (\w+) GRANT (.+) ON (TABLES|SEQUENCES) TO (\w+)")


def made(role: str, *, database: str, password: str) -> list[str]:
    """What makes this role in a database without tables, as whoever will own them."""
    (statements,) = re.findall(r"<<'SQL'\n(.*)SQL\n", _SHELL.read_text(encoding="utf-8"), re.S)
    statements = re.sub(r"\bDATABASE companion\b", f"DATABASE {database}", statements)
    statements = re.sub(r"\b(ROLE|TO) companion\b", rf"\1 {role}", statements).replace(":'password'", f"'{password}'")
    return [statement.strip() for statement in statements.split(";") if statement.strip()]


def made_late(role: str) -> list[str]:
    """The same rights where the tables are there already, for a role that nobody signs in as; once more does no harm."""
    statements = []
    for statement in made(role, database="", password=""):
        if created := _CREATED.fullmatch(statement):
            statement = (
                f"DO $$ BEGIN CREATE ROLE {created[1]} {created[2]};"
                " EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$"
            )
        elif to_come := _TO_COME.fullmatch(statement):
            schema, rights, kind, to = to_come.groups()
            statement = f"GRANT {rights} ON ALL {kind} IN SCHEMA {schema} TO {to}"
        elif statement.startswith("GRANT CONNECT ON DATABASE"):
            continue
        statements.append(statement)
    return statements
