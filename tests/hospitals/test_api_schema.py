"""The API is what its document says: clean OpenAPI 3.1, no server error for anything that can be generated from it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from typing import Any

import pytest
import schemathesis
from django.core import cache as counters
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from hospitals import tenancy
from hospitals.models import Delivery
from hospitals.services import limits, webhooks
from tests.hospitals.joining import fill, joined

pytestmark = pytest.mark.django_db
ADDRESS = "/api/hospitals/v1/openapi.json"
EXAMPLES = 8


@contextmanager
def connection_stays() -> Iterator[None]:
    """The application is called below Django's test client, so what that does is done here: requests close nothing."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


def document() -> dict[str, Any]:
    answer = Client().get(ADDRESS)
    assert answer.status_code == 200
    return json.loads(answer.content)


@cache
def loaded() -> Any:
    with connection_stays():
        return schemathesis.openapi.from_wsgi(ADDRESS, get_wsgi_application())


@cache
def operations() -> list[tuple[str, str]]:
    """(method, path), without a database: the document is made from the code alone."""
    from drf_spectacular.generators import SchemaGenerator

    made = SchemaGenerator(urlconf="hospitals.api.published").get_schema(request=None, public=True)
    methods = ("get", "put", "post", "patch", "delete")
    return [(method.upper(), path) for path, item in made["paths"].items() for method in item if method in methods]


def test_the_whole_services_document_is_without_warnings(tmp_path: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))


def test_it_is_openapi_3_1_and_of_the_hospitals_alone() -> None:
    found = document()
    assert found["openapi"].startswith("3.1")
    assert all(path.startswith("/api/hospitals/v1/") for path in found["paths"])
    assert len(operations()) >= 40
    for path, item in found["paths"].items():
        for method, operation in item.items():
            assert "default" in operation["responses"] or path.endswith("/token/"), (method, path)


def test_the_developers_page_loads_nothing_from_elsewhere() -> None:
    answer = Client().get("/api/hospitals/developers/")
    text = answer.content.decode()
    assert answer.status_code == 200 and "text/html" in answer["content-type"]
    assert "unsafe-inline" not in answer["content-security-policy"].split("script-src")[1].split(";")[0]
    assert "<script>" not in text and "curl -sS http://testserver/api/hospitals/v1/token/" in text
    sources = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert sources and all(source.startswith("/static/") for source in sources)
    for source in sources:
        assert Client().get(source).status_code == 200, source


@pytest.mark.parametrize(("method", "path"), operations(), ids=lambda value: value.removeprefix("/api/hospitals/v1"))
def test_nothing_that_fits_the_document_or_breaks_it_is_a_server_error(
    method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters.cache.clear()
    for name in ("CREDENTIAL", "APPLICATIONS", "TOKENS", "OUTWARD", "REFUSED_EVENTS"):
        monkeypatch.setattr(limits, name, limits.Limit(name.lower(), 10**6, 60))
    monkeypatch.setattr(webhooks, "system_resolve", lambda _host, _port: ["1.1.1.1"])
    river = joined("river")
    fill(river)
    assert river.put("/webhooks/live/", {"url": "https://hooks.river.example/", "enabled": False}).status_code == 201
    with tenancy.scope(river.hospital_id):
        Delivery.objects.create(environment="live", kind="ping", outcome="failed", number=1, duration_ms=1)
    operation = loaded()[path][method]
    held = {"Authorization": f"Bearer {river.token}"}

    for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

        @seed(20261123)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: schemathesis.Case) -> None:
            answer = case.call(headers=held)
            case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])

        # an operation without parameters has nothing that could be wrong
        nothing = suppress(Unsatisfiable) if mode is schemathesis.GenerationMode.NEGATIVE else nullcontext()
        with connection_stays(), nothing:
            call()
