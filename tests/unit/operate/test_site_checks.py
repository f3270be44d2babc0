"""What `doctor` says of sites' files: field by field, credentials, programs, files."""

import base64
import json
import os
import time
from pathlib import Path

import msgspec
import pytest

from pilotage.central.factory.drivers import Driver
from pilotage.central.factory.errors import BadOptions
from pilotage.central.factory.site_files import element_checks as fitting
from pilotage.central.operate.datadir import CentralProcess, announce
from pilotage.central.operate.doctor.findings import Severity
from pilotage.central.operate.doctor.site_checks import sites
from pilotage.central.settings import FactorySettings, Settings
from tests.fake_element import FakeElement

ARC = "{url: 'https://ce'}"


def a_token(ends_at: int) -> str:
    parts = ({"alg": "none"}, {"exp": ends_at})
    words = (base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts)
    return b".".join((*words, b"c2ln")).decode()


def found(data: Path, **files: str) -> list[tuple[Severity, str]]:
    """Return what is said of these files."""
    folder = data / "sites"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return [(one.level, one.said) for one in sites(data, Settings())]


def test_without_files_all_is_well_unless_the_settings_name_a_folder(tmp_path: Path) -> None:
    wrong = Settings(factory=FactorySettings(sites="/nowhere"))

    assert [one.level for one in sites(tmp_path, Settings())] == [Severity.OK]
    assert [one.level for one in sites(tmp_path, wrong)] == [Severity.FAULT]


def test_a_file_with_another_end_is_told_as_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "sites"
    folder.mkdir()
    (folder / "NEW.yml").write_text("elements: {it: {kind: local}}\n")
    level, said = found(tmp_path)[0]

    assert level is Severity.FAULT
    assert "NEW.yml: is not read: its name does not end in .yaml" in said


