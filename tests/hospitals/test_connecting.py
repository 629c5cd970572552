"""A hospital's connector is chosen by name; what is set up wrongly is named by ``manage.py check``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hospitals.checks import connectors_can_be_made
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.hl7v2 import Hl7v2Connector
from hospitals.connectors.sandbox.connector import SandboxConnector
from hospitals.exceptions import ConnectorUnavailable
from hospitals.models import Hospital
from hospitals.services import connecting

GOOD = """
river-fhir:
  BACKEND: fhir
  OPTIONS: {base_url: https://fhir.river.example/r4}
hill-hl7:
  BACKEND: hl7v2
  OPTIONS: {host: his.hill.example, port: 2575, peers: [10.20.0.5/32]}
"""
WRONG = """
inside: {BACKEND: fhir, OPTIONS: {base_url: "https://169.254.169.254/"}}
typing: {BACKEND: hl7v2, OPTIONS: {hots: his.hill.example}}
a-name-that-no-hospital-can-have: {BACKEND: hospitals.connectors.sandbox.SandboxConnector}
nowhere: {BACKEND: hospitals.connectors.fax.FaxConnector}
keyless: {BACKEND: fhir, OPTIONS: {base_url: https://a.example/, token_url: https://a.example/t, key_file: /nowhere.pem}}
"""


@pytest.fixture
def file(settings: Any, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "connectors.yaml"
    settings.HOSPITALS_CONNECTORS_FILE = str(path)
    connecting.forget()
    yield path
    connecting.forget()


def test_the_file_names_connectors_beside_the_sandbox(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    kinds = {"river-fhir": FhirConnector, "hill-hl7": Hl7v2Connector, "sandbox": SandboxConnector}
    for name, kind in kinds.items():
        assert type(connecting.connector(Hospital(connector=name))) is kind
    assert connecting.names(FhirConnector) == ("river-fhir",) and connectors_can_be_made(None) == []


def test_one_process_makes_each_connector_once(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    hospital = Hospital(connector="river-fhir")
    assert connecting.connector(hospital) is connecting.connector(hospital)


def test_each_wrong_entry_is_named_with_its_reason(file: Path) -> None:
    file.write_text(WRONG, encoding="utf-8")
    said = [str(message.msg) for message in connectors_can_be_made(None)]
    reasons = {"inside": "private_address", "typing": "hots", "nowhere": "fax", "keyless": "nowhere.pem"}
    for name, reason in (reasons | {"a-name-that": "name_too_long"}).items():
        assert any(name in line and reason in line for line in said), name
    assert connecting.names(FhirConnector) == ("inside", "keyless")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("river:\n  BACKEND: fhir\n  OPTIONS: {token: s3cret\nhill: 1\n", "line 4"),
        ("river: {OPTIONS: {token: s3cret}}\n", "BACKEND"),
        ("- s3cret\n", "BACKEND"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_quotes_nothing(file: Path, text: str, why: str) -> None:
    file.write_text(text, encoding="utf-8")
    (message,) = connectors_can_be_made(None)
    assert str(file) in str(message.msg) and why in str(message.msg) and "s3cret" not in str(message.msg)
    file.unlink()
    connecting.forget()
    (message,) = connectors_can_be_made(None)
    assert "No such file" in str(message.msg)


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "a: [", "river: fhir\n", "river: {OPTIONS: {}}\n", "river: {BACKEND: fhir, OPTIONS: 3}\n"]
)
def test_a_file_that_is_none_is_named_and_waits(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    (message,) = connectors_can_be_made(None)
    assert message.id == "hospitals.E001" and "connectors_unreadable" in str(message.msg)
    with pytest.raises(ConnectorUnavailable) as error:
        connecting.connector(Hospital(connector="sandbox"))
    assert error.value.retryable
