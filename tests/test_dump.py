"""A stolen copy of the database and the logs of the day tell nothing about anybody."""

import io
import logging
import shutil
import subprocess
import uuid
from datetime import timedelta

import pytest
import structlog
from django.db import connection
from django.utils import timezone

from companion.models import Conversation, Incident, Patient, Resident, Turn, TurnReview, Visit, VisitEvent
from companion.observability import LOGGING
from hospitals.services import onboarding

CANARIES = {
    "name": "金丝雀林小棠",
    "id_number": "990101196101150028",
    "phone": "13900007788",
    "symptom": "金丝雀右侧头疼三天",
    "conclusion": "金丝雀双肺未见异常",
    "note": "金丝雀评语说得太快",
    "contact": "金丝雀沈一帆",
}


@pytest.fixture
def stored(transactional_db: None) -> None:
    """One canary in every column where such words belong, and nobody's knowledge of the vault."""
    resident = Resident.objects.create(name=CANARIES["name"], phone=CANARIES["phone"])
    patient = Patient.objects.create(
        keeper=resident,
        name=CANARIES["name"],
        id_number=CANARIES["id_number"],
        phone=CANARIES["phone"],
        birth_date="1961-01-15",
        sex="female",
    )
    talk = Conversation.objects.create(resident=resident, patient=patient, memory={"said": CANARIES["symptom"]})
    turn = Turn.objects.create(
        conversation=talk,
        resident_id=resident.id,
        number=1,
        said=CANARIES["symptom"],
        answered=[CANARIES["symptom"]],
        understood={"complaint": CANARIES["symptom"]},
    )
    TurnReview.objects.create(turn=turn, resident_id=resident.id, because="random", note=CANARIES["note"])
    Incident.objects.create(kind="complaint", conversation=talk, note=CANARIES["note"])
    now = timezone.now()
    visit = Visit.objects.create(
        resident=resident,
        patient=patient,
        hospital_id=uuid.uuid4(),
        hospital_name="甲医院",
        department="呼吸内科",
        start=now + timedelta(days=1),
        snapshot={"conclusion": CANARIES["conclusion"]},
    )
    report = {"conclusion": CANARIES["conclusion"]}
    VisitEvent.objects.create(
        visit=visit,
        resident_id=resident.id,
        key="k",
        type="report",
        sequence=1,
        data=report,
        occurred_at=now,
        received_at=now,
    )
    contact = onboarding.Contact(CANARIES["contact"], CANARIES["phone"], "a@example.org")
    onboarding.apply(code="h1", name="甲医院", city="杭州", licence_number="L", contact=contact)


def dump() -> str:
    """Everything the database holds, as a thief would read it: text as it is, binary columns as hex."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        return "\n".join(connection.connection.iterdump())
    if shutil.which("pg_dump") is None:
        pytest.skip("no pg_dump here")
    chosen = connection.settings_dict
    command = [
        "pg_dump",
        f"--role={chosen['USER']}",
        "--data-only",
        "-h",
        chosen["HOST"],
        "-p",
        str(chosen["PORT"]),
        "-U",
        chosen["USER"],
    ]
    environment = {"PGPASSWORD": chosen["PASSWORD"], "PATH": "/usr/bin:/bin"}
    found = subprocess.run([*command, chosen["NAME"]], env=environment, capture_output=True, timeout=60)
    if found.returncode:
        pytest.skip("pg_dump does not fit this server")
    return found.stdout.decode()


@pytest.mark.usefixtures("stored")
def test_a_dump_of_the_database_holds_nobody_s_words() -> None:
    text = dump().lower()
    assert "甲医院" in text  # it is a dump of these very rows
    for what, canary in CANARIES.items():
        escaped = canary.encode("ascii", "backslashreplace").decode().lower()
        for form in (canary, canary.encode().hex(), escaped):
            assert form not in text, what


def test_a_log_line_drops_what_is_not_on_the_list() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    chosen = LOGGING["formatters"]["json"]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(**{k: v for k, v in chosen.items() if k != "()"}))
    named = logging.getLogger("companion.dump")
    named.addHandler(handler)
    try:
        structlog.get_logger("companion.dump").warning("turn", code="c1", **CANARIES)
    finally:
        named.removeHandler(handler)
    assert "c1" in out.getvalue()
    assert not [canary for canary in CANARIES.values() if canary in out.getvalue()]
