"""The documentation is true: what it names exists, both languages name the same, and every dependency is accounted for."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("companion", "avatar", "hospitals", "tests", "benchmarks", "deploy", "static", "docs")
WRITTEN_IN = {".py", ".js", ".mjs", ".sh", ".yaml", ".toml", ".html", ".css", ".csv", ".json"}
OTHERS = {"synchronous_commit", "proxy_read_timeout", "SECURE_SSL_REDIRECT"}  # PostgreSQL's, nginx's, Django's
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "avatar" / "assets" / "README.md"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def spans(page: Path) -> list[str]:
    """What stands in code letters, without whole blocks."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


@cache
def files() -> dict[str, Path]:
    """Every file of ours by its path from the root."""
    rooms = (path for room in ROOMS for path in (ROOT / room).rglob("*") if "node_modules" not in path.parts)
    found = [path for path in (*rooms, *ROOT.iterdir()) if path.is_file()]
    return {shown(path): path for path in found}


@cache
def source() -> str:
    read = [path for path in files().values() if path.suffix in WRITTEN_IN or path.parent == ROOT / "deploy"]
    return "\n".join(path.read_text(encoding="utf-8") for path in (*read, ROOT / "Makefile"))


@cache
def names() -> set[str]:
    """Every word of the source, and every file's name without its ending."""
    return set(re.findall(r"\w+", source(), re.ASCII)) | {path.stem for path in files().values()}


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


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_option_that_it_gives_to_a_command_is_one(page: Path) -> None:
    """On the same line, up to the end of the code letters or a remark."""
    for line in re.split(r"[`\n]", page.read_text(encoding="utf-8")):
        called = re.search(r"manage\.py ([a-z_]+)([^#]*)", line)
        options = re.findall(r"(?<=\s)--[a-z][a-z-]*", called[2]) if called else []
        if called and options:
            app = get_commands()[called[1]]
            command = app if isinstance(app, BaseCommand) else load_command_class(app, called[1])
            assert set(options) <= set(command.create_parser("manage.py", called[1])._option_string_actions), line


def headings(page: Path) -> set[str]:
    """As links name them: small letters, blanks as dashes, without punctuation."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    found = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|mailto:)([^)#]*)#?([^)]*)\)", found)
    links += [(image, "") for image in re.findall(r'src="([^"]+)"', found)]
    for link, heading in links:
        to = page.parent / link if link else page
        assert to.exists(), link
        assert not heading or heading in headings(to), f"{link}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_file_and_test_that_it_names_exists(page: Path) -> None:
    """By its path from the root, or by the end of it where the sentence says in which room it is."""
    endings = "|".join(sorted(ending[1:] for ending in WRITTEN_IN))
    for span in spans(page):
        if named := re.fullmatch(rf"(\w[\w./-]*\.(?:{endings}))((?:::\w+)*)", span):
            path, tests = named[1], named[2].split("::")[1:]
            there = [found for name, found in files().items() if f"/{name}".endswith(f"/{path}")]
            assert there, span
            written = "\n".join(found.read_text(encoding="utf-8") for found in there) if tests else ""
            assert not [name for name in tests if not re.search(rf"(?:def|class) {name}\b", written)], span
        elif re.fullmatch(rf"(?:{'|'.join(ROOMS)})(?:/[\w.-]+)*/?", span):
            assert (ROOT / span).exists(), span


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_name_in_code_letters_is_in_the_code(page: Path) -> None:
    """Members, codes, settings, tables, figures (`…_p95_ms` is put together): whatever has a low line in it."""
    words = {word for span in spans(page) for word in re.findall(r"\w+", span, re.ASCII) if "_" in word.strip("_")}
    known = names() | OTHERS
    assert not [word for word in words if word not in known and re.sub(r"_(p\d+_ms|median_s)$", "", word) not in known]


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_member_of_a_module_that_it_names_exists(page: Path) -> None:
    """`waiting.lines`; not an event or a line of the log, which stand in the code as they are written."""
    modules: dict[str, list[Path]] = {}
    for path in (path for path in files().values() if path.suffix == ".py"):
        modules.setdefault(path.parent.name if path.stem == "__init__" else path.stem, []).append(path)
    written_so = {path.name for path in files().values()}
    for span in spans(page):
        dotted = re.fullmatch(r"(?:\w+\.)*(\w+)\.(\w+)", span, re.ASCII)
        if (
            not dotted
            or dotted[1] not in modules
            or span in written_so
            or span.endswith(".example")
            or f'"{span}"' in source()
        ):
            continue
        module, member = dotted.groups()
        beside = {found.stem for path in modules[module] if path.stem == "__init__" for found in path.parent.iterdir()}
        inside = "\n".join(path.read_text(encoding="utf-8") for path in modules[module])
        assert member in beside or re.search(rf"(?:def|class|import.*) {member}\b|^ *{member}\b", inside, re.M), span


def test_the_rooms_are_those_that_import_linter_holds() -> None:
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    drawn = " ".join(re.sub("[│├└─]", " ", text("docs/architecture.md")).split())
    layers = [contract["layers"] for contract in contracts if "containers" in contract]
    assert len(layers) == 3
    assert not [rooms for rooms in layers if " > ".join(rooms) not in drawn]


# --- two languages --------------------------------------------------------------------------------------------

PAIRS = [(page.with_name(page.name.replace(".zh.", ".")), page) for page in PAGES if page.name.endswith(".zh.md")]


def words_in_code_letters(page: Path) -> set[str]:
    """Without placeholders and words, which each language has as its own."""
    words = {word for span in spans(page) for word in re.sub(r"\{[^}]*\}", "{}", span).split()}
    return {word.replace(".zh.md", ".md") for word in words if not re.search("\\{\\}|[\u3000-\uffef]", word)}


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=[english.name for english, _chinese in PAIRS])
class TestAPageInTwoLanguages:
    def test_has_the_same_parts_and_blocks(self, english: Path, chinese: Path) -> None:
        told = [
            re.findall(r"^#+(?= )|^```\w+$|^\|", page.read_text(encoding="utf-8"), re.M) for page in (english, chinese)
        ]
        assert told[0] == told[1]

    def test_names_the_same_things(self, english: Path, chinese: Path) -> None:
        assert words_in_code_letters(english) == words_in_code_letters(chinese)

    def test_leads_to_pages_in_its_own_language(self, english: Path, chinese: Path) -> None:
        translated = {page.name for page, _chinese in PAIRS}
        linked = set(re.findall(r"\]\(([\w.-]+\.md)", chinese.read_text(encoding="utf-8")))
        assert not (linked - {english.name}) & translated
        assert not [
            name
            for name in re.findall(r"\]\(([\w.-]+\.zh\.md)", english.read_text(encoding="utf-8"))
            if name != chinese.name
        ]

    def test_leads_to_the_other(self, english: Path, chinese: Path) -> None:
        assert f"({chinese.name})" in english.read_text(encoding="utf-8")
        assert f"({english.name})" in chinese.read_text(encoding="utf-8")
        assert f"docs/{chinese.name}" in text("README.md") and f"docs/{english.name}" in text("README.md")


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
