"""Runs on one machine reuse the results that an earlier run has kept."""

import fcntl
import json
import threading
import time
from pathlib import Path

import pytest

from pilotage.central.cli.cwl.runner import main
from pilotage.central.cwl.local_results import LOCK

WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {words: "string[]", script: File}
outputs: {all: {type: File, outputSource: join/out}}
steps:
  say:
    scatter: word
    in: {word: words}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'echo ran >> "$1"; echo $0']
      arguments: [LOG]
      inputs: {word: {type: string, inputBinding: {position: -1}}}
      outputs: {out: stdout}
  join:
    in: {script: script, files: say/out}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: sh
      inputs:
        script: {type: File, inputBinding: {position: 1}}
        files: {type: "File[]", inputBinding: {position: 2}}
      outputs: {out: stdout}
      stdout: joined.txt
"""


class Here:
    """A folder with a workflow, its script and its inputs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        (folder / "w.cwl").write_text(WORKFLOW.replace("LOG", str(self.log)))
        (folder / "in.json").write_text(
            json.dumps({"words": ["a", "b"], "script": {"class": "File", "path": "join.sh"}})
        )

    def run(self, script: str, *options: str) -> int:
        (self.folder / "join.sh").write_text(script)
        words = [f"--outdir={self.folder / 'out'}", f"--cachedir={self.folder / 'kept'}", "--quiet"]
        return main(
            ["--local", *words, *options, str(self.folder / "w.cwl"), str(self.folder / "in.json")]
        )

    @property
    def ran(self) -> int:
        """Return how often the first tool has run."""
        return len(self.log.read_text().splitlines())

    @property
    def joined(self) -> str:
        return (self.folder / "out" / "joined.txt").read_text()


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_after_a_script_is_corrected_only_its_tool_runs_again(
    here: Here, capfd: pytest.CaptureFixture[str]
) -> None:
    assert here.run('cat "$@"; exit 3') == 1
    assert here.run('cat "$@" | tac') == 0

    assert (here.ran, here.joined) == (2, "b\na\n")
    assert "results reused: 2" in capfd.readouterr().err


def test_a_tool_that_failed_puts_out_nothing(
    here: Here, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert here.run('cat "$@"; exit 3') == 1

    assert json.loads(capfd.readouterr().out) == {"all": None}
    assert "join: exit code 3" in caplog.text
    assert not (here.folder / "out" / "joined.txt").exists()


def test_without_reuse_all_tools_run(here: Here) -> None:
    assert here.run('cat "$@"') == 0
    assert here.run('cat "$@"', "--no-reuse") == 0

    assert here.ran == 4


def test_a_result_whose_file_has_changed_or_is_gone_is_made_again(here: Here) -> None:
    assert here.run('cat "$@"') == 0
    first, second = sorted((here.folder / "kept").glob("*/out/[!j]*"))
    first.write_text("z" * first.stat().st_size)
    second.unlink()

    assert here.run('cat "$@"') == 0

    assert (here.ran, here.joined) == (4, "a\nb\n")


def test_a_record_that_was_cut_is_no_result(here: Here) -> None:
    assert here.run('cat "$@"') == 0
    for one in (here.folder / "kept").glob("*/done.json"):
        one.write_text(one.read_text()[:50])

    assert here.run('cat "$@"') == 0

    assert here.ran == 4


def test_a_second_run_waits_until_the_first_has_left_the_folder(
    here: Here, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = here.folder / "kept"
    kept.mkdir()
    with (kept / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=here.run, args=('cat "$@"',), daemon=True)
        second.start()
        while "waiting for its end" not in capfd.readouterr().err:
            time.sleep(0.01)
        assert not here.log.exists()
    second.join(30.0)

    assert here.ran == 2
