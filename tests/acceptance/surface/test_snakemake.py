"""Workflows of the real Snakemake run on real pilots, by the plugin as it is shipped: a wheel."""

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pilotage.proto.api.jobs import JobFilter, JobView
from pilotage.proto.job_states import JobState

from ..running import ROOT, RunningCentral, eventually, running_central

PLUGIN = ROOT / "deploy" / "snakemake"
EXAMPLE = ROOT / "examples" / "snakemake"
TOOLS = ROOT / ".venv-snakemake"
WORKFLOW_S = 300.0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, and return the folder of its modules."""
    if not (TOOLS / "ready").exists():
        pytest.skip("no Snakemake here: deploy/make-snakemake-venv makes .venv-snakemake")
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(PLUGIN))
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "modules")
    return folder / "modules"


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningCentral]:
    with running_central(tmp_path_factory.mktemp("snakemake")) as running:
        running.pilot(cores=8, memory_mb=8_000, isolation="session")  # folders lie in /dev/shm
        yield running


class Reader:
    """Somebody with a Snakefile and an account at the central."""

    def __init__(self, central: RunningCentral, wheel: Path, folder: Path) -> None:
        self.central, self.folder = central, folder
        self._wheel = wheel

    def write(self, snakefile: str) -> None:
        (self.folder / "Snakefile").write_text(snakefile)

    def environment(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.folder / "home"),
            "PATH": f"{TOOLS}/bin:{os.environ['PATH']}",
            "PILOTAGE_URL": self.central.url,
            "PILOTAGE_TOKEN_FILE": str(self.central.data / "admin.token"),
            "PYTHONPATH": str(self._wheel),
        }

    @contextmanager
    def started(self, *words: str, log: str = "log") -> Generator[subprocess.Popen[bytes]]:
        """Run Snakemake; its output goes to a file."""
        command = [str(TOOLS / "bin" / "snakemake"), "--executor", "pilotage", "--jobs", "300"]
        with (self.folder / log).open("wb") as out:
            process = subprocess.Popen(
                [*command, *words],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def run(self, *words: str, code: int = 0, log: str = "log") -> str:
        """Run Snakemake, expect the exit code, and return what it printed."""
        with self.started(*words, log=log) as process:
            found = process.wait(WORKFLOW_S)
        printed = self.printed(log)
        assert found == code, printed
        return printed

    def printed(self, log: str = "log") -> str:
        return (self.folder / log).read_text()

    def jobs(self, log: str = "log") -> list[JobView]:
        """Return the jobs of a run, in order."""
        run = re.search(r" at http.*, run (snakemake-\w+)", self.printed(log))
        if run is None:
            return []
        return list(self.central.client.search(JobFilter(submission_name=run[1])))

    def states(self, log: str = "log") -> list[JobState]:
        return [view.state for view in self.jobs(log)]


@pytest.fixture
def reader(central: RunningCentral, wheel: Path, tmp_path: Path) -> Reader:
    return Reader(central, wheel, tmp_path)


def test_the_plugin_passes_the_tests_of_snakemake(reader: Reader) -> None:
    suite = PLUGIN / "tests" / "test_plugin_suite.py"
    cases = f"--basetemp={reader.folder / 'cases'}"
    command = [str(TOOLS / "bin" / "python"), "-m", "pytest", "-p", "no:cacheprovider", cases]
    tested = subprocess.run(
        [*command, "--tb=short", str(suite)],
        cwd=reader.folder,
        env=reader.environment(),
        capture_output=True,
        text=True,
        timeout=WORKFLOW_S,
    )

    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout


TROUBLE = """
rule all:
    input: "good", "bad", "odd"
rule good:
    output: "good"
    threads: 2
    resources: mem_mb=700, disk_mb=50, runtime="2m", pilotage_site="PIC,CSCS"
    shell: "echo $PILOTAGE_CORES $SECRET {threads} > {output}"
rule bad:
    output: "bad"
    retries: 1
    shell: "echo the trouble >&2; exit 7"
rule odd:
    output: "odd"
    resources: pilotage_tags="((("
    shell: "touch {output}"
"""


def test_resources_become_needs_and_each_failure_says_why(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.write('envvars: "SECRET"\n' + TROUBLE)
    own = reader.environment()
    monkeypatch.setattr(reader, "environment", lambda: {**own, "SECRET": "sesame"})
    printed = reader.run("--keep-going", "--show-failed-logs", code=1)

    assert (reader.folder / "good").read_text() == "2 sesame 2\n"
    good, bad, again = sorted(reader.jobs(), key=lambda view: view.name.startswith("bad"))
    assert (good.state, bad.state, again.state) == (JobState.DONE, JobState.FAILED, JobState.FAILED)
    job = reader.central.client.detail(good.id).job
    assert job is not None
    (need,) = job.needs
    assert (need.cores_min, need.memory_mb, need.scratch_mb, need.wall_s) == (2, 900, 50, 120)
    assert need.sites == ("PIC", "CSCS")
    assert not any("sesame" in word for word in job.command)
    for view in (bad, again):
        assert f"pilotage job {view.id} Failed at PIC: exit code 1" in printed
        kept = reader.folder / ".snakemake" / "pilotage_logs" / f"bad-{view.id}.log"
        assert "the trouble" in kept.read_text()
    assert "the trouble" in printed
    assert "tags '((('" in printed


STUCK = """
rule all:
    input: "lost", "stopped"
