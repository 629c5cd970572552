"""A variable of the environment is read as it is written, or refused by its name without what it holds."""

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from companion.environment import env, env_bool, env_database, env_folder, env_int, env_json, env_list

NAME = "COMPANION_OF_THIS_TEST"


@pytest.mark.parametrize(
    ("read", "given", "meant"),
    [
        (lambda: env(NAME, "x"), "", "x"),
        (lambda: env_bool(NAME, True), "off", False),
        (lambda: env_int(NAME, 8), "", 8),
        (lambda: env_int(NAME, 8), "12", 12),
        (lambda: env_list(NAME), "a, b,,", ["a", "b"]),
        (lambda: env_json(NAME), '{"a": 1}', {"a": 1}),
        (lambda: env_database(NAME, "")["HOST"], "postgres://companion:p%40ss@db:5432/companion", "db"),
        (lambda: env_database(NAME, "sqlite:////tmp/x")["NAME"], "", "/tmp/x"),
    ],
)
def test_it_is_read(monkeypatch: pytest.MonkeyPatch, read: Any, given: str, meant: Any) -> None:
    monkeypatch.setenv(NAME, given)
    assert read() == meant


@pytest.mark.parametrize(
    ("read", "given"),
    [
        (lambda: env_int(NAME, 8), "many"),
        (lambda: env_json(NAME), "[1]"),
        (lambda: env_json(NAME), "{secret"),
        (lambda: env_database(NAME, ""), "oracle://scott:secret@db/companion"),
        (lambda: env_database(NAME, ""), "mysql://scott:secret@db/companion"),
        (lambda: env_database(NAME, ""), "postgres://scott:secret@db:port/companion"),
        (lambda: env_database(NAME, ""), "secret"),
    ],
)
def test_it_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, read: Any, given: str) -> None:
    monkeypatch.setenv(NAME, given)
    with pytest.raises(ImproperlyConfigured, match=NAME) as caught:
        read()
    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(NAME, str(tmp_path / "file" / "folder"))
    with pytest.raises(ImproperlyConfigured, match=NAME):
        env_folder(NAME, tmp_path)
