"""What would go wrong later, found at start: connectors that cannot be made, a database role that sees everything, no key.

hospitals.E001 a connector that cannot be made    hospitals.E002 a role that passes row-level security
hospitals.E003 a database that does not answer    hospitals.E004 a key service that does not work
hospitals.E005 the webhooks' allowance cannot be read    hospitals.E006 how long things are kept cannot be read
hospitals.E007 the key service and the one before call their master keys alike    hospitals.W006 it does not wrap by SM4
hospitals.E008 the master key is another database's

Checks tagged ``serving`` ask the database and the key service. They are made by what serves (web, workers, the HL7 v2 door)
and by ``manage.py check --deploy --tag serving --database default``, never by ``migrate``, which the tables' owner runs.
"""

import os
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections

from hospitals import ciphers
from hospitals.exceptions import HospitalsError, WrongMasterKey
from hospitals.keys import key_service
from hospitals.keys.base import MovingKeyService, by_sm4
from hospitals.models.webhooks import Environment
from hospitals.services import connecting, master_key

SERVING = "serving"


@register()
def connectors_can_be_made(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    hint = "See docs/connectors.md; the file is COMPANION_CONNECTORS_FILE."
    return [
        Error(f"Connector {name!r}: {code} ({why}).", hint=hint, id="hospitals.E001")
        for name, code, why in connecting.faults()
    ]


def reason_of(connection: Any) -> str:
    """The server's own reason, which the pool keeps to itself; the driver names host, role and database, never the password."""
    try:
        connection.Database.connect(**connection.get_connection_params()).close()
    except connection.Database.Error as error:
        return f": {' '.join(str(error).split())[:300]}"
    return ""


@register()
def webhook_allowance_can_be_read(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        connecting.policy(Environment.SANDBOX)
    except ValueError as error:
        hint = "COMPANION_WEBHOOK_SANDBOX_NETWORKS is a list like 10.20.0.0/24,127.0.0.0/8; see docs/operations.md."
        return [Error(f"The webhooks' allowance is wrong: {error}.", hint=hint, id="hospitals.E005")]
    return []


@register()
def retention_can_be_read(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    given, known = settings.HOSPITALS_KEPT_DAYS, ("events", "commands", "deliveries", "lines")
    wrong = sorted(name for name, days in given.items() if name not in known or type(days) is not int or days < 1)
    hint = "COMPANION_KEPT_DAYS is a JSON object of whole days, at least 1; see docs/operations.md."
    return [Error(f"How long {name!r} is kept cannot be read.", hint=hint, id="hospitals.E006") for name in wrong]


@register(SERVING, deploy=True)
def role_obeys_row_security(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """A superuser, or a role with BYPASSRLS, passes row-level security: production does not serve with one."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "postgresql":
            continue
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
                role, passes = cursor.fetchone()
        except DatabaseError:
            hint = "See DATABASE_URL; without an answer nobody knows whether the role may pass row-level security."
            found.append(Error(f"The database does not answer{reason_of(connection)}.", hint=hint, id="hospitals.E003"))
            continue
        if passes:
            kind = Error if settings.MODE == "production" else Warning
            hint = "Use a role that is NOSUPERUSER NOBYPASSRLS and owns no table; see deploy/postgres-roles.sh."
            found.append(
                kind(f"The database role {role!r} bypasses row-level security.", hint=hint, id="hospitals.E002")
            )
    return found


@register(SERVING, deploy=True)
def keys_can_be_used(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """The key service wraps a probe and gives it back; and it opens what was wrapped before, in the database that it is for."""
    probe, context = os.urandom(32), b"check"
    hint = "See COMPANION_KEY_SERVICE in docs/operations.md; manage.py new_master_key makes a key for the file."
    try:
        service = key_service()
        master_id, wrapped = service.wrap(probe, context=context)
        if service.unwrap(master_id, wrapped, context=context) == probe:
            if isinstance(service, MovingKeyService) and service.alike:
                hint = "Give the new one another label or key, or take COMPANION_KEY_SERVICE_BEFORE out; see docs/operations.md."
                said = "The key service and the one before call their master keys alike."
                return [Error(said, hint=hint, id="hospitals.E007")]
            if DEFAULT_DB_ALIAS in (databases or ()):
                with suppress(
                    DatabaseError, InterfaceError
                ):  # it does not answer, which is E003; or it has no tables yet
                    master_key.check()
            if settings.HOSPITALS_CIPHER == ciphers.SM4 and not by_sm4(master_id):
                hint = "Data keys are SM4's and their wrapping is what the token or server does; see docs/security.md."
                return [Warning("The key service does not wrap by SM4.", hint=hint, id="hospitals.W006")]
            return []
        why = "it gave back something else"
    except WrongMasterKey:
        hint = "Put back the master key that this database was written with; see docs/operations.md."
        return [Error("The master key opens nothing in this database.", hint=hint, id="hospitals.E008")]
    except HospitalsError as error:
        why = f"{error.code}: {error.detail}"
    except Exception as error:  # noqa: BLE001  (whatever a key service's own library raises)
        why = type(error).__name__
    return [Error(f"The key service does not work ({why}).", hint=hint, id="hospitals.E004")]
