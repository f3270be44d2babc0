"""What `doctor` says of sites' files: field by field, credentials, programs, files."""

import base64
import json
import os
import time
from pathlib import Path

import pytest

from pilotage.central.operate.findings import Level
from pilotage.central.operate.site_checks import sites
from pilotage.central.settings import FactorySettings, Settings


def a_token(ends_at: int) -> str:
    parts = ({"alg": "none"}, {"exp": ends_at})
    words = (base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts)
    return b".".join((*words, b"c2ln")).decode()


def found(data: Path, **files: str) -> list[tuple[Level, str]]:
    """Return what is said of these files."""
    folder = data / "sites"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return [(one.level, one.said) for one in sites(data, Settings())]


def test_without_files_all_is_well_unless_the_settings_name_a_folder(tmp_path: Path) -> None:
    wrong = Settings(factory=FactorySettings(sites="/nowhere"))

    assert [one.level for one in sites(tmp_path, Settings())] == [Level.OK]
    assert [one.level for one in sites(tmp_path, wrong)] == [Level.FAULT]


#     the element                                                      level           what is said
ELEMENTS: list[tuple[str, Level, str]] = [
    ("{kind: local}", Level.OK, "PIC/it: local, its file reads"),
    ("{kind: local, enabled: false}", Level.OK, "disabled by its file"),
    ("{kind: local, pilots_mx: 3}", Level.FAULT, "did you mean 'pilots_max'"),
    ("{kind: lokal}", Level.FAULT, "there is no driver 'lokal'"),
    ("{kind: slurm, options: {partitoin: a, folder: /a}}", Level.FAULT, "elements.it.options"),
    (
        "{kind: local, credential: {source: fiel}}",
        Level.FAULT,
        "there is no source 'fiel'",
    ),
    (
        "{kind: local, credential: {source: file, options: {path: /nowhere/token}}}",
        Level.FAULT,
        "/nowhere/token",
    ),
    (
        "{kind: local, credential: {source: command, options: {argv: [no-such-program]}}}",
        Level.FAULT,
        "no-such-program: no such program",
    ),
    (
        "{kind: ssh, options: {host: a, user: b, key_file: /none/key, known_hosts: /none/hosts}}",
        Level.FAULT,
        "options.key_file: /none/key: No such file",
    ),
    (
        "{kind: ssh, options: {host: a, user: b, key_file: /dev/null, known_hosts: /dev/null,"
        " batch: slurm, batch_options: {foldr: /a}}}",
        Level.FAULT,
        "options.batch_options of slurm",
    ),
]


@pytest.mark.parametrize(("element", "level", "said"), ELEMENTS)
def test_an_element_is_looked_at_field_by_field(
    element: str, level: Level, said: str, tmp_path: Path
) -> None:
    ((at, told),) = found(tmp_path, PIC=f"elements:\n  it: {element}\n")

    assert at is level, told
    assert said in told


def test_a_program_that_is_not_here_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ((level, said),) = found(
        tmp_path, PIC="elements:\n  it: {kind: slurm, options: {folder: /shared}}\n"
    )

    assert level is Level.WARNING
    assert "sbatch, squeue, scancel" in said


@pytest.mark.parametrize(
    ("left_s", "level", "said"),
    [
        (7_200, Level.OK, "its file reads"),
        (600, Level.WARNING, "ends in 10 minutes"),
        (-60, Level.FAULT, "renew it"),
    ],
)
def test_a_credential_that_ends_soon_or_has_ended_is_told(
    left_s: int, level: Level, said: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    os.close(os.open(token, os.O_CREAT | os.O_WRONLY, 0o600))
    token.write_text(a_token(int(time.time()) + left_s))
    credential = f"{{source: file, options: {{path: {token}}}}}"
    ((at, told),) = found(
        tmp_path, PIC=f"elements:\n  it: {{kind: local, credential: {credential}}}\n"
    )

    assert at is level, told
    assert said in told


def test_one_bad_file_hides_no_other(tmp_path: Path) -> None:
    said = found(tmp_path, PIC="elements: {it: {kind: local}}\n", BAD="elements: 7\n")

    assert sorted(level.value for level, _ in said) == ["fault", "ok"]
