"""A run that goes on does only what was not done, or what has changed."""

import random
from pathlib import Path

import pytest

from pilotage.central.workflows.earlier_runs import claimed
from pilotage.central.workflows.errors import RunRefused
from pilotage.proto.documents.workflow import Workflow

from .written_here import run_here, workflow

FLOW = """
    workflow: flow
    software: {tool: "1"}
    steps:
      make:
        tasks: 6
        files: [make.sh]
        job: {command: [sh, make.sh, "{task}"]}
        outputs: {o: out}
      pair:
        inputs: {i: make.o}
        grouping: 2
        job: {command: [sh, -c, 'echo pair >> "$LOG"; cat "$@" > pair-{task}', sh, "{i}"]}
        outputs: {o: "pair-*"}
      value:
        inputs: {i: pair.o}
        gather: i
        job: {command: [sh, -c, 'echo value >> "$LOG"; cat "$@" | wc -l > v', sh, "{i}"]}
        outputs: {v: {value: v, type: integer}}
      last:
        inputs: {i: pair.o, v: value.v}
        grouping: all
        job: {command: [sh, -c, 'echo last >> "$LOG"; cat "$@" > all; test {v} = 6', sh, "{i}"]}
        outputs: {all: all}
"""


class Runs:
    """Runs of a workflow in one folder, which note what they have done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tool("echo make >> $LOG; echo $1 > out")

    def tool(self, script: str) -> None:
        (self.folder / "make.sh").write_text(script)

    def definition(self, text: str = FLOW) -> Workflow:
        return workflow(self.folder, text.replace("$LOG", str(self.folder / "log")))

    def run(self, text: str = FLOW) -> tuple[bool, dict[str, int], int]:
        """Go on; say whether it came to its end, what was run, and how much was done before."""
        script = self.folder / "make.sh"
        script.write_text(script.read_text().replace("$LOG", str(self.folder / "log")))
        log = self.folder / "log"
        log.write_text("")
        outcome = run_here(self.definition(text), self.folder, resume=True)
        said = log.read_text().split()
        return outcome.complete, {word: said.count(word) for word in set(said)}, outcome.reused

    def all(self) -> list[str]:
        return sorted((self.folder / "run/last/1/all").read_text().split())


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


EVERY = {"make": 6, "pair": 3, "value": 1, "last": 1}


def test_what_was_done_is_not_done_again(runs: Runs) -> None:
    broken = FLOW.replace("test {v} = 6", "test {v} = 7")

    assert runs.run(broken) == (False, EVERY, 0)
    assert runs.run() == (True, {"last": 1}, 10)
    assert runs.run() == (True, {}, 11)
    assert runs.all() == ["1", "2", "3", "4", "5", "6"]


def test_files_fall_into_the_groups_in_which_they_were(runs: Runs) -> None:
    chance = random.Random(5)
    waits = " ".join(f"{n}) sleep 0.{chance.randint(0, 9)};;" for n in range(1, 7))
    runs.tool(f"echo make >> $LOG; case $1 in {waits} esac; echo $1 > out")

    assert runs.run(FLOW.replace("test {v} = 6", "exit 1")) == (False, EVERY, 0)
    before = [(runs.folder / f"run/pair/{n}/pair-{n}").read_text() for n in (1, 2, 3)]
    assert runs.run() == (True, {"last": 1}, 10)
    assert [(runs.folder / f"run/pair/{n}/pair-{n}").read_text() for n in (1, 2, 3)] == before


def test_what_has_changed_runs_anew_with_all_that_hangs_on_it(runs: Runs) -> None:
    assert runs.run() == (True, EVERY, 0)
    assert runs.run(FLOW.replace("echo pair >>", "echo  pair >>"))[1:] == (
        {"pair": 3, "value": 1, "last": 1}, 6,
    )  # fmt: skip
    runs.tool("echo make >> $LOG; echo 1$1 > out")
    assert runs.run() == (True, EVERY, 0)
    assert runs.all() == ["11", "12", "13", "14", "15", "16"]
    assert runs.run(FLOW.replace('tool: "1"', 'tool: "2"')) == (True, EVERY, 0)
    assert runs.run(FLOW.replace('tool: "1"', 'tool: "2"'))[1] == {}


def test_more_tasks_keep_what_there_is(runs: Runs) -> None:
    assert runs.run(FLOW.replace("tasks: 6", "tasks: 4").replace("= 6", "= 4"))[0]

    assert runs.run() == (True, {"make": 2, "pair": 1, "value": 1, "last": 1}, 6)
    assert runs.all() == ["1", "2", "3", "4", "5", "6"]


def test_what_is_not_there_any_more_or_does_not_read_is_done_again(runs: Runs) -> None:
    assert runs.run() == (True, EVERY, 0)
    (runs.folder / "run/make/3/out").unlink()
    (runs.folder / "run/pair/2.done").write_text("{")

    complete, done, _ = runs.run()

    assert complete
    assert done["make"] == 1
    assert 1 <= done["pair"] <= 3  # the late file falls into another group
    assert runs.all() == ["1", "2", "3", "4", "5", "6"]


def refused(folder: Path, name: str, *, resume: bool) -> str:
    """Return why a folder cannot be had for a run."""
    with pytest.raises(RunRefused) as caught, claimed(folder, name, resume=resume):
        pass
    return str(caught.value)


def test_a_folder_belongs_to_one_run_of_one_workflow(tmp_path: Path) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine"
    with claimed(run, "one", resume=False):
        assert "another run uses it" in refused(run, "one", resume=True)
    mine.mkdir()
    (mine / "thesis").touch()

    assert "is not empty" in refused(run, "one", resume=False)
    assert "is a run of one, not a run of other" in refused(run, "other", resume=True)
    assert "is no folder of a run" in refused(mine, "one", resume=True)
    with claimed(run, "one", resume=True):
        pass
