"""Which files belong to a run, and which are equal."""

from pathlib import Path

import pytest

pytest.importorskip("cwltool")

from pilotage.central.cwl.known_files import RunFiles
from pilotage.central.cwl.loaded import BadDocument, load, load_with_inputs

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: ls
inputs: {d: Directory}
outputs: {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tool.cwl").write_text(TOOL)
    (tmp_path / "in.yaml").write_text("d: {class: Directory, path: given}")
    given = tmp_path / "given"
    given.mkdir()
    (given / "file").write_text("x")
    return given


def sent(folder: Path) -> list[str]:
    found = load_with_inputs(folder.parent / "tool.cwl", folder.parent / "in.yaml")
    return sorted(one.rpartition("/given/")[2] for one in found.files)


def test_links_to_other_folders_are_followed(folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "inner").write_text("y")
    (folder / "a").symlink_to(other)
    (folder / "b").symlink_to(other)

    assert sent(folder) == ["a/inner", "b/inner", "file"]


@pytest.mark.parametrize(
    ("target", "why"),
    [(".", "link to a folder above it"), ("nowhere", "link that leads nowhere")],
)
def test_links_without_an_end_are_refused_by_name(folder: Path, target: str, why: str) -> None:
    (folder / "link").symlink_to(target)

    with pytest.raises(BadDocument, match=f"{folder}/link: it is a {why}"):
        sent(folder)


def test_folders_with_links_to_themselves_are_never_equal(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).symlink_to(".")

    assert RunFiles(sees_disk=True).identity(str(folder)) == ""


def test_files_folders_and_programs_are_different(tmp_path: Path) -> None:
    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        return folder

    (make("file") / "x").touch()
    (make("program") / "x").touch(mode=0o755)
    (make("folder") / "x").mkdir()
    names = make("two names")
    (names / "a").touch()
    (names / "b").touch()
    (make("one name") / "a=0\nb").touch()
    (make("same") / "x").touch()
    files = RunFiles(sees_disk=True)

    found = {one.name: files.identity(str(one)) for one in tmp_path.iterdir()}

    assert found.pop("same") == found["file"]
    assert len({*found.values(), ""}) == len(found) + 1


@pytest.mark.parametrize("texts", [{"a.cwl": "a.cwl"}, {"a.cwl": "b.yml", "b.yml": "a.cwl"}])
def test_files_that_import_each_other_are_refused(tmp_path: Path, texts: dict[str, str]) -> None:
    for name, other in texts.items():
        inputs = f"{{$import: {other}}}"
        text = TOOL.replace("{d: Directory}", inputs) if name == "a.cwl" else f"[{inputs}]"
        (tmp_path / name).write_text(text)

    with pytest.raises(BadDocument, match="it imports itself, or a file that imports it"):
        load(tmp_path / "a.cwl")
