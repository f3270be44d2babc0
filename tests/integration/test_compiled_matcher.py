"""The compiled form of the matcher: what `make test` made of the sources as they stand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pilotage.matcher import compiled

ROOT = Path(__file__).resolve().parents[2]


def python(*argv: str | Path, home: Path = ROOT, **switch: str) -> str:
    """Run a Python that meets the matcher as a central does, and return what it says."""
    environment = {name: word for name, word in os.environ.items() if name != compiled.SWITCH}
    done = subprocess.run(
        (sys.executable, *argv),
        cwd=home,
        env={**environment, "PYTHONPATH": str(home), **switch},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def form(home: Path, **switch: str) -> str:
    return python(
        "-c", "from pilotage import matcher; print(matcher.is_compiled)", home=home, **switch
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The rooms that the matcher needs, with its compiled form."""
    if not (ROOT / "matcher" / compiled.FOLDER).is_dir():
        pytest.skip("the matcher is not compiled here (make dev)")
    package = tmp_path / "pilotage"
    package.mkdir()
    shutil.copy(ROOT / "pilotage" / "__init__.py", package)
    for room in ("matcher", "proto"):
        shutil.copytree(ROOT / room, package / room)
    return tmp_path


@pytest.mark.parametrize(
    "marked",
    [
        pytest.param("not long and not thorough", id="most"),
        pytest.param("not long and thorough", id="at random", marks=pytest.mark.long),
    ],
)
def test_the_compiled_form_does_what_the_matcher_s_tests_ask(checkout: Path, marked: str) -> None:
    assert form(ROOT) == "True", "the compiled form is not of these sources: make dev"
    words = ("-q", "-p", "no:cacheprovider", "tests/unit/matcher", "-m", marked)
    numbers = ("-k", "not WithShortCuts and not OfMany and not other_words")
    # The compiled form has its numbers built in: a test cannot change them.
    said = python("-P", "-m", "pytest", *words, *numbers, PILOTAGE_MATCHER="compiled")

    assert " passed" in said


@pytest.mark.parametrize(
    "source_name", ["matcher/index/class_index.py", "matcher/types.py", "proto/documents/job.py"]
)
def test_it_counts_only_for_the_sources_that_it_was_made_of(
    checkout: Path, source_name: str
) -> None:
    before = form(checkout)
    with (checkout / "pilotage" / source_name).open("a") as source:
        source.write("\n")

    assert (before, form(checkout)) == ("True", "False")


def test_who_says_so_runs_the_sources(checkout: Path) -> None:
    assert form(checkout, PILOTAGE_MATCHER=compiled.INTERPRETED) == "False"


@pytest.mark.parametrize("damage", ["no stamp", "no common part", "common part of elsewhere"])
def test_a_damaged_compiled_form_is_left_alone(checkout: Path, damage: str) -> None:
    folder = checkout / "pilotage" / "matcher" / compiled.FOLDER
    common = next(folder.glob(f"{compiled.COMMON}.*"))
    match damage:
        case "no stamp":
            (folder / compiled.STAMP).unlink()
        case "no common part":
            common.unlink()
        case _:
            common.write_bytes(b"\x7fELF of another machine")

    assert form(checkout) == "False"
