"""`pilotage admin …` and `doctor`: backup, restore and checks of an installation."""

import contextlib
import os
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from .command_frame import CommandResult
from .exit_codes import ExitCode, RefusedHere
from .options import data_folder
from .presentation import note, number, print_json, print_line
from .serve import parse_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..operate.doctor.findings import Finding
    from ..operate.issuer_keys import PublicKeys

app = App(name="admin", help="Back up and restore an installation.")

DataOption = Annotated[Path | None, Parameter(help="Data directory (default: PILOTAGE_DATA).")]
JsonOption = Annotated[bool, Parameter(help="Print JSON, for programs.")]

_LEFT_OUT_SHOWN = 20


@contextlib.contextmanager
def _refusing(*kinds: type[Exception]) -> Generator[None]:
    """Turn these errors of the installation into refusals."""
    try:
        yield
    except kinds as why:
        raise RefusedHere(str(why)) from None


@app.command
def backup(
    to: Path,
    /,
    *,
    data: DataOption = None,
    config: Annotated[
        Path | None,
        Parameter(help="Settings to back up (default: those that the central runs with)."),
    ] = None,
    files: Annotated[
        bool,
        Parameter(
            negative="--no-files",
            help="Include the files of jobs (default: yes).",
        ),
    ] = True,
    json: JsonOption = False,
) -> int:
    """Copy store, keys, sites, storages and files to a new folder while the central runs.

    Files are hard-linked on the same file system, and copied otherwise.
    """
    from ..operate.backup import backups as operate

    with _refusing(operate.BackupRefused):
        made = operate.backup(
            data_folder(data),
            to,
            config=config,
            blobs=files,
            told=lambda step: note(f"{step} …"),
        )
    counted = f"{number(made.jobs)} jobs and {number(made.blobs)} files"
    CommandResult(made, f"{to}: {counted} as of {made.made_at}").print(json=json)
    for one in made.left_out[:_LEFT_OUT_SHOWN]:
        note(f"left out: {one}")
    if len(made.left_out) > _LEFT_OUT_SHOWN:
        note(f"and {number(len(made.left_out) - _LEFT_OUT_SHOWN)} more were left out")
    if made.blobs_missing:
        note(f"missing files of jobs: {number(made.blobs_missing)}; run `pilotage doctor --store`")
    return ExitCode.FAILED if made.blobs_missing or made.left_out else ExitCode.OK


