"""Commands and files of a node that may fail, hang or never end."""

import os
import sys
import time
from pathlib import Path

import pytest

from pilotage.pilot.detect import scratch, small_files
from pilotage.pilot.detect.batch_systems import detection
from pilotage.pilot.detect.surroundings import OUTPUT_MAX, here, output

from ....nodes.recorded import parse

PATH = {"PATH": os.environ.get("PATH", os.defpath)}


def test_what_a_command_prints_is_returned_and_what_fails_is_empty() -> None:
    assert output(("printf", "a%s", "b"), PATH) == "ab"
    assert output(("sh", "-c", "echo lost; exit 3"), PATH) == ""
    assert output(("no-such-command",), PATH) == ""
    assert output(("sh", "-c", "echo $LC_ALL"), PATH) == "C\n"
    assert output(("sh", "-c", r"printf '\377'"), PATH) == "\ufffd"


def test_a_command_that_hangs_is_left_behind_with_all_it_started() -> None:
    began = time.monotonic()

    said = output(("sh", "-c", "echo early; sleep 60 & sleep 60"), PATH, patience_s=0.2)

    assert said == ""
    assert time.monotonic() - began < 5


def test_of_a_flood_only_the_beginning_is_read() -> None:
    flood = (sys.executable, "-c", f"print('x' * {2 * OUTPUT_MAX})")

    assert len(output(flood, PATH)) == OUTPUT_MAX


def test_pipes_folders_and_what_is_not_there_are_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_text("x" * 100)

    assert small_files.text(tmp_path / "pipe") == ""
    assert small_files.text(tmp_path) == ""
    assert small_files.text(tmp_path / "none") == ""
    assert small_files.text(tmp_path / "a\0b") == ""
    assert small_files.text(Path("/dev/zero")) == ""
    assert small_files.text(tmp_path / "long", size_max=10) == "x" * 10


def test_tools_are_looked_for_where_path_leads(tmp_path: Path) -> None:
    node = parse("== env\nPATH=:relative:/a:/b/\n== tool /b/podman\n== file /a/podman\n")
    around = node.surroundings(tmp_path)

    assert around.tool("podman") == "/b/podman"
    assert around.tool("apptainer") == ""


@pytest.mark.parametrize(("mode", "ours"), [(0o700, True), (0o755, True), (0o1777, False)])
def test_only_a_folder_that_others_cannot_write_to_is_the_jobs(
    mode: int, ours: bool, tmp_path: Path
) -> None:
    node = parse("== env\nSLURM_JOB_ID=7\nTMPDIR=/tmp/job\n")
    node.folders["/tmp/job"] = mode
    around = node.surroundings(tmp_path)

    found = scratch.folder(around, detection.jobs(around), "/here")

    assert (found.value, found.source) == (
        ("/tmp/job", "TMPDIR") if ours else ("/here", "working directory")
    )


def test_this_machine_is_looked_at() -> None:
    around = here(os.environ, lambda: 0.0, Path("/"))

    assert around.architecture
    assert around.host
    assert (around.free_bytes(Path("/")) or 0) > 0
    assert around.free_bytes(Path("/no/such/folder")) is None
