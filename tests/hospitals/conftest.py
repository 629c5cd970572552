"""What the hospitals' tests share."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache

from companion.models import Resident
from hospitals import vault
from hospitals.addresses import Policy
from hospitals.connectors.fhir import FhirConnector
from hospitals.services import connecting, rotation, webhooks
from tests.hospitals import fhir_visit
from tests.hospitals.fhir_server import FhirServer
from tests.hospitals.joining import Joined, joined
from tests.hospitals.medplum_peer import MedplumPeer
from tests.hospitals.pushing import LOCAL, quick
from tests.hospitals.webhook_peer import WebhookPeer

HERE = Path(__file__).parent
ASKS_THE_DATABASE = {"db", "transactional_db"}
# They write no hospital's row, or take a minute and more (the schema, the machines of states) for what others show as well.
ON_SQLITE_ALONE = {
    *("audit", "audit_heads", "key_services", "problems", "vault"),
    *("api_schema", "booking_machine", "inbox_order"),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks the database here is proven on PostgreSQL too: row-level security is there alone."""
    for item in items:
        if item.path.parent != HERE or item.path.stem.removeprefix("test_") in ON_SQLITE_ALONE:
            continue
        asked = ASKS_THE_DATABASE & set(getattr(item, "fixturenames", ()))
        if asked or item.get_closest_marker("django_db"):
            item.add_marker("services")


@pytest.fixture(autouse=True)
def no_remembered_keys() -> Iterator[None]:
    """A key opened in one test must not serve rows of another test's database."""
    vault.forget()
    yield
    vault.forget()


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for, and no name server is asked."""
    cache.clear()
    monkeypatch.setattr(connecting, "_connections", quick)
    monkeypatch.setattr(webhooks, "system_resolve", lambda _host, _port: ["1.1.1.1"])


@pytest.fixture(scope="session")
def medplum() -> Iterator[MedplumPeer]:
    """One process for all that ask for it, each of whom begins anew."""
    made = MedplumPeer()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[FhirServer]:
    made = FhirServer()
    made.slot("s1")
    yield made
    made.close()


@pytest.fixture
def hospital(server: FhirServer) -> FhirConnector:
    """The one of that server; files about hospitals of another kind have their own."""
    return FhirConnector(base_url=server.base, outgoing=fhir_visit.quick, **LOCAL)


@pytest.fixture
def peer() -> Iterator[WebhookPeer]:
    made = WebhookPeer()
    yield made
    made.close()


@pytest.fixture
def allowed(settings: Any) -> None:
    settings.HOSPITALS_WEBHOOK_SANDBOX = LOCAL


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small hospital on this machine counts as one on the public internet."""
    monkeypatch.setattr(connecting, "policy", lambda environment: Policy.of(**LOCAL))


@pytest.fixture
def only_real_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a change of keys other tests' own models, whose tables are not there, stay out."""
    real = [model for model in apps.get_models() if not model._meta.db_table.startswith("test_")]
    monkeypatch.setattr(rotation, "apps", SimpleNamespace(get_models=lambda: real))


@pytest.fixture
def three() -> list[Resident]:
    """In the order in which they have their turn when keys change."""
    made = [Resident.objects.create(name=name) for name in ("林小棠", "周岚", "沈一帆")]
    return sorted(made, key=lambda row: str(row.id))


@pytest.fixture()
def river() -> Joined:
    """A hospital that has joined, and its credential."""
    return joined("river")
