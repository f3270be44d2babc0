"""The wheel that a central hands out to clients, as pip fetches it and installs it."""

import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import httpx

from pilotage import __version__
from pilotage.central.app.route_assembly import face
from pilotage.central.operate.demo.local_central import local_central
from pilotage.central.operate.distribution.client_wheel import client_wheel
from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from tests.integration.http.asgi import Client
from tests.integration.http.stubs import build

ROOT = Path(__file__).resolve().parents[2]
NAME = f"pilotage-{__version__}-py3-none-any.whl"


def run(*argv: str | Path, cwd: Path) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_pip_installs_the_client_from_a_central(tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--quiet")
    with local_central(tmp_path / "data", {"bus.broker": "none"}) as central:
        run(*pip, "install", "--no-compile", f"{central.url}/client/{NAME}", cwd=tmp_path)
        found = run(tmp_path / "venv/bin/pilotage", "summary", "--data", central.data, cwd=tmp_path)
        page = f"{central.url}/client/"
        links = ("--no-index", "--no-deps", "--find-links", page)
        run(*pip, "download", *links, "--dest", tmp_path / "got", "pilotage", cwd=tmp_path)
        other = httpx.get(f"{central.url}/client/pilotage-9.9-py3-none-any.whl")

    assert found == "0 jobs\n"
    assert __version__ in run(tmp_path / "venv/bin/pilotage", "--version", cwd=tmp_path)
    assert (tmp_path / "got" / NAME).is_file()  # its hash was compared
    assert other.status_code == 404 and f"/client/{NAME}" in other.json()["message"]


def test_the_wheel_has_the_files_of_the_one_that_is_built(tmp_path: Path) -> None:
    run(
        *(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, ROOT),
        cwd=tmp_path,
    )
    pilot = pilot_bundle()
    made = client_wheel(pilot)

    assert made is not None and made.name == NAME
    built = zipfile.ZipFile(tmp_path / NAME)
    ours = zipfile.ZipFile(BytesIO(made.content))
    assert sorted(ours.namelist()) == sorted(built.namelist())
    package = [name for name in built.namelist() if name.startswith("pilotage/")]
    differ = [name for name in package if ours.read(name) != built.read(name)]
    assert differ == ["pilotage/pilot.pyz"]  # in a checkout it has bytecode
    assert ours.read("pilotage/pilot.pyz") == pilot.read_bytes()


def test_the_same_files_give_the_same_wheel() -> None:
    assert client_wheel(pilot_bundle()) == client_wheel(pilot_bundle())


async def test_a_central_that_nobody_installed_has_no_wheel() -> None:
    central = Client(face(build().services))

    for path in ("/client", f"/client/{NAME}"):
        answer = await central.ask("GET", path)
        assert answer.status == 404
        assert "has no wheel" in answer.json()["message"]
