"""The command line as a whole: what is said, on which stream, with which exit code."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from pilotage.central.cli import exit_codes, options
from pilotage.central.cli.main import COMMANDS, build, run, split_payload
from pilotage.central.cli.serve import _announce_start
from pilotage.central.client import errors
from pilotage.central.operate.datadir import leads_soon

from ..client.stub_central import HandPace

# A command line, its exit code, and words of the one line that is said.
LINES = [
    ("stauts", 2, "unknown command 'stauts': did you mean 'status'?"),
    ("status x", 2, "'x' is not a job id"),
    ("status --coers 3", 2, "--coers"),
    ("status 1 --state Done", 2, "either ids or a filter"),
    ("status --filter owne=me", 2, "did you mean 'owner'?"),
    ("status", 4, "pilotage serve"),
    ("status --url nowhere", 4, "not the URL of a central"),
    ("status --url http://127.0.0.1:1 --patience-s 0", 4, "no answer from http://127.0.0.1:1"),
    ("submit", 2, "a command after `--`"),
    ("submit --", 2, "there is no command"),
    ("submit absent.yaml", 2, "there is no file absent.yaml"),
    ("submit --array 3", 2, "nothing to submit"),
    ("submit --array x -- true", 2, "--array x: expected N, A-B"),
    ("submit a.yaml -- true", 2, "not both"),
    ("submit --cores many -- true", 2, "--cores"),
    ("submit --timeout-s 3 -- true", 2, "--timeout needs --wait or --follow"),
    ("submit --through-held -- true", 2, "--through-held needs --wait or --follow"),
    ("submit --need bw=-1 -- true", 2, "as in bandwidth_mbps=100: a whole number from 0 to"),
    ("prod rerun one one", 2, "the new one needs another name"),
    ("kill", 2, "give ids, or a filter and --all"),
    ("kill 1 --all", 2, "either ids or a filter"),
    ("kill --state Waiting", 2, "add --all to kill all jobs with state Waiting"),
    ("wait", 2, "no jobs to wait for"),
    ("explain", 2, "nothing to explain"),
    ("explain absent.yaml", 2, "neither a job id nor a file"),
    ("whoami -- true", 2, "only submit and explain take a command"),
    ("logs", 2, "logs needs jobs"),
    ("logs 1 --stream stdin", 2, "stdin"),
    ("pilot secret --save x", 2, "--site"),
    ("pilot secret --site PIC", 2, "--save is required: Folder for the secrets, one file"),
    ("pilot secret --site PIC --save", 2, "--save requires an argument"),
    ("pilot secret --site a/b --save tmp", 2, "--site: expected"),
    ("pilot drain", 2, "give the pilots to drain"),
    ("pilot drain p1 --all", 2, "give the pilots to drain"),
    ("pilot list --state Runing", 2, "did you mean 'Running'?"),
    (
        "submit echo hello",
        2,
        "unexpected argument 'hello' after 'submit echo': a command comes after",
    ),
    ("site list PIC", 2, "unexpected argument 'PIC' after 'site list'"),
    ("pilot start --isolation jail", 2, '"bubblewrap"'),
    ("pilot start --wall-s 10", 2, "--wall: found 10, expected more than 60 s"),
    ("pilot start --count 0", 2, "--count: expected a whole number from 1 to 1000"),
    ("token issue x --valid-s 1", 2, "--valid: expected a whole number of seconds from 60 to"),
    ("token revoke", 2, "no tokens to revoke"),
    ("admin backup copy --data absent --no-files", 3, "absent has no store.sqlite"),
    ("admin copy-store postgresql://db/x --data absent", 3, "absent has no store.sqlite"),
    ("series --step-s 30", 2, "--step-s"),
    ("series --last 0", 2, "--last"),
    ("accounts --days -1", 2, "--days"),
    ("failures --since yesterday", 2, "--since 'yesterday': expected an age, such as 30m"),
    ("serve --set nonsense", 2, "expected section.key=value"),
    ("serve --roles api,foo", 2, "--roles api,foo: 'foo' is not a role; expected some of api"),
    ("serve --port 99999", 2, "--port"),
]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home directory without a central and without credentials."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PILOTAGE_URL", "PILOTAGE_DATA", "PILOTAGE_TOKEN_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("line", "code", "said"), LINES)
def test_a_wrong_command_line_gets_one_clear_line(
    line: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == code

    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.startswith("pilotage: ")
    assert captured.err.count("\n") == 1 or "trying again" in captured.err


def test_a_job_file_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.yaml").write_text("command: [true]\nneeds:\n  memmory_mb: 5\n")

    assert run(["submit", "job.yaml"]) == 2
    assert "job.yaml:3: needs[0]: unknown key 'memmory_mb': did you mean 'memory_mb'?" in (
        capsys.readouterr().err
    )


def test_what_follows_two_dashes_is_the_jobs_own() -> None:
    assert split_payload(["submit", "--cores", "2", "--", "a", "--", "--json"]) == (
        ["submit", "--cores", "2"],
        ("a", "--", "--json"),
    )
    assert split_payload(["status"]) == (["status"], None)


def test_every_error_has_an_exit_code_that_fits() -> None:
    codes = {
        errors.Forbidden("forbidden", "no"): 3,
        errors.Unavailable("unavailable", "starting"): 3,
        errors.Unreachable("http://x", "GET /", "refused"): 4,
        errors.NoCentral("none"): 4,
        errors.TimedOut("wait", 1.0, 2): 5,
        errors.UnsafeCredentials("f", 0o644): 2,
        errors.BadJobFile("f", 1, "a", "b"): 2,
        exit_codes.UsageError("x"): 2,
    }

    assert {error: exit_codes.exit_code_of(error) for error in codes} == codes


@pytest.mark.parametrize("name", [name for name, *_ in COMMANDS])
def test_every_command_can_be_loaded_and_explained(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build()[name]
    assert run([name, "--help"]) == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "summary"])
def test_a_command_loads_only_what_it_needs(command: str) -> None:
    """What a command imports decides how long it takes; the budget is 300 ms with the request."""
    program = (
        "import sys\n"
        "from pilotage.central.cli.main import run\n"
        f"run([{command!r}, '--url', 'http://127.0.0.1:1', '--patience-s', '0'])\n"
        "heavy = ['yaml', 'uvicorn', 'aiosqlite', 'cryptography',\n"
        "         'pilotage.central.operate', 'pilotage.matcher', 'pilotage.proto.messages',\n"
        "         'pilotage.central.client.blocking', 'pilotage.central.cli.jobs.submit']\n"
        "print(*[name for name in heavy if name in sys.modules])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert found.stdout.split() == []


def test_the_public_face_loads_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import pilotage; print(*set(sys.modules) - before)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert set(found.stdout.split()) == {"__future__", "pilotage"}


def test_a_command_of_the_central_names_the_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def requires(_: str) -> list[str]:
        return ["msgspec>=0.20", "no-such-package<1,>=0.1; extra == 'central'"]

    monkeypatch.setattr("importlib.metadata.requires", requires)

    assert run(["doctor"]) == 2
    assert "doctor needs the central's packages: pip install '.[central]' in a clone" in (
        capsys.readouterr().err
    )
    assert run(["status"]) == 4
    assert run(["serve", "--help"]) == 0


def test_a_command_waits_for_one_that_leads_soon_and_for_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(options, "SOON_S", 0.5)
    said: dict[str, list[str]] = {}
    command = ["status", "--data", str(tmp_path)]
    with leads_soon(tmp_path):
        for name, given in (("soon", []), ("at once", ["--patience-s", "0"])):
            assert run(command + given) == 4
            said[name] = capsys.readouterr().err.splitlines()
    assert run(command) == 4
    said["nobody"] = capsys.readouterr().err.splitlines()

    assert said["soon"][0] == "pilotage: the central is still starting: trying again"
    assert all("is still starting" in one for one in (said["soon"][1], said["at once"][0]))
    assert [len(said["at once"]), len(said["nobody"])] == [1, 1]
    assert "start one with `pilotage serve`" in said["nobody"][0]


@pytest.mark.parametrize("name", [".", "new", "new/er"])
def test_a_central_that_starts_shows_so_before_it_has_loaded(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / name
    command = ["status", "--data", str(data), "--patience-s", "0"]
    said: list[str] = []
    with ExitStack() as whole, ExitStack() as starting:
        _announce_start(data, starting, whole)
        mode = data.stat().st_mode & 0o777
        for _ in range(2):
            assert run(command) == 4
            said.append(capsys.readouterr().err)
            starting.close()

    assert ["is still starting" in one for one in said] == [True, False]
    assert mode == 0o700
    assert list(tmp_path.iterdir()) == [], "a first start may be refused"


def test_a_start_that_is_refused_removes_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    for left in ("standby", "lock"):
        data = tmp_path / left
        data.mkdir()
        (data / left).touch()
        with ExitStack() as whole, ExitStack() as starting:
            _announce_start(data, starting, whole)

        assert (data / left).exists()


def test_a_command_looks_again_before_it_says_that_no_central_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with ExitStack() as starting:
        pace = HandPace()
        pace.on_sleep = lambda: starting.enter_context(leads_soon(tmp_path))
        monkeypatch.setattr(options, "RealPace", lambda: pace)
        assert run(["status", "--data", str(tmp_path)]) == 4
    said = capsys.readouterr().err
    slept_s = pace.now
    pace.on_sleep = lambda: None
    assert run(["status", "--data", str(tmp_path)]) == 4

    assert said.startswith("pilotage: the central is still starting: trying again\n")
    assert slept_s > 10 * (pace.now - slept_s) > 5.0


def test_patience_also_waits_for_a_central_that_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert run(["status", "--data", str(tmp_path), "--patience-s", "0.5"]) == 4
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "pilotage: no answer yet (no central runs): trying again"
    assert "start one with `pilotage serve`" in said[1]
