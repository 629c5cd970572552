"""What would go wrong later, found at start: connectors that cannot be made, a database role that sees everything."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

from hospitals.models.webhooks import Environment
from hospitals.services import connecting


@register()
def connectors_can_be_made(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    hint = "See docs/connectors.md; the file is COMPANION_CONNECTORS_FILE."
    return [
        Error(f"Connector {name!r}: {code} ({why}).", hint=hint, id="hospitals.E001")
        for name, code, why in connecting.faults()
    ]


@register()
def webhook_allowance_can_be_read(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        connecting.policy(Environment.SANDBOX)
    except ValueError as error:
        hint = "COMPANION_WEBHOOK_SANDBOX_NETWORKS is a list like 10.20.0.0/24,127.0.0.0/8; see docs/operations.md."
        return [Error(f"The webhooks' allowance is wrong: {error}.", hint=hint, id="hospitals.E003")]
    return []


@register(Tags.database)
def role_obeys_row_security(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """A superuser, or a role with BYPASSRLS, passes row-level security: production does not start with one."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "postgresql":
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
            role, passes = cursor.fetchone()
        if passes:
            kind = Error if settings.MODE == "production" else Warning
            hint = "Use a role that is NOSUPERUSER NOBYPASSRLS and owns no table; see deploy/postgres-roles.sh."
            found.append(
                kind(f"The database role {role!r} bypasses row-level security.", hint=hint, id="hospitals.E002")
            )
    return found
