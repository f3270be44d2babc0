"""What `doctor` says where pilots afar would look for the central on their own node."""

from pathlib import Path

import pytest

from pilotage.central.operate.doctor.reach_checks import reach
from pilotage.central.settings import HttpSettings, Settings

SLURM = "{kind: slurm, options: {folder: /shared}}"
NAMED = HttpSettings(host="0.0.0.0", url="https://central.example.org:8470")


def said(data: Path, element: str, http: HttpSettings, url: str = "") -> list[str]:
    folder = data / "sites"
    folder.mkdir()
    (folder / "PIC.yaml").write_text(f"elements:\n  it: {element}\n")
    return [one.said for one in reach(data, Settings(http=http), url)]


@pytest.mark.parametrize(
    "http",
    [
        HttpSettings(),
        HttpSettings(host="::1"),
        HttpSettings(host="0.0.0.0"),
        HttpSettings(host="::"),
        HttpSettings(url="https://localhost:8470"),
    ],
)
def test_pilots_afar_that_are_told_a_name_of_this_machine_alone_are_told_of(
    http: HttpSettings, tmp_path: Path
) -> None:
    (found,) = said(tmp_path, SLURM, http)

    assert found.startswith("pilots of PIC/it get http")


@pytest.mark.parametrize(
    ("element", "http", "url"),
    [
        ("{kind: local}", HttpSettings(), ""),
        ("{kind: slurm, options: {folder: /shared}, enabled: false}", HttpSettings(), ""),
        (SLURM, HttpSettings(host="192.0.2.7"), ""),
        (SLURM, NAMED, ""),
        (SLURM, HttpSettings(), NAMED.url),  # as the central runs, by an option of its start
    ],
)
def test_nothing_is_said_where_all_reach_it(
    element: str, http: HttpSettings, url: str, tmp_path: Path
) -> None:
    assert said(tmp_path, element, http, url) == []


def test_without_a_folder_of_sites_nothing_is_said(tmp_path: Path) -> None:
    assert list(reach(tmp_path, Settings())) == []