rule lost:
    output: "lost"
    resources: pilotage_site="NOWHERE"
    shell: "touch {output}"
rule stopped:
    output: "stopped"
    resources: pilotage_site="NOWHERE"
    shell: "touch {output}"
"""


def test_a_job_that_the_central_gave_up_fails_and_one_that_a_person_holds_waits(
    reader: Reader,
) -> None:
    reader.write(STUCK)
    client = reader.central.client
    with reader.started("--keep-going") as process:
        eventually(lambda: reader.states() == [JobState.WAITING] * 2)
        ids = {view.name.split("-")[0]: view.id for view in reader.jobs()}
        client.hold([ids["stopped"]], reason="look at it first")
        eventually(lambda: f"{ids['stopped']} is Held (look at it first)" in reader.printed())
        client.hold([ids["lost"]], reason="lost_too_often: 5 attempts were lost")
        eventually(lambda: "Error in rule lost" in reader.printed())
        assert client.job(ids["lost"]).state() is JobState.KILLED
        assert process.poll() is None
        client.kill([ids["stopped"]], reason="enough")
        assert process.wait(WORKFLOW_S) == 1

    assert f"pilotage job {ids['stopped']} Killed" in reader.printed()


WAITS = """
rule all:
    input: "second"
rule first:
    output: "first"
    shell: "touch begun; while ! test -e go; do sleep 0.1; done; touch {output}"
localrules: between
rule between:
    input: "first"
    output: "between"
    shell: "touch between_begun; while ! test -e gone; do sleep 0.1; done; touch {output}"
rule second:
    input: "between"
    output: "second"
    shell: "touch {output}"
"""


def test_ctrl_c_kills_the_jobs(reader: Reader) -> None:
    reader.write(WAITS)
    with reader.started() as process:
        eventually((reader.folder / "begun").exists)
        process.send_signal(signal.SIGINT)
        process.wait(WORKFLOW_S)

    eventually(lambda: reader.states() == [JobState.KILLED])
    assert process.returncode == 1, reader.printed()


def test_leftover_jobs_are_killed_and_an_outage_of_the_central_is_survived(reader: Reader) -> None:
    reader.write(WAITS)
    with reader.started() as process:
        eventually((reader.folder / "begun").exists)
        process.kill()
    with reader.started("--nolock", log="again") as process:
        eventually(lambda: reader.states("again") == [JobState.RUNNING])
        assert reader.states() == [JobState.KILLED]
        (reader.folder / "go").touch()
        eventually((reader.folder / "between_begun").exists)
        reader.central.kill9()
        (reader.folder / "gone").touch()  # the second job is submitted without a central
        eventually(lambda: "Snakemake waits; submitted jobs continue" in reader.printed("again"))
        reader.central.restart()
        assert process.wait(WORKFLOW_S) == 0, reader.printed("again")

    assert "the central answers again" in reader.printed("again")
    assert reader.states("again") == [JobState.DONE] * 2
    assert not list((reader.folder / ".snakemake" / "pilotage_runs").iterdir())


# Long commands, as of large groups, are sent as a file: here all of them.
UNSHARED = """
import snakemake_executor_plugin_pilotage as plugin
plugin.WORD_BYTES_MAX = 100
configfile: "config.yaml"
rule all:
    input: "words"
rule make:
    output: "text"
    shell: "pwd > here; echo {config[text]} > {output}"
rule count:
    input: "text"
    output: "words"
    shell: "wc -w < {input} > {output}"
"""


def test_files_go_through_a_storage_without_a_shared_file_system(reader: Reader) -> None:
    reader.write(UNSHARED)
    (reader.folder / "config.yaml").write_text("text: to be or not to be\n")
    store = reader.folder / "store"
    store.mkdir()
    reader.run(
        *("--default-storage-provider", "fs", "--default-storage-prefix", str(store)),
        *("--shared-fs-usage", "none", "--pilotage-software", str(TOOLS)),
    )

    assert (store / "words").read_text().strip() == "6"
    assert not (reader.folder / "here").exists()
    assert reader.states() == [JobState.DONE] * 2
    detail = reader.central.client.detail(reader.jobs()[0].id)
    assert detail.job is not None
    assert detail.job.command == ("sh", "snakemake.sh")


GROUPS = ("--groups", "simulate=runs", "merge=parts", "--group-components", "runs=45", "parts=18")


@pytest.mark.parametrize(
    ("words", "pilotage_jobs"),
    [((*GROUPS, "--cores", "1"), 7), pytest.param((), 200, marks=pytest.mark.long)],
    ids=["grouped", "one by one"],
)
def test_the_example_runs_its_200_jobs(
    words: tuple[str, ...], pilotage_jobs: int, reader: Reader
) -> None:
    reader.write((EXAMPLE / "Snakefile").read_text())
    printed = reader.run(*words)

    assert "201 of 201 steps (100%) done" in printed  # with `all`, which runs nothing
    assert reader.states() == [JobState.DONE] * pilotage_jobs
    error = float((reader.folder / "error.txt").read_text())
    assert 0 < error < 0.01
    assert abs(float((reader.folder / "pi.txt").read_text()) - 3.14159) < 5 * error
