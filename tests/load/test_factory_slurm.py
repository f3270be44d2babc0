"""The factory on a real Slurm, a little of it; the figures need a quiet machine."""

import os

import pytest

from tests.bench.factory_slurm import Scale, measure

SMALL = Scale(starts=1, jobs=20)
NAMES = {
    "idle Slurm, sbatch to start",
    "idle Slurm, start to first payload",
    "idle Slurm, job to first payload",
    "idle Slurm, job to first payload, longest",
    "20 jobs of 1 s by pilots",
    "20 jobs of 1 s by sbatch",
    "20 jobs of 1 s as an array",
    "by pilots, of the time by sbatch",
}


@pytest.mark.long
def test_each_figure_is_measured() -> None:
    found = {one.name: one.value for one in measure(SMALL)}

    assert set(found) == NAMES
    assert all(value > 0 for value in found.values())
    assert found["20 jobs of 1 s by pilots"] >= 1.0
    assert found["20 jobs of 1 s by sbatch"] >= 1.0


def test_without_slurm_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr("tests.services.slurm.PROGRAMS", ("no-such-slurmctld",))

    assert measure(SMALL) == []
    assert "no-such-slurmctld" in capsys.readouterr().err
