"""SMART backend services: a signed assertion good for one use, a token kept while it lasts and fetched anew when refused."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hospitals.addresses import Policy
from hospitals.connectors.base import Command, CommandKind, PatientCard
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.fhir.sign_in import BackendServices, sign_jwt
from hospitals.exceptions import ConnectorUnavailable
from hospitals.outgoing import Outgoing
from tests.hospitals.fhir_server import FhirServer

LOCAL = {"networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}
KEYS = {
    "RS384": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
}
VISIT = "22222222-2222-4222-8222-222222222222"
BOOK = Command(
    CommandKind.BOOK,
    "k1",
    UUID(int=1),
    VISIT,
    "s1",
    PatientCard("林晓雨", "440000199001010000", "13800000000", date(1990, 1, 1), "female"),
)


def pem(key: Any) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    raw: bytes = key.private_bytes(encoding, form, serialization.NoEncryption())
    return raw


@pytest.fixture(params=sorted(KEYS))
def server(request: pytest.FixtureRequest) -> Iterator[FhirServer]:
    made = FhirServer(client_key=KEYS[request.param].public_key())
    made.slot("s1")
    made.algorithm = request.param
    yield made
    made.close()


def connector(server: FhirServer, folder: Path, key: Any) -> FhirConnector:
    path = folder / "key.pem"
    path.write_bytes(pem(key))
    return FhirConnector(
        base_url=server.base,
        token_url=server.token_url,
        client_id="companion",
        key_file=str(path),
        key_id="k1",
        **LOCAL,
    )


def test_one_token_serves_many_calls_and_is_renewed_when_refused(server: FhirServer, tmp_path: Path) -> None:
    hospital = connector(server, tmp_path, KEYS[server.algorithm])
    assert hospital.execute(BOOK).accepted
    assert server.log.count("POST /token") == 1
    server.tokens.clear()  # expired on their side
    assert hospital.execute(BOOK).accepted
    assert server.log.count("POST /token") == 2 and len(server.assertions) == 2


def test_a_key_that_the_server_does_not_know_signs_nobody_in(server: FhirServer, tmp_path: Path) -> None:
    server.key_id = "another"
    with pytest.raises(ConnectorUnavailable) as error:
        connector(server, tmp_path, KEYS[server.algorithm]).execute(BOOK)
    assert error.value.code == "sign_in_failed" and error.value.retryable
    assert set(server.log) == {"POST /token"}


def test_a_token_is_left_before_it_ends(server: FhirServer) -> None:
    now = [1_000_000.0]
    calls = Outgoing(Policy.of(**LOCAL))
    sign_in = BackendServices(
        calls,
        token_url=server.token_url,
        client_id="companion",
        private_key=pem(KEYS[server.algorithm]),
        key_id="k1",
        clock=lambda: now[0],
    )
    first = sign_in.header()
    now[0] += 269
    assert sign_in.header() == first
    now[0] += 2
    assert sign_in.header() != first
    calls.close()


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256R1())])
def test_weak_or_other_keys_are_refused_at_once(key: Any) -> None:
    with pytest.raises(ValueError, match="2048"):
        sign_jwt(key, {}, "k")
