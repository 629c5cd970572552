"""Which connector speaks with which hospital: names in Hospital.connector, classes by dotted path, one instance a process."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from hospitals.connectors.base import Connector
from hospitals.exceptions import ConnectorUnavailable, HospitalsError
from hospitals.models import Hospital

KINDS = {
    "fhir": "hospitals.connectors.fhir.FhirConnector",
    "hl7v2": "hospitals.connectors.hl7v2.Hl7v2Connector",
    "webhook": "hospitals.connectors.webhook.WebhookConnector",
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
        return [("", error.code, type(error.__cause__).__name__)]
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


def forget() -> None:
    """Settings have changed: make connectors anew."""
    _made.cache_clear()
    _of_file.cache_clear()


def connector(hospital: Hospital) -> Connector:
    """Raises ``ConnectorUnavailable`` when the hospital's way of connecting is not set up here."""
    return _made(hospital.connector)
