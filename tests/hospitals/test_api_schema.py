"""The APIs are what their documents say: clean OpenAPI 3.1, and every answer, to what fits and what breaks it, as described."""

import json
import re
from collections.abc import Iterator, Sequence
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
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from companion import signin
from companion.identity.base import Identity
from hospitals import tenancy
from hospitals.connectors import push
from hospitals.models import Delivery
from hospitals.services import limits, webhooks
from tests.hospitals.joining import fill, joined, rows

pytestmark = pytest.mark.django_db
ADDRESS = "/api/hospitals/v1/openapi.json"
RESIDENTS = "/api/schema/?format=json"
EXAMPLES = 5
RULES = {"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}}  # 412 is a refusal as well
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.ignored_auth,
    checks.negative_data_rejection,
]


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
def loaded(address: str) -> Any:
    with connection_stays():
        return schemathesis.openapi.from_wsgi(
            address, get_wsgi_application(), config=schemathesis.Config.from_dict(RULES)
        )


@cache
def operations(urlconf: str | None = "hospitals.api.published") -> list[tuple[str, str]]:
    """(method, path), without a database: the document is made from the code alone."""
    made = SchemaGenerator(urlconf=urlconf).get_schema(request=None, public=True)
    methods = ("get", "put", "post", "patch", "delete")
    return [(method.upper(), path) for path, item in made["paths"].items() for method in item if method in methods]


def residents_operations() -> list[tuple[str, str]]:
    return [(method, path) for method, path in operations(None) if not path.startswith("/api/hospitals/")]


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


def ids(value: str) -> str:
    return value.removeprefix("/api").removeprefix("/hospitals/v1")


@pytest.fixture()
def without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    counters.cache.clear()
    names = (
        "CREDENTIAL",
        "APPLICATIONS",
        "TOKENS",
        "TOKENS_ADDRESS",
        "OUTWARD",
        "REFUSED_EVENTS",
        "REFUSED_EVENTS_ADDRESS",
    )
    for name in names:
        monkeypatch.setattr(limits, name, limits.Limit(name.lower().replace("_", "-"), 10**6, 60))


def answers_as_described(
    operation: Any, headers: dict[str, str], finish: Any = None, *, rules: Sequence[Any] = CHECKS
) -> set[int]:
    """Each check holds for some cases that fit the document and some that do not; ``finish`` may sign a case. The answers' codes."""
    seen = set()
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
            if finish:
                finish(case)
            # a credential that is wrong on purpose is sent as it is; a made-up one gives way to the real one
            held = (
                {}
                if case.meta.is_negative_at(ParameterLocation.HEADER) and "Authorization" in case.headers
                else headers
            )
            if held:
                case.headers.pop("Authorization", None)
            answer = case.call(headers=held)
            seen.add(answer.status_code)
            case.validate_response(answer, checks=list(rules), headers=held)

        # an operation without parameters has nothing that could be wrong
        nothing = suppress(Unsatisfiable) if mode is schemathesis.GenerationMode.NEGATIVE else nullcontext()
        with connection_stays(), nothing:
            call()
    return seen


@pytest.mark.parametrize(("method", "path"), operations(), ids=ids)
def test_a_hospital_is_answered_as_the_document_says(
    method: str, path: str, without_limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "system_resolve", lambda _host, _port: ["1.1.1.1"])
    river = joined("river")
    fill(river)
    there = {row["kind"]: row["identifier"] for row in rows()}
    assert river.put("/webhooks/live/", {"url": "https://hooks.river.example/", "enabled": False}).status_code == 201
    with tenancy.scope(river.hospital_id):
        Delivery.objects.create(environment="live", kind="ping", outcome="failed", number=1, duration_ms=1)
    held = {"Authorization": f"Bearer {river.claim if '{hospital_id}' in path else river.token}"}

    def finish(case: schemathesis.Case) -> None:
        case.headers.pop("If-Match", None)  # or nearly every write would be refused for it
        if "hospital_id" in case.path_parameters:
            case.path_parameters["hospital_id"] = str(river.hospital_id)
        # a patch of a row that is not there would get no further than 404
        if method == "PATCH" and "/directory/" in path and not case.meta.is_negative_at(ParameterLocation.PATH):
            case.path_parameters["identifier"] = there[path.split("/")[-3]]
        if "/events/" in path and case.meta.generation.mode.is_positive:
            case.body = event = json.dumps(case.body).encode()
            case.headers.update(push.sign(river.signing_secret, "m-1", event) | {"hospital-code": river.code})

    # each event of a batch is answered by itself: one that is ill-formed does not refuse the message
    rules = [check for check in CHECKS if check is not checks.negative_data_rejection or "/batch/" not in path]
    seen = answers_as_described(loaded(ADDRESS)[path][method], held, finish, rules=rules)
    assert 404 in seen or not path.endswith("/events/")  # rightly signed, read, and of an unknown visit


@pytest.mark.parametrize(("method", "path"), residents_operations(), ids=ids)
def test_a_resident_is_answered_as_the_document_says(method: str, path: str, without_limits: None) -> None:
    token, _signed_in = signin.open_session(Identity("development", "demo", "someone"))
    answers_as_described(loaded(RESIDENTS)[path][method], {"Authorization": f"Bearer {token}"})
