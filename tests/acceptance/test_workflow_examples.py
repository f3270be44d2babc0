"""The workflows of examples/, on this machine: what they promise comes out."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from .running import ROOT

EXAMPLES = ROOT / "examples"
PROD6 = EXAMPLES / "prod6" / "prod6.yaml"
# steps, tasks of each and files, as the table of prod6 has them, for 250 runs
TABLE = {
    "simulate": (4, 1000),
    "dl1": (7, 201),
    "dl2": (7, 201),
    "merge1": (7, 81),
    "merge2": (7, 7),
    "merge3": (7, 7),
    "train": (2, 2),
    "apply": (6, 6),
    "irf": (1, 1),
}


def prod(*words: str | Path, tools: Path | None = None, timeout_s: float = 120.0) -> str:
    """Type a command and return what it printed; it must end well."""
    # Ours comes first: pyenv's `python3` is a script of bash that takes longer than a task.
    path = f"{sys.base_prefix}/bin:{os.environ['PATH']}"
    path = path if tools is None else f"{tools}:{path}"
    done = subprocess.run(
        [sys.executable, "-m", "pilotage.central.cli", "prod", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Made(msgspec.Struct):
    """A file in the record of a run."""

    path: str
    step: str
    port: str
    task: int
    metadata: dict[str, Any]
    made_of: list[str]


class Record(msgspec.Struct):
    """What the JSON of a run says."""

    complete: bool
    steps: dict[str, dict[str, Any]]
    files: list[Made]
    values: dict[str, dict[str, list[Any]]]


def run_here(file: Path, folder: Path, *words: str, **how: Any) -> Record:
    """Run a workflow on this machine."""
    said = prod("submit", file, "--local", "--folder", folder, "--json", *words, **how)
    return msgspec.json.decode(said, type=Record)


def test_prod6_has_48_transformations_of_about_1500_jobs() -> None:
    said = msgspec.json.decode(prod("submit", PROD6, "--dry-run", "--json"))

    steps, tasks = Counter[str](), Counter[str]()
    for one in said["steps"]:
        kind = one["step"].split("-")[0]
        steps[kind] += 1
        tasks[kind] += one["tasks"]["count"]
    assert {kind: (steps[kind], tasks[kind]) for kind in steps} == TABLE
    assert len(said["transformations"]) == 48
    assert said["obstacles"] == []
    for name, document in said["transformations"].items():
        parents = {one["from"].removeprefix("prod6-") for one in document.get("inputs", ())}
        assert parents < set(said["transformations"]), name


def test_prod6_runs_here_and_uses_each_file_once(tmp_path: Path) -> None:
    record = run_here(PROD6, tmp_path / "run", "--set", "runs=2")

    assert record.complete
    assert len(record.steps) == 48
    assert all(one["done"] and not one["failed"] for one in record.steps.values())
    raw = [one for one in record.files if one.port == "r1"]
    assert len(raw) == 16
    used = {(file.step, file.task, of) for file in record.files for of in file.made_of}
    tasks_of = Counter(of for step, _, of in used if step.startswith("dl1-"))
    assert tasks_of == Counter(one.path for one in raw)
    # The last file tells which simulated ones are in it: all that test, each once.
    (irf,) = [one for one in record.files if one.step == "irf"]
    tests = [one.path.split("/")[-1] for one in raw if one.metadata["split"] == "test"]
    assert sorted((tmp_path / "run" / irf.path).read_text().split()) == sorted(tests)
    assert record.values["irf"]["files"] == [{"files": len(tests)}]
    assert irf.metadata["MCCampaign"] == "PROD6" and irf.metadata["split"] == "test"
    assert not {"nsb", "particle"} & set(irf.metadata)  # they differ in what it was made of


WORKFLOWS = sorted(
    file for file in EXAMPLES.rglob("*.yaml") if "\nworkflow:" in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_each_workflow_of_the_examples_is_right(file: Path) -> None:
    assert "no mistakes" in prod("check", file)


@pytest.mark.long
def test_twelve_runs_go_through_ctapipe_into_one_file(tmp_path: Path) -> None:
    tools = ROOT / ".venv-ctapipe" / "bin"
    if not (tools.parent / "ready").exists():
        pytest.skip("no ctapipe here: deploy/make-ctapipe-venv makes .venv-ctapipe")

    record = run_here(EXAMPLES / "ctapipe_chain.yaml", tmp_path / "run", tools=tools, timeout_s=900)

    assert {name: one["done"] for name, one in record.steps.items()} == {
        "simulate": 12,
        "dl1": 3,
        "dl2": 3,
        "merge": 1,
        "report": 1,
    }
    (report,) = record.values["report"]["report"]
    assert sorted(report["observations"]) == list(range(1, 13))
    assert len(report["showers"]) == 12
    for shower in report["showers"]:
        assert abs(shower["found_deg"][0] - shower["true_deg"][0]) < 1.0


@pytest.mark.parametrize("runs", [2, pytest.param(8, marks=pytest.mark.long)])
def test_the_mass_of_the_z_comes_out(runs: int, tmp_path: Path) -> None:
    tools = ROOT / ".venv-zpeak" / "bin"
    if not (tools.parent / "ready").exists():
        pytest.skip("no Pythia here: deploy/make-zpeak-venv makes .venv-zpeak")
    words = ("--set", f"runs={runs}")
    record = run_here(EXAMPLES / "zpeak" / "zpeak.yaml", tmp_path / "run", *words, tools=tools)

    (fit,) = record.values["fit"]["fit"]
    assert record.steps["generate"]["done"] == runs
    assert fit["pairs"] > 50 * runs
    assert 0.05 < fit["error_gev"] < 0.4
    print(fit)
    assert abs(fit["mass_gev"] - 91.19) < 3 * fit["error_gev"]
    assert fit["jets_per_event"] > 0.05
