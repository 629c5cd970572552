"""The page for hospitals' engineers is true: its file can be read, its options exist, its message is understood."""

import inspect
import re
from pathlib import Path
from uuid import UUID

import pytest
import yaml

from hospitals.connectors.base import EventType
from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.hl7v2 import Hl7v2Connector, events
from hospitals.connectors.hl7v2.messages import read

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


def _spelled(found: re.Match[str]) -> str:
    """`invoice.issued`, `.paid` with each name in full."""
    rest = re.findall(r"`\.(\w+)`", found[3])
    return " ".join(f"`{found[1]}.{name}`" for name in [found[2], *rest])
