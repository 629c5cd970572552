"""``manage.py connector`` shows an engineer step by step what works, and writes nothing in the hospital."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from hospitals.services import connecting
from tests.hospitals.fhir_server import FhirServer
from tests.hospitals.mllp_peer import HisPeer

LOCAL = {"networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}


@pytest.fixture
def server(settings: Any, tmp_path: Path) -> Iterator[FhirServer]:
    made, his = FhirServer(), HisPeer()
    file = tmp_path / "connectors.yaml"
    hl7 = {"host": "127.0.0.1", "port": his.port, "tls": False, **LOCAL}
    entries = {
        "fhir-one": {"BACKEND": "fhir", "OPTIONS": {"base_url": made.base, **LOCAL}},
        "hl7-one": {"BACKEND": "hl7v2", "OPTIONS": hl7},
        "hl7-gone": {"BACKEND": "hl7v2", "OPTIONS": {**hl7, "port": 1}},
        "wrong": {"BACKEND": "fhir", "OPTIONS": {"base_url": "http://10.0.0.1/"}},
    }
    file.write_text(yaml.safe_dump(entries), encoding="utf-8")
    settings.HOSPITALS_CONNECTORS_FILE = str(file)
    connecting.forget()
    yield made
    connecting.forget()
    made.close()
    his.close()


def said(name: str) -> list[str]:
    out = io.StringIO()
    try:
        call_command("connector", name, stdout=out)
    except CommandError as error:
        out.write(str(error))
    return out.getvalue().splitlines()


def test_every_step_of_a_good_connection_is_ticked(server: FhirServer) -> None:
    steps = "metadata Appointment Encounter Task Invoice DiagnosticReport MedicationRequest Schedule Slot".split()
    assert said("fhir-one") == [f"√ {step}" for step in steps]
    assert all(line.startswith("GET") for line in server.log) and server.rows == {}
    assert said("hl7-one") == ["√ connect"]


def test_what_fails_is_named_by_its_code_and_the_rest_is_still_tried(server: FhirServer) -> None:
    server.version, server.unsupported = "5.0.0", "encounter:Encounter.appointment.identifier"
    lines = said("fhir-one")
    assert lines[0] == "× metadata not_r4" and "× Task http_400" in lines and "√ Slot" in lines
    assert lines[-1] == "4 项没有通过。"
    assert said("hl7-gone") == ["× connect no_connection", "1 项没有通过。"]


def test_a_server_that_sorts_as_it_likes_is_told_so_before_anything_can_be_lost(server: FhirServer) -> None:
    for number in range(4):
        server.slot(f"s{number}")
    server.latest_first = True
    assert "× Slot not_in_order" in said("fhir-one")


@pytest.mark.parametrize(
    ("name", "words"),
    [("wrong", "not_https"), ("nobody", "connector_unknown"), ("sandbox", "不是 FHIR 或 HL7 v2")],
)
def test_what_cannot_be_tried_says_why(server: FhirServer, name: str, words: str) -> None:
    (line,) = said(name)
    assert words in line