def test_the_folder_of_the_central_that_runs_here_is_looked_at(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        folder.mkdir()
        (folder / f"{folder.name.upper()}.yaml").write_text("elements: {it: {kind: local}}\n")
    announce(tmp_path, CentralProcess(url="http://127.0.0.1:1", pid=1, sites=str(theirs)))
    by_itself = [one.said for one in sites(tmp_path, Settings())]
    told = Settings(factory=FactorySettings(sites=str(ours)))
    by_settings = [one.said for one in sites(tmp_path, told)]

    assert by_itself == ["THEIRS/it: local, its file is valid; pilotage site check tries it"]
    assert by_settings[0] == f"this check reads {ours}, the central {theirs}"
    assert by_settings[1].startswith("OURS/it")


#     the element                                                      level           what is said
ELEMENTS: list[tuple[str, Severity, str]] = [
    ("{kind: local}", Severity.OK, "PIC/it: local, its file is valid"),
    ("{kind: local, enabled: false}", Severity.OK, "disabled by its file"),
    ("{kind: local, pilots_mx: 3}", Severity.FAULT, "did you mean 'pilots_max'"),
    ("{kind: lokal}", Severity.FAULT, "PIC.yaml:2: elements.it.kind: there is no driver 'lokal'"),
    ("{kind: slurm, options: {partitoin: a, folder: /a}}", Severity.FAULT, "elements.it.options"),
    (
        "{kind: arc, options: {url: 'https://ce'}, credential: {source: fiel}}",
        Severity.FAULT,
        "there is no source 'fiel'",
    ),
    (
        "{kind: arc, options: {url: 'https://ce'},"
        " credential: {source: file, options: {path: /nowhere/token}}}",
        Severity.FAULT,
        "/nowhere/token",
    ),
    (
        "{kind: arc, options: {url: 'https://ce'},"
        " credential: {source: command, options: {argv: [no-such-program]}}}",
        Severity.FAULT,
        "no-such-program: no such program",
    ),
    (
        "{kind: arc, options: {url: 'https://ce'},"
        " credential: {source: command, options: {argv: [sh, -c, 'echo no ticket >&2; exit 3']}}}",
        Severity.FAULT,
        "credential: sh: exit code 3: no ticket",
    ),
    (
        "{kind: arc, options: {url: 'https://ce'}, credential: {source: issuer}}",
        Severity.FAULT,
        "elements.it.credential.options",
    ),
    (
        "{kind: arc, options: {url: 'https://ce'},"
        " credential: {source: issuer, options: {audience: 'https://ce', lifetime_s: 1}}}",
        Severity.FAULT,
        "elements.it.credential.options.lifetime_s",
    ),
    (
        "{kind: arc, options: {url: 'https://ce'},"
        " credential: {source: issuer, options: {audience: 'https://ce'}}}",
        Severity.OK,
        "PIC/it: arc, its file is valid",
    ),
    ("{kind: arc, options: {url: 'https://ce'}}", Severity.FAULT, "credential: is required"),
    (
        "{kind: ssh, options: {host: a, user: b, key_file: /none/key, known_hosts: /none/hosts}}",
        Severity.FAULT,
        "options.key_file: /none/key: No such file",
    ),
    (
        "{kind: ssh, options: {host: a, user: b, key_file: /dev/null, known_hosts: /dev/null,"
        " batch: slurm, batch_options: {foldr: /a}}}",
        Severity.FAULT,
        "options.batch_options for slurm",
    ),
    *(
        (
            "{kind: ssh, options: {host: a, user: b, key_file: /dev/null, known_hosts: /dev/null,"
            f" batch: {batch}, batch_options: {{url: 'https://ce'}}}}}}",
            Severity.FAULT,
            f"options.batch: {batch!r} is not a batch system",
        )
        for batch in ("arc", "kubernetes", "ssh", "local")
    ),
]


@pytest.mark.parametrize(("element", "level", "said"), ELEMENTS)
def test_an_element_is_looked_at_field_by_field(
    element: str, level: Severity, said: str, tmp_path: Path
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

    assert level is Severity.WARNING
    assert "sbatch, squeue, scancel" in said


@pytest.mark.parametrize(
    ("left_s", "level", "said"),
    [
        (7_200, Severity.OK, "its file is valid"),
        (600, Severity.WARNING, "ends in 10 minutes"),
        (-60, Severity.FAULT, "renew it"),
    ],
)
def test_a_credential_that_ends_soon_or_has_ended_is_told(
    left_s: int, level: Severity, said: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    os.close(os.open(token, os.O_CREAT | os.O_WRONLY, 0o600))
    token.write_text(a_token(int(time.time()) + left_s))
    credential = f"{{source: file, options: {{path: {token}}}}}"
    ((at, told),) = found(
        tmp_path,
        PIC=f"elements:\n  it: {{kind: arc, options: {ARC}, credential: {credential}}}\n",
    )

    assert at is level, told
    assert said in told


@pytest.mark.parametrize(
    ("mode", "ca", "level", "said"),
    [
        (0o600, "", Severity.OK, "its file is valid"),
        (0o640, "", Severity.FAULT, "credential.options.secret_file: "),
        (0o600, "/none/ca.pem", Severity.FAULT, "credential.options.ca_file: /none/ca.pem: No"),
        (0o600, "/dev/null", Severity.FAULT, "credential.options.ca_file: /dev/null: it is not"),
        (0o600, "ca.pem", Severity.FAULT, "elements.it.credential.options.ca_file"),
    ],
)
def test_files_of_a_client_are_looked_at_and_its_provider_is_not_asked(
    mode: int, ca: str, level: Severity, said: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-the-client")
    secret.chmod(mode)
    options = f"{{issuer: 'https://localhost:1', id: a, secret_file: {secret}, ca_file: '{ca}'}}"
    credential = f"{{source: client, options: {options}}}"
    ((at, told),) = found(
        tmp_path,
        PIC=f"elements:\n  it: {{kind: arc, options: {ARC}, credential: {credential}}}\n",
    )

    assert at is level, told
    assert said in told
    assert "s3cret" not in told


class _Door(msgspec.Struct, forbid_unknown_fields=True):
    door: str


def _refuse(options: _Door) -> None:
    if options.door == "/shut":
        raise BadOptions("options.door: it is shut")


@pytest.mark.parametrize(
    ("door", "said"),
    [
        ("/none/door", "options.door: /none/door: No such file"),
        ("/shut", "elements.it.options.door: it is shut"),
    ],
)
def test_what_drivers_of_others_say_of_their_options_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str, said: str
) -> None:
    theirs = Driver(_Door, lambda options, tools: FakeElement(), files=("door",), check=_refuse)

    def driver(kind: str) -> Driver:
        return theirs

    monkeypatch.setattr(fitting, "driver", driver)
    ((level, told),) = found(
        tmp_path, PIC=f"elements:\n  it: {{kind: theirs, options: {{door: {door}}}}}\n"
    )

    assert level is Severity.FAULT
    assert said in told


def test_one_bad_file_hides_no_other(tmp_path: Path) -> None:
    said = found(tmp_path, PIC="elements: {it: {kind: local}}\n", BAD="elements: 7\n")

    assert sorted(level.value for level, _ in said) == ["fault", "ok"]


def test_a_community_that_the_settings_do_not_name_is_a_fault_beside_a_file_that_reads(
    tmp_path: Path,
) -> None:
    (unknown, element) = found(
        tmp_path, PIC="communities: {local: 1, locale: 2}\nelements: {it: {kind: local}}\n"
    )

    assert unknown[0] is Severity.FAULT
    assert "PIC.yaml:1: communities.locale: this central serves local" in unknown[1]
    assert element[0] is Severity.OK
