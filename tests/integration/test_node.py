"""A pilot as a process in a job of a batch system that is played by a script, and `detect`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.pilot.neighbours import own_name
from pilotage.proto.messages import Offer
from tests.nodes import recorded
from tests.scripted_central import Central

from .interpreters import fit_minors
from .test_pilot_process import pilot, served, until

SQUEUE = '#!/bin/sh\ncat "$(dirname "$0")/said"\n'


def detect(python: str, *options: str) -> dict[str, dict[str, object]]:
    done = subprocess.run(
        [python, "-W", "error", "-I", "-S", pilot_bundle(), "detect", "--json", *options],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, dict[str, object]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("python", fit_minors())
def test_every_python_finds_the_same_on_this_machine(python: str) -> None:
    found = detect(python, "--benchmark-s", "0.01")

    same = ("os", "architecture", "architecture_level", "glibc", "cpu_model", "cores", "gpus")
    ours = detect(sys.executable, "--benchmark-s", "0")
    assert [found[name] for name in same] == [ours[name] for name in same]
    assert found["cores"]["value"] in range(1, (os.cpu_count() or 1) + 1)
    assert found["benchmark"]["source"] == "measured (pilotage-1)"


def test_another_node_is_looked_at_below_a_root(tmp_path: Path) -> None:
    recorded.load("kubernetes-pod").surroundings(tmp_path)

    found = detect(sys.executable, "--root", str(tmp_path), "--benchmark-s", "0")

    assert found["os"]["value"] == "el9"
    assert found["cores"] == {
        "value": 4,
        "source": "/sys/fs/cgroup/cpu.max",
        "notes": [
            "affinity (/proc/self/status) says 64",
            "/sys/fs/cgroup/cpuset.cpus.effective says 64",
        ],
    }


def test_a_pilot_offers_what_its_batch_job_has_and_follows_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/squeue").write_text(SQUEUE)
    (tmp_path / "bin/squeue").chmod(0o755)
    said = tmp_path / "bin/said"
    said.write_text("4711|1:00:00|1:00:00\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1000")
    central = Central()
    options = ("--time-look-s", "0.2", "--scratch-mb", "7", "--hs23-per-score", "10")

    def offers() -> list[Offer]:
        return [turn.ask.offer for turn in central.turns if turn.ask is not None]

    with served(central) as url, pilot(url, tmp_path, *options):
        until(lambda: bool(offers()))
        first = offers()[0]
        said.write_text("4711|10:00|1:00:00\n")
        until(lambda: offers()[-1].wall_left_s < 600)

    node = central.registers[0].node
    assert node is not None and node.benchmark is not None
    assert (node.batch_system, node.batch_id) == ("slurm", "4711")
    assert node.hs23_per_core == round(10 * node.benchmark.score, 3)
    assert (first.cores, first.memory_mb, first.scratch_free_mb) == (1, 1048, 7)
    assert 3400 < first.wall_left_s <= 3540  # without the margin of a minute
    assert 500 < offers()[-1].wall_left_s <= 540


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize(("mode", "place"), [(0o700, "job"), (0o777, "here")])
def test_what_a_pilot_keeps_lies_in_the_jobs_own_folder_or_where_it_was_started(
    mode: int, place: str, is_old: bool, tmp_path: Path
) -> None:
    for name in ("job", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "job").chmod(mode)
    expected = tmp_path / place / own_name() / "pilot-state"
    if is_old:  # release 0.1 has been here: its state is used further
        expected = tmp_path / place / "pilot-state"
        expected.mkdir(mode=0o700)
    argv = [sys.executable, "-I", "-S", str(pilot_bundle()), "run", "--benchmark-s", "0"]
    secret = tmp_path / "secret"
    secret.write_text("not asked for")
    secret.chmod(0o600)
    argv += ["--central", "http://127.0.0.1:1", "--unanswered-s", "0.1"]  # nobody listens there
    argv += ["--secret-file", str(secret)]

    code = subprocess.call(
        argv,
        cwd=tmp_path / "here",
        env={**os.environ, "_CONDOR_SCRATCH_DIR": str(tmp_path / "job")},
        stderr=subprocess.DEVNULL,
        timeout=60,
    )

    assert (code, [*tmp_path.rglob("pilot-state")]) == (15, [expected])
    assert (expected / "lock").exists()
