"""The documentation is true: settings, commands, files and links it names exist, and every dependency is accounted for."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "avatar" / "assets" / "README.md"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_environment_variable_is_in_the_operations_page() -> None:
    read = set(re.findall(r'env(?:_[a-z]+)?\(\s*"([A-Z_]+)"', text("companion/settings.py")))
    assert len(read) > 20
    documented = text("docs/operations.md")
    assert not {name for name in read if name not in documented}


def test_every_make_target_that_the_docs_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.M))
    named = {t for page in PAGES for t in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert named and named <= targets


def test_every_management_command_that_the_docs_name_exists() -> None:
    own = {path.stem for path in ROOT.glob("*/management/commands/*.py")}
    django = {"migrate", "shell", "collectstatic", "createsuperuser", "check"}
    named = {c for page in PAGES for c in re.findall(r"manage\.py ([a-z_]+)", page.read_text(encoding="utf-8"))}
    assert named and named <= own | django


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    found = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", found) + re.findall(r'src="([^"]+)"', found)
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_locked_package_is_in_the_dependencies_page() -> None:
    locked = re.findall(r"^([a-z0-9][a-z0-9-]*)==", text("deploy/locks/run.txt"), re.M)
    documented = text("docs/dependencies.md")
    assert locked
    assert not [name for name in locked if f"`{name}`" not in documented]


def test_locks_carry_hashes_and_name_no_index() -> None:
    for lock in (ROOT / "deploy" / "locks").glob("*.txt"):
        content = lock.read_text()
        assert "--hash=sha256:" in content
        assert "://" not in content
    packages = json.loads(text("tests/hospitals/medplum/package-lock.json"))["packages"]
    documented = text("docs/dependencies.md")
    for path, package in packages.items():
        if path:
            assert package["integrity"].startswith("sha512-") and "resolved" not in package
            assert f"`{path.removeprefix('node_modules/')}`" in documented
