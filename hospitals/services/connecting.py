"""Which connector speaks with which hospital: names in Hospital.connector, classes by dotted path, one instance a process."""

from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from hospitals.connectors.base import Connector
from hospitals.exceptions import ConnectorUnavailable, HospitalsError
from hospitals.models import Hospital

KINDS = {
    "fhir": "hospitals.connectors.fhir.FhirConnector",
    "hl7v2": "hospitals.connectors.hl7v2.Hl7v2Connector",
}
# settings.HOSPITALS_CONNECTORS adds to these or replaces them, in the shape of Django's STORAGES.
CONNECTORS = {
    "sandbox": {"BACKEND": "hospitals.connectors.sandbox.SandboxConnector", "OPTIONS": {}},
}


def _known() -> dict[str, dict[str, Any]]:
    return CONNECTORS | getattr(settings, "HOSPITALS_CONNECTORS", {})


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


def names(kind: type) -> tuple[str, ...]:
    """The names under which connectors of this kind are set up here."""
    return tuple(name for name in _known() if issubclass(import_string(_entry(name)[0]), kind))


def connector(hospital: Hospital) -> Connector:
    """Raises ``ConnectorUnavailable`` when the hospital's way of connecting is not set up here."""
    return _made(hospital.connector)
