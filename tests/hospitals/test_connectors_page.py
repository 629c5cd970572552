"""The page for hospitals' engineers is true: its file can be read, its options exist, its message is understood."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from django.core.management import call_command

from hospitals import tenancy
from hospitals.connectors.base import EventType
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.hl7v2 import Hl7v2Connector, events
from hospitals.connectors.hl7v2.messages import read
from hospitals.models import InboxEvent
from hospitals.services import connecting, hl7_door
from tests.hospitals.appointments import an_appointment

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ["connectors.md", "connectors.zh.md"]
KINDS = {"fhir": FhirConnector, "hl7v2": Hl7v2Connector}
INJECTED = {"self", "outgoing", "resolve", "now"}


def blocks(page: str, kind: str = "") -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)
    return [text for name, text in fenced if name == kind]


@pytest.mark.parametrize("page", PAGES)
def test_the_example_file_names_options_that_exist_and_the_page_names_all(page: str) -> None:
    whole = (DOCS / page).read_text(encoding="utf-8")
    entries = yaml.safe_load(blocks(page, "yaml")[0]).values()
    assert {entry["BACKEND"] for entry in entries} == set(KINDS)
    for entry in entries:
        options = set(inspect.signature(KINDS[entry["BACKEND"]].__init__).parameters) - INJECTED
        assert set(entry["OPTIONS"]) <= options
        assert not [name for name in options if f"`{name}`" not in whole]


@pytest.mark.parametrize("page", PAGES)
def test_the_example_message_calls_number_70(page: str) -> None:
    (text,) = (block for block in blocks(page) if block.startswith("MSH"))
    (event,) = events.happened(read(text.encode()), hospital_id=UUID(int=1))
    assert event.type is EventType.ENCOUNTER_CALLED and getattr(event.data, "ticket", "") == "70"


@pytest.mark.parametrize("page", PAGES)
def test_every_event_is_explained_for_both_ways(page: str) -> None:
    whole = (DOCS / page).read_text(encoding="utf-8")
    for part in whole.split("\n## ")[2:4]:
        told = re.sub(r"`(\w+)\.(\w+)`((?:[,、] ?`\.\w+`)+)", _spelled, part)
        assert not [kind.value for kind in EventType if f"`{kind.value}`" not in told]


@pytest.mark.parametrize(("module", "name"), [("fhir_server", "try-fhir"), ("mllp_peer", "try-hl7")])
def test_each_small_hospital_runs_by_itself_and_its_line_leads_to_it(
    module: str, name: str, settings: Any, tmp_path: Path
) -> None:
    assert all(f"python -m tests.hospitals.{module}\n" in "".join(blocks(page, "sh")) for page in PAGES)
    command = [sys.executable, "-m", f"tests.hospitals.{module}"]
    with subprocess.Popen(command, cwd=DOCS.parent, stdout=subprocess.PIPE, text=True) as hospital:
        assert hospital.stdout
        (tmp_path / "connectors.yaml").write_text(hospital.stdout.readline())
        settings.HOSPITALS_CONNECTORS_FILE = str(tmp_path / "connectors.yaml")
        connecting.forget()
        try:
            call_command("connector", name)
        finally:
            hospital.kill()
            connecting.forget()


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_the_example_message_is_kept_at_the_door_with_a_visit_of_the_hospital_s(page: str, settings: Any) -> None:
    entry = yaml.safe_load(blocks(page, "yaml")[0])["hill-hl7"]
    options = entry["OPTIONS"] | {"host": "10.20.0.7"}  # its name is nobody's
    settings.HOSPITALS_CONNECTORS = {"hill-hl7": {**entry, "OPTIONS": options}}
    connecting.forget()
    row = an_appointment("hill-hl7")
    (text,) = (block for block in blocks(page) if block.startswith("MSH"))
    hers = text.replace("22222222-2222-4222-8222-222222222222", str(row.id))
    peers = hl7_door.admit("10.20.0.5")
    answers = []
    for raw in (text, hers, hers.replace("HIS000123", "HIS000124"), hers.replace("HIS000123", "HIS000124")):
        answer = read(hl7_door.take(peers, raw.encode()))
        answers.append((answer.first("MSA").field(1), answer.first("ERR").field(3)))
    connecting.forget()
    assert answers == [("AE", "204"), ("AE", "205"), ("AA", ""), ("AA", "")]
    with tenancy.scope(row.hospital_id):
        kept = InboxEvent.objects.filter(state=InboxEvent.State.RECEIVED)
        assert list(kept.values_list("type", flat=True)) == ["encounter.called"]


def _spelled(found: re.Match[str]) -> str:
    """`invoice.issued`, `.paid` with each name in full."""
    rest = re.findall(r"`\.(\w+)`", found[3])
    return " ".join(f"`{found[1]}.{name}`" for name in [found[2], *rest])
