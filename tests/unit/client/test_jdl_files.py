"""Descriptions in JDL with local files: what is uploaded, and what is missing."""

from pathlib import Path

import pytest

from pilotage.central.client.documents.jdl_files import drafts_of, text_of
from pilotage.central.client.errors import BadDescription
from pilotage.central.workflows.jdl.grammar import BYTES_MAX
from pilotage.proto.api.jdl import JdlContext

CONTEXT = JdlContext(group="users", user="ada")


def test_files_folders_and_patterns_are_uploaded(tmp_path: Path) -> None:
    for name in ("run.sh", "in1.txt", "in2.txt", "[odd].txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "conf").mkdir()
    text = """Executable = "run.sh"; Parameters = {1, 2};
        InputSandbox = {"run.sh", "in%s.*", "conf", "[odd].txt"};"""

    read, drafts = drafts_of(text, "a.jdl", CONTEXT, tmp_path)

    assert read.is_parametric
    assert [[one.path.name for one in draft.files] for draft in drafts] == [
        ["run.sh", "in1.txt", "conf", "[odd].txt"],
        ["run.sh", "in2.txt", "conf", "[odd].txt"],
    ]


def test_all_missing_files_are_named_with_the_other_mistakes(tmp_path: Path) -> None:
    text = """Executable = "run.sh"; Site = "a b";
InputSandbox = {"run.sh",
  "no*.txt"};"""

    with pytest.raises(BadDescription) as bad:
        drafts_of(text, "a.jdl", CONTEXT, tmp_path)

    assert bad.value.lines == [
        "a.jdl:1:31: Site: found 'a b', expected only letters, digits and . _ : / @ + -",
        f"a.jdl:2:17: InputSandbox: there is no file 'run.sh' in {tmp_path}",
        f"a.jdl:3:3: InputSandbox: there is no file 'no*.txt' in {tmp_path}",
    ]


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text(folder)

    with pytest.raises(BadDescription, match="x.txt and .*x.txt would have the same name"):
        text = 'Executable = "x"; InputSandbox = {"a/x.txt", "b/x.txt"};'
        drafts_of(text, "a.jdl", CONTEXT, tmp_path)


def test_files_that_are_no_descriptions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large.jdl").write_bytes(b"#" * (BYTES_MAX + 1))
    (tmp_path / "latin.jdl").write_bytes(b'Executable = "\xe9";')

    for name, why in (
        ("large.jdl", "has more than"),
        ("latin.jdl", "is not UTF-8 text"),
        ("none.jdl", "No such file"),
    ):
        with pytest.raises(BadDescription, match=why):
            text_of(tmp_path / name)
