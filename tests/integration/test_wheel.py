"""What people install: the wheel, built from the sdist, in an environment that has nothing else."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pilotage import __version__
from pilotage.central.operate.demo.local_central import local_central

from .interpreters import python_3_10

ROOT = Path(__file__).resolve().parents[2]

IMPORT_EVERYTHING = """
import importlib, pkgutil, pilotage
for module in pkgutil.walk_packages(pilotage.__path__, "pilotage."):
    if module.name.startswith(("pilotage.central.cwl.", "pilotage.central.cli.cwl.")):
        continue  # they need the extra `cwl`
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
for name in pilotage.__all__:
    getattr(pilotage, name)
"""


IMPORT_THE_CLIENT = """
import importlib, pkgutil, re, pilotage
from importlib.metadata import requires
import pilotage.central.cli, pilotage.central.client, pilotage.central.workflows, pilotage.proto
for room in (
    pilotage.central.cli, pilotage.central.client, pilotage.central.workflows, pilotage.proto
):
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        if not module.name.endswith("__main__") and ".cli.cwl." not in module.name:
            importlib.import_module(module.name)
for name in (  # that commands load late
    "catalogue.storages", "failover.decisions", "failover.workflow_rules", "operate.datadir",
    "operate.local_pilots", "transformations.task_jobs", "transformations.groupings.rule_names",
    "transformations.groupings.side_inputs",
):
    importlib.import_module(f"pilotage.central.{name}")
for name in pilotage.__all__:
    getattr(pilotage, name)
print(*sorted(re.split("[<>=]", one)[0] for one in requires("pilotage") if "extra" not in one))
"""


def run(*argv: str | Path, cwd: Path) -> str:
    """Run a command without what this environment would add to it, and return its output."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    done = subprocess.run(
        argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def ended(*argv: str | Path) -> tuple[int, str]:
    """Run a command and return its exit code, and what it writes to standard error."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def bin_with(requirement: str, interpreter: str, home: Path) -> Path:
    """Install into a new environment of an interpreter, and return its bin folder."""
    run(interpreter, "-m", "venv", "--without-pip", home / "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
        *("--no-compile", requirement),  # few of its modules are imported
        cwd=home,
    )
    return python.parent


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", out, ROOT, cwd=out)
    (archive,) = out.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist as a folder: a checkout without links, as a zip archive or Windows gives one."""
    out = tmp_path_factory.mktemp("unpacked")
    run("tar", "-xzf", sdist, "--strip-components=1", cwd=out)
    return out


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", out, unpacked),
        cwd=out,
    )
    (archive,) = out.glob("*.whl")
    return archive


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel and what it depends on."""
    return bin_with(f"{wheel}[postgresql]", sys.executable, tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def client_alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel without any extra."""
    return bin_with(str(wheel), sys.executable, tmp_path_factory.mktemp("client"))


def test_the_source_archive_holds_no_links(unpacked: Path) -> None:
    assert not [path for path in unpacked.rglob("*") if path.is_symlink()]
    assert (unpacked / "central" / "__init__.py").is_file()


def test_the_wheel_installs_one_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names} == {
        "pilotage",
        f"pilotage-{__version__}.dist-info",
    }
    assert {"pilotage/pilot.pyz", "pilotage/pilot.sh"} <= set(names)
    assert "pilotage/py.typed" in names


def test_the_wheel_carries_every_file_of_the_rooms(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"pilotage/{path.relative_to(ROOT).as_posix()}"
        for room in ("central", "matcher", "pilot", "proto")
        for path in (ROOT / room).rglob("*")
        if path.suffix in (".py", ".sql", ".json", ".csv", ".yaml")
    }

    assert expected <= names


def test_every_module_is_imported_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    imported = run(installed / "python", "-I", "-c", IMPORT_EVERYTHING, cwd=tmp_path).split()

    assert {"pilotage.matcher.matcher", "pilotage.pilot", "pilotage.proto.wire"} <= set(imported)


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    assert __version__ in run(installed / "pilotage", "--version", cwd=tmp_path)


def test_the_wheel_alone_brings_what_the_client_needs(client_alone: Path, tmp_path: Path) -> None:
    brought = run(client_alone / "python", "-I", "-c", IMPORT_THE_CLIENT, cwd=tmp_path).split()

    assert brought == ["cyclopts", "httpx", "msgspec", "pyyaml", "rich"]


