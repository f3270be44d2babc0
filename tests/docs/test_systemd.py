"""The units: systemd finds nothing wrong with them, and they say what the code does."""

import configparser
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from pilotage.central.operate.process import FILES_BESIDE
from pilotage.central.operate.serve import END_S
from pilotage.central.settings import HttpSettings, load
from tests.tidy import tree

FOLDER: Final = tree.ROOT / "deploy" / "systemd"
SEVERAL: Final = "pilotage@.service"
UNITS: Final = sorted(path.name for path in FOLDER.glob("pilotage*.*"))


class _Unit(configparser.RawConfigParser):
    """Keys keep their case and may come several times: the last stays, which is enough here."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit(name: str) -> _Unit:
    parser = _Unit(strict=False, allow_no_value=False, delimiters=("=",), comment_prefixes=("#",))
    parser.read(FOLDER / name)
    return parser


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    """Programs and folders are those of an installation: here they are stood in for."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze")
    for each in UNITS:
        text = (FOLDER / each).read_text().replace("/opt/pilotage/bin/", f"{tmp_path}/")
        (tmp_path / each).write_text(text)
    for program in ("pilotage", "pilotage-backup", "pilotage-backup-postgresql"):
        shutil.copy("/bin/true", tmp_path / program)
    checked = subprocess.run(
        [
            analyze,
            "verify",
            "--man=no",
            "--recursive-errors=no",
            str(tmp_path / name.replace("@.", "@api.")),
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    ours = [line for line in checked.stderr.splitlines() if "pilotage" in line]

    assert not ours, ours


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_no_unit_runs_as_root_or_may_write_what_is_not_ours(name: str) -> None:
    service = unit(name)["Service"]

    assert service["User"] == "pilotage"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "true"
    assert service["CapabilityBoundingSet"] == ""
    assert all(path.startswith("/srv/pilotage") for path in service["ReadWritePaths"].split())
    assert service["UMask"] == "0077"


def test_the_unit_of_the_central_fits_its_bounds() -> None:
    service = unit("pilotage.service")["Service"]

    assert service["Type"] == "notify"
    assert int(service["TimeoutStopSec"]) > END_S
    assert int(service["WatchdogSec"]) >= 20
    assert int(service["LimitNOFILE"]) >= HttpSettings().connections_max + FILES_BESIDE
    assert service["RestartPreventExitStatus"] == "2"
    assert service["Restart"] == "always"
    assert unit("pilotage.service")["Unit"]["StartLimitIntervalSec"] == "0"


def test_one_of_several_processes_runs_as_one_alone_does() -> None:
    alone, several = (dict(unit(name)["Service"]) for name in ("pilotage.service", SEVERAL))

    assert several.pop("EnvironmentFile") == "/etc/pilotage/%i.env"
    assert several == alone


@pytest.mark.parametrize(
    ("file", "roles"), [("dispatch.env", "dispatch,agents"), ("api.env", "api")]
)
def test_what_a_process_is_told_by_its_environment_are_settings(file: str, roles: str) -> None:
    lines = (FOLDER / file).read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    settings = load(None, told)

    assert settings.process.roles == roles
    assert bool(settings.process.url) == ("dispatch" in roles)
    assert told["PGPASSFILE"] == "/etc/pilotage/pgpass"
