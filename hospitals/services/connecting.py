"""Which connector speaks with which hospital: names in Hospital.connector, classes by dotted path, one instance a process."""

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from hospitals.connectors.base import Connector
from hospitals.exceptions import ConnectorUnavailable
from hospitals.models import Hospital

# settings.HOSPITALS_CONNECTORS adds to these or replaces them, in the shape of Django's STORAGES.
CONNECTORS = {
    "sandbox": {"BACKEND": "hospitals.connectors.sandbox.SandboxConnector", "OPTIONS": {}},
}


@cache
def _made(name: str) -> Connector:
    known = CONNECTORS | getattr(settings, "HOSPITALS_CONNECTORS", {})
    if name not in known:
        raise ConnectorUnavailable(code="connector_unknown")
    entry = known[name]
    connector: Connector = import_string(entry["BACKEND"])(**entry.get("OPTIONS", {}))
    return connector


def connector(hospital: Hospital) -> Connector:
    """Raises ``ConnectorUnavailable`` when the hospital's way of connecting is not set up here."""
    return _made(hospital.connector)
