"""What the pages for readers tell happens as they tell it, with real processes."""

import time
from pathlib import Path

import pytest

from ..tidy import tree
from .walkthrough import Block, Differs, Walk, agrees, blocks, commands

PAGES = (
    "docs/tutorial.md",
    "docs/data.md",
    "docs/python-api.md",
    "docs/transformations.md",
    "docs/workflows.md",
    "docs/productions.md",
    "docs/operations/first-steps.md",
    "docs/operations/pilots.md",
    "docs/operations/shares-and-limits.md",
)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_happens_as_it_is_told(page: str, tmp_path: Path) -> None:
    walk = Walk(tree.ROOT / page, tmp_path)
    try:
        walk.go()
    finally:
        left = walk.close()

    assert not left, "the page leaves these running"


# A command that waits, one that leaves behind who keeps the pipe open, and likewise in Python.
ENDLESS = {
    "a command": "```console\n$ echo so far; sleep 1000\nso far\n```\n",
    "a shell": "```console\n$ sleep 1000 & exec sh -c 'echo so far; kill -9 $$'\nso far\n```\n",
    "a session of its own": "```console\n$ setsid sh -c 'echo so far; sleep 1000'\nso far\n```\n",
    "Python": (
        "```python\nimport subprocess\nprint('so far', flush=True)\n"
        "subprocess.run(['sleep', '1000'])\n```\n"
    ),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_page_that_does_not_end_is_given_up_and_leaves_nothing(what: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(ENDLESS[what])
    walk = Walk(page, tmp_path, patience_s=2.0)
    began = time.monotonic()
    try:
        with pytest.raises(Differs, match=r"has not ended in 2 s(.|\n)*so far"):
            walk.go()
    finally:
        left = walk.close()

    assert len(left) >= 1
    assert time.monotonic() - began < 20


#     page             found             agrees
SAYINGS: dict[str, tuple[list[str], str, bool]] = {
    "the same": (["a b"], "a b\n", True),
    "columns may be wider": (["id  name"], "id      name\n", True),
    "a wildcard in a line": (["job … is Done"], "job 12 is Done\n", True),
    "a wildcard does not leave its line": (["job … Done"], "job 1\nis Done\n", False),
    "a wildcard for lines": (["first", "…", "last"], "first\n1\n2\nlast\n", True),
    "and for none": (["first", "…", "last"], "first\nlast\n", True),
    "a line too many": (["a"], "a\nb\n", False),
    "a line too few": (["a", "b"], "a\n", False),
    "signs are themselves": (["1 + (2)"], "1 + (2)\n", True),
    "nothing": ([], "", True),
}


@pytest.mark.parametrize("name", SAYINGS)
def test_a_page_and_what_was_found_are_compared(name: str) -> None:
    said, found, expected = SAYINGS[name]

    assert agrees(said, found) is expected


def test_a_page_is_read_block_by_block() -> None:
    page = (
        "# T\n\n```console\n$ true\n$ false\nno\n# exit code 1\n```\n\n```yaml a.yaml\nb: 1\n```\n"
    )
    console, file = blocks(page)
    first, second = commands(console)

    assert console == Block("console", "", "$ true\n$ false\nno\n# exit code 1\n", 4)
    assert file == Block("yaml", "a.yaml", "b: 1\n", 11)
    assert (first.text, first.prints, first.code) == ("true", [], 0)
    assert (second.text, second.prints, second.code, second.line) == ("false", ["no"], 1, 5)


@pytest.mark.parametrize(("command", "count"), [("pilotage pilot list", 3), ("pilotage kill 1", 1)])
def test_only_a_command_that_reads_is_typed_again(command: str, count: int, tmp_path: Path) -> None:
    program = tmp_path / "pilotage"
    program.write_text("#!/bin/sh\necho x >> times\nwc -l < times\n")
    program.chmod(0o755)
    page = tmp_path / "page.md"
    page.write_text(f"```console\n$ {command}\n3\n```\n")
    walk = Walk(page, tmp_path, {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    try:
        if count == 1:
            with pytest.raises(Differs, match="prints something else"):
                walk.go()
        else:
            walk.go()
    finally:
        walk.close()

    assert (tmp_path / "times").read_text().count("x") == count
