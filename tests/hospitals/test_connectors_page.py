"""The page for hospitals' engineers is true: its file can be read, its options exist, its message is understood."""

import inspect
import json
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
from hospitals.connectors.fhir.connector import EXECUTE_S, LAST_S, OFFERS_PAGES_MAX, POLL_PAGES_MAX, POLL_S
from hospitals.connectors.fhir.sign_in import ASSERTION_LASTS_S, BackendServices
from hospitals.connectors.hl7v2 import Hl7v2Connector, events
from hospitals.connectors.hl7v2.listener import CONNECTIONS_PER_PEER, IDLE_S
from hospitals.connectors.hl7v2.messages import read
from hospitals.connectors.hl7v2.mllp import MAX_BYTES
from hospitals.connectors.webhook import READ_S
from hospitals.models import InboxEvent
from hospitals.services import circuit, connecting, hl7_door, offering, outbox
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
def test_the_defaults_that_it_tells_are_the_code_s(page: str) -> None:
    whole = (DOCS / page).read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", whole, re.M))
    checked = []
    for made in (*KINDS.values(), BackendServices):
        for name, option in inspect.signature(made.__init__).parameters.items():
            if name in told and option.default and isinstance(option.default, bool | int | float | str):
                default = json.dumps(option.default) if isinstance(option.default, bool) else option.default
                written = f"{default:g}" if isinstance(default, float) else str(default)
                assert told[name].strip("`") == written, name
                checked.append(name)
    assert {"scope", "id_system", "read_s", "charset", "utc_offset_min", "tls", "answer_s"} <= {*checked}


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


WRITTEN = {2: ("two", "两"), 3: ("three", "三"), 4: ("four", "四"), 5: ("five", "五")}
# What stands in the code, and how either page has it; {0} a number, {1} the same as a word.
LIMITS = {
    "a part of an answer": (READ_S, "We wait {0} s for a part of an answer", "每一部分最多等 {0} 秒"),
    "a command": (EXECUTE_S, "{0} s for a whole command", "一次操作最多 {0} 秒"),
    "the first wait": (outbox.FIRST_RETRY_S, "try again after {0} s", "之后隔 {0} 秒"),
    "the longest wait": (outbox.LONGEST_RETRY_S / 60, "up to {0} minutes apart", "最长 {0} 分钟"),
    "until it is given up": (outbox.GIVE_UP_AFTER.total_seconds() / 3600, "for {0} hours", "持续 {0} 小时"),
    "failures in a row": (circuit.OPENS_AFTER, "After {1} failures in a row", "连续失败{1}次"),
    "the first rest": (circuit.FIRST_REST_S, "leave you alone for {0} s", "{0} 秒到 5 分钟不再打扰"),
    "the longest rest": (circuit.LONGEST_REST_S / 60, "to {0} minutes.", "到 {0} 分钟不再打扰"),
    "weeks on sale": (offering.LOOK_AHEAD.days / 7, "up to {1} weeks ahead", "今后{1}周"),
    "pages of slots": (OFFERS_PAGES_MAX, "of Slot and Schedule {0:,}", "Slot 和 Schedule 为 {0:,} 页"),
    "a reading": (
        (POLL_S - LAST_S) / 60,
        "pages of each kind (of Slot and Schedule 2,000) and {1} minutes",
        "页)、{1}分钟",
    ),
    "pages of visits": (POLL_PAGES_MAX, "A reading takes {0} pages of each kind", "每种资源最多 {0} 页"),
    "an assertion": (ASSERTION_LASTS_S / 60, "Assertions last {1} minutes", "每份签名断言有效{1}分钟"),
    "a message": (MAX_BYTES / 1024**2, "{0} MiB a message", "每条不超过 {0} MiB"),
    "connections": (CONNECTIONS_PER_PEER, "{0} connections from an address", "不超过 {0} 个连接"),
    "idle": (IDLE_S / 60, "{0} minutes idle", "空闲 {0} 分钟"),
}


@pytest.mark.parametrize(("number", "english", "chinese"), LIMITS.values(), ids=LIMITS)
def test_its_limits_are_the_code_s(number: float, english: str, chinese: str) -> None:
    assert number == int(number)
    for page, words, written in zip(PAGES, (english, chinese), WRITTEN.get(int(number), ("", "")), strict=True):
        told = " ".join((DOCS / page).read_text(encoding="utf-8").split())
        assert words.format(int(number), written) in told


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
