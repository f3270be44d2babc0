"""cta_job.sh: the software of a version, the programs of a job, and the metadata of its files."""

import json
import subprocess
from pathlib import Path

import pytest

from pilotage.central.workflows.cta_types import OWN

FAILED = "it failed without a word"
SCRIPT = OWN.with_name("cta_job.sh")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Return the folder of a job; the folder of the software is beside it."""
    for compiler in ("gcc48_default", "gcc83_noOpt"):
        place = tmp_path / "software" / compiler / "stage1" / "tool" / "v1"
        place.mkdir(parents=True)
        for name, text in PROGRAMS.items():
            (place / name).write_text(f"#!/bin/bash\nset -e\n{text}\n")
            (place / name).chmod(0o755)
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


# stand-ins for the programs of a version
PROGRAMS = {
    "dirac_run": 'mkdir -p Data; for one in "$@"; do echo "$one" > "$one"; done',
    "dirac_simtel_check": 'echo "$1" >> checked; ls $1 > /dev/null',
    "dirac_check": "test -f Data/good",
    "dirac_list": "mkdir Data; ls > Data/run000017___cta-names.h5",
}  # fmt: skip


def run(job: Path, *words: str, compiler: str = "gcc48_default", **environment: str) -> str:
    """Run a job and return its errors; empty: it is done."""
    found = subprocess.run(
        ["bash", SCRIPT, "tool", "v1", "stage1", compiler, *words],
        cwd=job,
        env={
            "PATH": "/usr/bin:/bin",
            "PILOTAGE_SOFTWARE": str(job.parent / "software"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return (found.stderr or FAILED) if found.returncode else ""


def metadata(job: Path) -> dict[str, dict[str, str | int]]:
    """Return the metadata of all files that have some."""
    return {
        str(path.relative_to(job)).removesuffix(".meta.json"): json.loads(path.read_bytes())
        for path in job.rglob("*.meta.json")
    }


def test_inputs_and_models_lie_beside_the_programs_of_the_version(job: Path) -> None:
    for port, name in (("files", "a.simtel.zst"), ("energy_model", "energy_model.pkl")):
        (job / port).mkdir()
        (job / port / name).touch()

    assert run(job, "./dirac_list") == ""
    names = (job / "Data" / "run000017___cta-names.h5").read_text().split()

    assert {"a.simtel.zst", "energy_model.pkl", "dirac_run", "setup_script_path.txt"} <= set(names)
    assert not {"files", "energy_model"} & set(names)
    script = (job / "setup_script_path.txt").read_text()
    assert script.endswith("/software/gcc48_default/stage1/tool/v1/setupPackage.sh\n")
    assert metadata(job) == {"Data/run000017___cta-names.h5": {"runNumber": 17}}


def test_files_of_each_condition_are_checked_and_get_its_metadata(job: Path) -> None:
    made = [
        f"Data/a_run000101___cta-x-div{angle}_y-{word}.{end}"
        for angle in ("0.0121", "0.046")
        for word in ("dark", "moon")
        for end in ("simtel.zst", "log_hist.tar")
    ]
    conditions = {"CTA_MOON": "dark half", "CTA_DIV_ANG": "0.0121 0.046"}

    assert run(job, "./dirac_run", *made, **conditions) == ""
    found = metadata(job)

    assert set(found) == set(made)
    assert found["Data/a_run000101___cta-x-div0.046_y-moon.simtel.zst"] == {
        "nsb": 5,
        "div_ang": "0.046",
        "runNumber": 101,
    }
    assert len((job / "checked").read_text().splitlines()) == 4


def test_a_condition_without_files_fails_the_job(job: Path) -> None:
    made = "Data/a_run1___cta-x-y-dark.simtel.zst"

    assert run(job, "./dirac_run", made, CTA_MOON="dark full") != ""


def test_showers_get_the_condition_too(job: Path) -> None:
    made = "Data/run000007_proton.corsika.zst"

    assert run(job, "./dirac_run", made, CTA_MOON="dark") == ""
    assert metadata(job) == {made: {"nsb": 1, "runNumber": 7}}
    assert (job / "checked").read_text() == "Data/*.corsika.zst\n"


@pytest.mark.parametrize(("made", "is_good"), [("Data/good", True), ("Data/bad", False)])
def test_the_check_of_a_type_comes_after_its_program(job: Path, made: str, is_good: bool) -> None:
    assert run(job, "./dirac_run", made, CTA_CHECK="./dirac_check") == ("" if is_good else FAILED)


def test_files_of_simpipe_get_their_model(job: Path) -> None:
    made = ["Data/x_run000003_6.1.0_y.simtel.zst", "Data/x_run000003_6.2.0_y.hdata.zst"]
    models = {"CTA_FOLDER": "Data", "CTA_MODEL_VERSIONS": "6.1.0 6.2.0"}

    assert run(job, "./dirac_run", *made, **models) == ""
    assert metadata(job) == {
        made[0]: {"model_version": "6.1.0", "runNumber": 3},
        made[1]: {"model_version": "6.2.0", "runNumber": 3},
    }


def test_a_job_grid_tells_the_metadata_at_run_time(job: Path) -> None:
    (job / "Data").mkdir()
    (job / "Data" / "simulate_prod_job_metadata.yml").write_text(
        "first: 1\ncatalog_metadata:\n  phiP: 180.5\n  site: 'LaPalma'\n"
        "  model_version: 6.2\n  runNumber: 9\nlast: {a: b}\n"
    )
    made = "Data/x_run000009_y.simtel.zst"

    assert run(job, "./dirac_run", made, CTA_FOLDER="Data", CTA_MODEL_VERSIONS="") == ""
    assert metadata(job)[made] == {
        "phiP": 180.5,
        "site": "LaPalma",
        "model_version": "6.2",
        "runNumber": 9,
    }


def test_a_compiler_for_the_processor_falls_back(job: Path) -> None:
    assert run(job, "./dirac_list", compiler="gcc83_matchcpu") == ""
    assert "gcc83_noOpt" in (job / "setup_script_path.txt").read_text()


def test_a_missing_version_is_named(job: Path) -> None:
    said = run(job, "./dirac_list", compiler="gcc99_default")

    assert said.startswith("no tool v1 in ")
    assert "gcc99_default" in said
