"""What a consultation leads to, by department: bills, examinations, reports, medicines, follow-up. Data files, no code.

Each file in data/demo/scripts is one script; ``desks`` name places that the hospital fills in (pharmacy, laboratory, ...).
Ids are made from the appointment's, so a script played twice says the same.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hospitals.connectors.base import (
    DiagnosticReport,
    Examination,
    FollowUp,
    Invoice,
    InvoiceLine,
    MedicationRequest,
    Observation,
    Prescription,
)

DATA = Path(__file__).resolve().parents[2] / "data" / "demo" / "scripts"
DEFAULT = "general"


@dataclass(frozen=True, slots=True)
class Desk:
    """A place in the hospital: room code on its map, its name, and how people say where it is."""

    room_code: str
    room_name: str
    place: str


@dataclass(frozen=True, slots=True)
class Play:
    """One visit's script, filled in. ``reports`` go by examination id."""

    invoices: tuple[Invoice, ...]
    examinations: tuple[Examination, ...]
    reports: dict[str, DiagnosticReport]
    prescription: Prescription | None
    follow_up: FollowUp


@cache
def script_names() -> dict[str, str]:
    """Standard department name → script."""
    found = {}
    for path in sorted(DATA.glob("*.yaml")):
        for department in yaml.safe_load(path.read_text(encoding="utf-8"))["departments"]:
            found[department] = path.stem
    return found


@cache
def _load(name: str) -> dict[str, Any]:
    path = DATA / f"{name}.yaml"
    data: dict[str, Any] = yaml.safe_load((path if path.exists() else DATA / f"{DEFAULT}.yaml").read_text("utf-8"))
    return data


def play(
    name: str, *, visit: str, desks: dict[str, dict[str, str]], clinic: Desk, department: str, now: datetime
) -> Play:
    """The script for one visit. ``visit``: the appointment's id in hex, which also varies what is ordered."""
    script = _load(name)
    prefix = visit[:8]
    variant = int(visit[-4:], 16)
    wanted = [e for e in script["examinations"] if variant % e.get("every", 1) == 0]
    keys = {e["key"] for e in wanted}

    def desk(key: str) -> Desk:
        found = desks.get(key)
        return Desk(**found) if found else clinic

    invoices = tuple(
        _invoice(bill, f"{prefix}-{bill['key']}", keys)
        for bill in script["invoices"]
        if not bill.get("for") or keys & set(bill["for"])
    )
    paid_by = {exam: f"{prefix}-{bill['key']}" for bill in script["invoices"] for exam in bill.get("for", [])}
    examinations = []
    reports = {}
    for exam in wanted:
        where = desk(exam["desk"])
        exam_id = f"{prefix}-{exam['key']}"
        examinations.append(
            Examination(
                id=exam_id,
                name=exam["name"],
                kind=exam["kind"],
                room_code=where.room_code,
                room_name=where.room_name,
                place=where.place,
                preparation=exam.get("preparation", ""),
                fasting=exam.get("fasting", False),
                invoice_id=paid_by.get(exam["key"], ""),
            )
        )
        report = exam["report"]
        reports[exam_id] = DiagnosticReport(
            id=f"{exam_id}-r",
            name=report["name"],
            issued_at=now,
            observations=tuple(Observation(**{**o, "value": str(o["value"])}) for o in report["observations"]),
            conclusion=report.get("conclusion", ""),
            examination_id=exam_id,
        )
    pharmacy = desk("pharmacy")
    sheet = script.get("prescription")
    prescription = (
        Prescription(
            id=f"{prefix}-rx",
            items=tuple(
                MedicationRequest(id=f"{prefix}-rx{number}", **item) for number, item in enumerate(sheet["items"], 1)
            ),
            pickup_room_code=pharmacy.room_code,
            pickup_place=f"{pharmacy.place}{pharmacy.room_name}",
            invoice_id=next((bill.id for bill in invoices if bill.id.endswith("-medicine")), ""),
        )
        if sheet
        else None
    )
    plan = script["follow_up"]
    return Play(
        invoices=invoices,
        examinations=tuple(examinations),
        reports=reports,
        prescription=prescription,
        follow_up=FollowUp(
            due_on=_working_day(now.date() + timedelta(days=plan["days"])),
            department=department,
            instruction=plan.get("instruction", ""),
        ),
    )


def _invoice(bill: dict[str, Any], invoice_id: str, ordered: set[str]) -> Invoice:
    """Lines of examinations that were not ordered fall away; insurance pays its share of each line, to the fen."""
    lines = [line for line in bill["lines"] if not line.get("for") or line["for"] in ordered]
    total = sum(line["fen"] for line in lines)
    insurance = sum(line["fen"] * line.get("insured_percent", 0) // 100 for line in lines)
    return Invoice(
        id=invoice_id,
        title=bill["title"],
        lines=tuple(InvoiceLine(line["name"], line["fen"]) for line in lines),
        total_fen=total,
        insurance_fen=insurance,
        self_pay_fen=total - insurance,
    )


def _working_day(day: date) -> date:
    return day + timedelta(days=(7 - day.weekday()) if day.weekday() >= 5 else 0)
