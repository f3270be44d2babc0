"""Pages of our own hand name things that exist: files, tests, packages."""

import re
from typing import Final

import pytest

from ..tidy import tree

ROOMS: Final = "central|matcher|pilot|proto|tests|deploy|docs|examples"
FILE: Final = re.compile(rf"`((?:{ROOMS})(?:/[\w.-]+)+)`")
SHORT: Final = re.compile(r"`(\w+/\w+\.py)`")  # a file by its folder alone
MEASURED: Final = "docs/performance.md"  # is there once `make bench` has run
TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ENTRY: Final = re.compile(r"\*\*([^*]+)\*\*.*: \S")
STEP: Final = re.compile(r"^    (\w)->>(\w): |^    (\w)-->>(\w): ", re.MULTILINE)
PAGES: Final = [
    name for name in tree.files() if name == "README.md" or re.match(r"docs/.*\.md$", name)
]
PACKAGES: Final = sorted(
    {"/".join(name.split("/")[:2]) for name in tree.files() if re.match(r"central/\w+/", name)}
)
MODULES: Final = [
    name for name in sorted(tree.files()) if re.fullmatch(r"central/[a-z]\w*\.py", name)
]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    named = set(FILE.findall(tree.text(page))) - {MEASURED}
    missing = [name for name in named if not (tree.ROOT / name).exists()]
    short = [
        name
        for name in SHORT.findall(tree.text(page))
        if not any(f"/{one}".endswith(f"/{name}") for one in tree.files())
    ]

    assert not missing
    assert not short


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    missing = [
        f"{file}::{test}"
        for file, test in TEST.findall(tree.text(page))
        if not (tree.ROOT / file).is_file() or f"def {test}(" not in tree.text(file)
    ]

    assert not missing


def test_every_promise_has_a_test_or_says_later() -> None:
    parts = re.split(r"^\*\*(P\d+) ", tree.text("docs/promises.md"), flags=re.MULTILINE)
    promises = dict(zip(parts[1::2], parts[2::2], strict=True))

    assert list(promises) == [f"P{n}" for n in range(1, 14)]
    for name, text in promises.items():
        assert "`tests/" in text or "Later:" in text, name


def test_packages_are_at_work_where_the_readme_says() -> None:
    rows = re.findall(r"^\| ([a-z]+) \| (.*) \|$", tree.text("README.md"), re.MULTILINE)
    places = {package: re.findall(r"`([\w/]+\.py)`", text) for package, text in rows}

    assert set(places) >= {"aiomqtt", "aiosqlite", "msgspec", "uvloop", "cryptography", "pytest"}
    idle = [
        f"{file}: {package}"
        for package, files in places.items()
        for file in files
        if not re.search(rf"^ *(import|from) {package}\b", tree.text(file), re.MULTILINE)
    ]
    assert not idle


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_of_the_central_shows_every_package(package: str) -> None:
    assert f"|`{package}`|" in tree.text("docs/architecture.md")


@pytest.mark.parametrize("module", MODULES)
def test_the_map_of_the_central_shows_every_module_beside_the_packages(module: str) -> None:
    assert f"`{module}`" in tree.text("docs/architecture.md")


def test_the_drawing_of_a_job_speaks_of_its_participants_alone() -> None:
    text = tree.text("docs/architecture.md")
    known = set(re.findall(r"participant (\w) as", text))
    speaking = {who for step in STEP.findall(text) for who in step if who}

    assert speaking == known


def test_every_page_is_on_the_map() -> None:
    index = tree.text("docs/index.md")
    off = [page for page in PAGES if page.startswith("docs/") and f"({page[5:]}" not in index]

    assert off == ["docs/index.md"]


def test_the_glossary_has_one_line_for_each_word_in_alphabetical_order() -> None:
    _, _, listed = tree.text("docs/glossary.md").partition("\n\n**")
    lines = f"**{listed}".strip().split("\\\n")
    entries = [ENTRY.match(line) for line in lines]
    words = [entry[1].casefold() for entry in entries if entry]

    assert [line for line, entry in zip(lines, entries, strict=True) if not entry] == []
    assert [line for line in lines if len(line) > 100] == []
    assert words == sorted(set(words))
