"""Which connector speaks with which hospital: names in Hospital.connector, classes by dotted path, one instance a process.

"push" is the hospital's own to set up (hospitals.services.webhooks): its connector is made from the endpoint's row at each
call, so that a changed address or secret holds at once in every process. Only its connections are kept.
"""

import ssl
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import yaml
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string

from hospitals import tenancy
from hospitals.addresses import Policy
from hospitals.connectors import webhook
from hospitals.connectors.base import Connector
from hospitals.connectors.webhook import WebhookConnector
from hospitals.exceptions import ConnectorUnavailable, HospitalsError, WrongState
from hospitals.models import Hospital, WebhookEndpoint
from hospitals.models.webhooks import Environment
from hospitals.outgoing import Outgoing

KINDS = {
    "fhir": "hospitals.connectors.fhir.FhirConnector",
    "hl7v2": "hospitals.connectors.hl7v2.Hl7v2Connector",
    "webhook": "hospitals.connectors.webhook.FiledWebhookConnector",
}
PUSH = "push"
# settings.HOSPITALS_CONNECTORS_FILE and settings.HOSPITALS_CONNECTORS add to these or replace them, in the shape of Django's STORAGES.
CONNECTORS = {
    "sandbox": {"BACKEND": "hospitals.connectors.sandbox.connector.SandboxConnector", "OPTIONS": {}},
}


@cache
def _of_file(path: str) -> dict[str, dict[str, Any]]:
    """The operator's file (docs/connectors.md): name → BACKEND and OPTIONS. Raises ``ConnectorUnavailable``."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if isinstance(found, dict) and all(isinstance(entry.get("OPTIONS", {}), dict) for entry in found.values()):
            return {str(name): {"BACKEND": str(entry["BACKEND"]), **entry} for name, entry in found.items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError) as error:
        raise ConnectorUnavailable(code="connectors_unreadable") from error
    raise ConnectorUnavailable(code="connectors_unreadable")


def _known() -> dict[str, dict[str, Any]]:
    path = getattr(settings, "HOSPITALS_CONNECTORS_FILE", "")
    return CONNECTORS | (_of_file(path) if path else {}) | getattr(settings, "HOSPITALS_CONNECTORS", {})


def _entry(name: str) -> tuple[str, dict[str, Any]]:
    """Backend and options. A short backend ("fhir", "hl7v2") stands for ours of that name."""
    entry = _known()[name]
    backend = str(entry["BACKEND"])
    return KINDS.get(backend, backend), entry.get("OPTIONS", {})


@cache
def _made(name: str) -> Connector:
    if name not in _known():
        raise ConnectorUnavailable(code="connector_unknown")
    backend, options = _entry(name)
    try:
        connector: Connector = import_string(backend)(**options)
    except (HospitalsError, ImportError, OSError, TypeError, ValueError) as error:
        # wrong settings: commands wait until they are right, and the circuit tells why
        raise ConnectorUnavailable(code="connector_misconfigured") from error
    return connector


def let_go_of_database() -> None:
    """Whoever waits for a hospital's answer keeps no connection from others meanwhile. Within a transaction it is kept."""
    if not connection.in_atomic_block:
        connection.close()


def known() -> tuple[str, ...]:
    """Every name that a hospital's connector may have here. Raises ``ConnectorUnavailable`` when the file cannot be read."""
    return tuple(sorted({PUSH, *_known()}))


def names(kind: type) -> tuple[str, ...]:
    """The names under which connectors of this kind are set up here; wrong entries are ``faults``."""
    found = []
    for name in _known():
        try:
            if issubclass(import_string(_entry(name)[0]), kind):
                found.append(name)
        except ImportError:
            continue
    return tuple(found)


def faults() -> list[tuple[str, str, str]]:
    """(name, code, why) of each connector that cannot be made with its settings."""
    found = []
    try:
        known = list(_known())
    except ConnectorUnavailable as error:
        return [(settings.HOSPITALS_CONNECTORS_FILE, error.code, _unreadable(error.__cause__))]
    longest = Hospital._meta.get_field("connector").max_length or 0
    for name in known:
        if len(name) > longest:
            found.append((name, "name_too_long", f"at most {longest} characters"))
        try:
            _made(name)
        except ConnectorUnavailable as error:
            why = error.__cause__
            found.append((name, error.code, str(getattr(why, "code", "") or why)))
    return found


def _unreadable(why: BaseException | None) -> str:
    """What to mend in the file, without a word of what it says: secrets may stand there."""
    if isinstance(why, OSError):
        return why.strerror or type(why).__name__
    if isinstance(why, yaml.MarkedYAMLError) and why.problem_mark:
        return f"no YAML at line {why.problem_mark.line + 1}"
    if isinstance(why, UnicodeDecodeError | yaml.YAMLError):
        return "no YAML in UTF-8"
    return "each connection is a name with BACKEND and OPTIONS"


def forget() -> None:
    """Settings have changed: make connectors anew."""
    _made.cache_clear()
    _of_file.cache_clear()


def connector(hospital: Hospital, environment: str = Environment.LIVE) -> Connector:
    """Raises ``ConnectorUnavailable`` when the hospital's way of connecting is not set up here."""
    if not by_endpoint(hospital):
        return _made(hospital.connector)
    try:
        return of_endpoint(endpoint(hospital.id, environment))
    except WrongState as error:
        raise ConnectorUnavailable(error.detail, code=error.code) from error


# --- the hospital's own endpoint ------------------------------------------------------------------------------

KEPT = 1024  # endpoints whose connections a process keeps


def by_endpoint(hospital: Hospital) -> bool:
    """Whether this hospital is called at an address that it keeps itself; an operator's entry of that name comes first."""
    return hospital.connector == PUSH and PUSH not in _known()


def endpoint(hospital_id: UUID, environment: str) -> WebhookEndpoint:
    """The endpoint in use. Raises ``WrongState`` (webhook_missing, webhook_disabled), which says what to do."""
    with tenancy.scope(hospital_id):
        row = WebhookEndpoint.objects.filter(environment=environment).first()
    if row is not None and row.enabled:
        return row
    what, code = ("启用", "webhook_disabled") if row else ("登记", "webhook_missing")
    address = f"/api/hospitals/v1/webhooks/{environment}/"
    raise WrongState(f"医院还没有{what}接收操作的地址:请用 PUT {address} {what}。", code=code)


def of_endpoint(row: WebhookEndpoint) -> WebhookConnector:
    """Its connector, with the secrets that hold now."""
    secrets = [row.secret]
    if row.previous_until and row.previous_until > timezone.now() and row.previous_secret:
        secrets.append(row.previous_secret)
    return WebhookConnector(url=row.url, secrets=secrets, outgoing=_connections(row.id, policy(row.environment)))


def policy(environment: str) -> Policy:
    """Where a hospital's own address may lead: the public internet over TLS; for rehearsals also what the operator allows.

    Raises ``ValueError`` for settings that are wrong.
    """
    return Policy.of(**settings.HOSPITALS_WEBHOOK_SANDBOX) if environment == Environment.SANDBOX else Policy()


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities that every endpoint is checked against; a context of its own for each would cost a megabyte."""
    return httpx.create_ssl_context(trust_env=False)


@lru_cache(maxsize=KEPT)
def _connections(endpoint_id: UUID, allowed: Policy) -> Outgoing:
    return Outgoing(allowed, read_s=webhook.READ_S, max_bytes=webhook.ANSWER_MAX_BYTES, verify=_trusted())