@pytest.mark.skipif(python_3_10() is None, reason="no Python 3.10 here")
def test_the_client_runs_on_python_3_10(wheel: Path, tmp_path: Path) -> None:
    home = bin_with(str(wheel), str(python_3_10()), tmp_path)
    run(home / "python", "-I", "-c", IMPORT_THE_CLIENT, cwd=tmp_path)
    (tmp_path / "in.txt").write_text("content")
    with local_central(tmp_path / "data", {"bus.broker": "none"}) as central:
        at = ("--data", central.data)
        submit = ("submit", *at, "--input", tmp_path / "in.txt", "--", "cat", "in.txt")

        assert __version__ in run(home / "pilotage", "--version", cwd=tmp_path)
        assert "job 1" in run(home / "pilotage", *submit, cwd=tmp_path)
        assert "1 Waiting" in run(home / "pilotage", "summary", *at, cwd=tmp_path)
        assert ended(home / "pilotage", "failures", "--since", "2026-11-25T18:00Z", *at)[0] == 0
        assert ended(home / "pilotage", "wait", "1", "--timeout-s", "0.1", *at) == (
            5,
            "pilotage: wait: 1 not finished after 0.1 s\n",
        )
    assert ended(home / "pilotage", "serve")[0] == 2
    assert "needs Python 3.11 or newer; this is Python 3.10" in ended(home / "pilotage", "serve")[1]


def test_a_command_of_the_client_loads_few_modules(client_alone: Path, tmp_path: Path) -> None:
    """It loads 510, in 0.25 s of CPU time. rich is for terminals, help and errors."""
    code = (
        "import sys\n"
        "from pilotage.central.cli.main import run\n"
        "run(['summary', '--url', 'http://127.0.0.1:1', '--patience-s', '0'])\n"
        "print(len(sys.modules), 'rich' in sys.modules)\n"
    )
    loaded, with_rich = run(client_alone / "python", "-I", "-c", code, cwd=tmp_path).split()

    assert int(loaded) < 540
    assert with_rich == "False"


@pytest.mark.parametrize("command", ["serve", "demo", "doctor", "admin backup x"])
def test_a_command_of_the_central_names_the_extra_that_is_missing(
    command: str, client_alone: Path
) -> None:
    needs = f"pilotage {command.split()[0]} needs the central's packages"

    assert ended(client_alone / "pilotage", *command.split()) == (
        2,
        f"pilotage: {needs}: pip install '.[central]' in a clone\n",
    )


def test_an_installed_central_hands_out_the_wheel_that_it_came_from(
    installed: Path, wheel: Path, tmp_path: Path
) -> None:
    code = (
        "from pathlib import Path; "
        "from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle; "
        "from pilotage.central.operate.distribution.client_wheel import client_wheel; "
        "made = client_wheel(pilot_bundle()); Path(made.name).write_bytes(made.content)"
    )
    run(installed / "python", "-I", "-c", code, cwd=tmp_path)
    made, built = zipfile.ZipFile(tmp_path / wheel.name), zipfile.ZipFile(wheel)

    assert sorted(made.namelist()) == sorted(built.namelist())
    differ = [name for name in made.namelist() if made.read(name) != built.read(name)]
    assert {name.rpartition("/")[2] for name in differ} <= {"WHEEL", "RECORD"}


def test_an_installed_pilotage_says_where_benchmarks_run(installed: Path) -> None:
    assert ended(installed / "pilotage", "bench", "noop") == (
        2,
        "pilotage: benchmarks run from a checkout: clone pilotage, then `make bench`\n",
    )


def test_the_pilot_of_the_wheel_runs_on_a_bare_interpreter(installed: Path, tmp_path: Path) -> None:
    room = "pilotage.central.operate.distribution"
    code = f"from {room}.pilot_bundle import pilot_bundle; print(pilot_bundle())"
    pyz = run(installed / "python", "-I", "-c", code, cwd=tmp_path).strip()

    assert Path(pyz).parent.name == "pilotage"
    assert __version__ in run(sys.executable, "-I", "-S", pyz, "--version", cwd=tmp_path)


def test_the_same_sources_give_the_same_pilot(unpacked: Path, wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, unpacked / "deploy/pilot/bundle.py", tmp_path / "again.pyz", cwd=tmp_path)
    shipped = zipfile.ZipFile(wheel).read("pilotage/pilot.pyz")
    again = (tmp_path / "again.pyz").read_bytes()

    assert hashlib.sha256(again).hexdigest() == hashlib.sha256(shipped).hexdigest()
