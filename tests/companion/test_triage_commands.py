"""``manage.py triage`` answers a line for a line; ``manage.py evaluate`` counts what is right."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from companion.management.commands.evaluate import score


def run(name: str, *args: str) -> str:
    out = StringIO()
    call_command(name, *args, stdout=out)
    return out.getvalue()


def written(path: Path, *rows: object) -> str:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_line_for_a_line(tmp_path: Path) -> None:
    lines = run("triage", written(tmp_path / "in", {"text": "胃反酸"}, {"text": "发烧", "age": 5})).splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first["departments"][0]["name"] == "消化内科" and second["departments"][0]["name"] == "儿科"
    assert {"urgency", "red_flags", "departments", "question", "reasons"} <= set(first)
    assert {"name", "code", "score"} == set(first["departments"][0])


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("{", "invalid_json"),
        ([1], "invalid_row"),
        ({"text": 1}, "invalid_row"),
        ({"text": "疼", "age": "x"}, "invalid_age"),
        ({"text": "疼", "age": True}, "invalid_age"),
        ({"text": " "}, "triage_input"),
        ({"text": "疼", "age": 200}, "triage_input"),
    ],
)
def test_a_bad_line_is_named_and_does_not_stop_the_rest(tmp_path: Path, row: object, code: str) -> None:
    lines = run("triage", written(tmp_path / "in", row, {"text": "头疼"})).splitlines()
    assert json.loads(lines[0])["error"]["code"] == code
    assert json.loads(lines[1])["departments"]


def test_counts_what_is_right() -> None:
    tally = score(
        [
            {"text": "胃反酸", "departments": ["消化内科"], "urgency": "outpatient"},
            {"text": "眼睛干", "department": "骨科", "also_right": []},
        ]
    )
    assert tally.share("department first") == 0.5 and tally.share("urgency") == 1.0
    assert tally.missed["骨科", "眼科"] == 1 and tally.share("intent") == 0.0


def test_counts_intents() -> None:
    tally = score([{"text": "眼睛干涩挂什么科?", "intent": "triage"}, {"text": "眼睛干涩挂什么科?", "intent": ["pay"]}])
    assert tally.share("intent") == 0.5 and tally.rows["intent"] == 2


def test_writes_a_table_and_the_wrong_rows(tmp_path: Path) -> None:
    rows = written(tmp_path / "set", {"text": "眼睛干", "departments": ["骨科"], "licence": "a"}, {"text": "x"})
    table = run("evaluate", rows, "--by-department", "--wrong", str(tmp_path / "wrong"))
    assert "0 of 1" in table and "骨科 taken for 眼科: 1" in table
    assert json.loads((tmp_path / "wrong").read_text(encoding="utf-8"))["given"][0] == "眼科"


@pytest.mark.parametrize("rows", [["{"], [[1]], [{"text": "x"}]])
def test_a_set_that_cannot_be_used_is_refused(tmp_path: Path, rows: list) -> None:
    with pytest.raises(CommandError):
        run("evaluate", written(tmp_path / "set", *rows))


@pytest.mark.parametrize("name", ["triage", "evaluate"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        run(name, str(tmp_path / "nothing"))