@app.command
def restore(
    source: Path,
    target: Annotated[Path | None, Parameter(show=False)] = None,
    /,
    *,
    data: DataOption = None,
    incomplete: Annotated[
        bool, Parameter(help="Continue even if files are missing or damaged in the backup.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Restore a backup into a new data directory. It never overwrites files.

    The store gets a new generation: older pilots end, and their work since the backup does not
    count.
    """
    from ..operate.backup import backups as operate

    if target is not None:
        note(
            f"the new data directory is an option: pilotage admin restore {source} --data {target}"
        )
        return ExitCode.USAGE
    target = data_folder(data)
    with _refusing(operate.BackupRefused):
        made = operate.restore(
            source, target, incomplete=incomplete, told=lambda step: note(f"{step} …")
        )
    if json:
        print_json(made)
        return ExitCode.OK
    restored = f"{number(made.jobs)} jobs as of {made.made_at}"
    print_line(f"{target}: {restored}, from a backup made on {made.host}")
    if made.without_files:
        note("the backup was made without files: the inputs and outputs of jobs are lost")
    if os.geteuid() == 0:
        note(f"root owns it: chown -R USER: {target}, if the central runs as another user")
    note("changes after the backup are lost; tokens revoked after it are valid again")
    note("bans of persons that were set after it are lost, too")
    note("older pilots end when they contact the central: start new ones")
    return ExitCode.OK


@app.command
def copy_store(url: str, /, *, data: DataOption = None, json: JsonOption = False) -> int:
    """Copy the store into an empty PostgreSQL database, compare both, and set the old file aside.

    Stop the central first. Afterwards set `store.url` to the same URL and start it.
    """
    import time

    from ..operate.backup import store_copy as operate

    with _refusing(operate.CopyRefused):
        made = operate.copy_into(
            data_folder(data), url, at=time.time(), told=lambda step: note(step)
        )
    words = f"{made.to}: {number(made.rows)} rows, compared; the old file is now {made.kept}"
    return CommandResult(made, words).print(json=json)


@app.command
def pilot_key(*, data: DataOption = None, json: JsonOption = False) -> int:
    """Print the public key that signs `pilot.pyz`, so that sites can compare it.

    Sites find it in the line `key=` of the `pilot.sh` that they fetch.
    """
    from ..identity.errors import BadKeyFile
    from ..operate.distribution.handout import signing_key

    where = data_folder(data)
    with _refusing(BadKeyFile, OSError):
        key = signing_key(where)
    if key is None:
        note(f"{where}: there is no key yet; the first `pilotage serve` makes it")
        return ExitCode.REFUSED
    return CommandResult({"key": key.hex()}, key.hex()).print(json=json)


@app.command
def signing_keys(
    *,
    data: DataOption = None,
    rotate: Annotated[
        bool, Parameter(help="Make a new key first; it signs after 10 minutes.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Print the public keys (JWKS) of the tokens for users and pilots.

    A running central sees a new key at once. Older keys verify until their tokens have expired.
    """
    from ..identity.errors import BadKeyFile, TooManyKeys
    from ..operate.issuer_keys import of_tokens

    where = data_folder(data)
    with _refusing(BadKeyFile, TooManyKeys, OSError):
        found = of_tokens(where, rotate=rotate)
    if found is None:
        note(f"{where}: there is no key yet; the first `pilotage serve` makes it")
        return ExitCode.REFUSED
    return CommandResult(found.jwks, partial(_print_keys, found)).print(json=json)


@app.command
def element_keys(
    *,
    data: DataOption = None,
    rotate: Annotated[
        bool, Parameter(help="Make a new key first; it signs after four days.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Print the public keys (JWKS) of the tokens for compute elements.

    They are for sites that do not fetch the keys from the central. The first key is made if none
    exists.
    """
    from ..identity.errors import BadKeyFile, TooManyKeys
    from ..operate.issuer_keys import of_elements

    where = data_folder(data)
    with _refusing(BadKeyFile, TooManyKeys, OSError):
        found = of_elements(where, rotate=rotate)
    return CommandResult(found.jwks, partial(_print_keys, found)).print(json=json)


def _print_keys(found: "PublicKeys", _: object) -> None:
    for key, use in zip(found.jwks["keys"], found.uses, strict=True):
        print_line(f"{key['kid']}  {key['alg']}  {use}")
    note("--json prints the keys themselves, in the form for sites")


def doctor(
    *,
    data: DataOption = None,
    config: Annotated[
        Path | None, Parameter(help="YAML file with settings (default: PILOTAGE_CONFIG).")
    ] = None,
    set: Annotated[
        tuple[str, ...], Parameter(help="Any other setting, as section.key=value. Repeatable.")
    ] = (),
    store: Annotated[
        bool, Parameter(help="Recompute every count and index of the store from its rows.")
    ] = False,
    files: Annotated[
        bool, Parameter(help="Read every file of the jobs, and compare it with its hash.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Check an installation, running or not. It prints a line for each check, with advice.

    The exit code is 1 if there is a fault, and 0 if there are only warnings.
    """
    from ..operate.doctor import examination as operate
    from ..operate.serve import ServeOptions

    place = ServeOptions(data=data_folder(data), config=config, options=parse_settings(set))
    findings = operate.examine(place, whole_store=store, whole_files=files)
    code = ExitCode.FAILED if operate.at_fault(findings) else ExitCode.OK
    return CommandResult(findings, print_findings, code).print(json=json)


def print_findings(findings: "Sequence[Finding]") -> None:
    """Print a line for each finding. The same advice for several is printed once, below them."""
    following = [one.do for one in findings[1:]] + [""]
    for one, after in zip(findings, following, strict=False):
        print_line(f"{one.level.value:<8} {one.check:<12} {one.said}")
        if one.do and one.do != after:
            print_line(f"{'':<8} {'':<12} → {one.do}")
