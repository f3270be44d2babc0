"""Secrets of a running pilotage, looked for wherever others could read them."""

import shutil
import stat
import tempfile
from pathlib import Path

import httpx
import msgspec

from pilotage.pilot.journal import FileJournal

from .running import RunningCentral, RunningPilot

LONG_ENOUGH = 16  # shorter words are found by chance
LOGS = ("central.log", "pilot.log", "untold.log", "mosquitto.log", "stdout", "stderr")


def check_secrets(central: RunningCentral, more: frozenset[str] = frozenset()) -> None:
    """Assert that no secret stands in argv, an environment, a log, the database or a readable file.

    Secrets are `more`, and all that central and pilots keep in their files now.
    """
    found = more | _of_central(central)
    for pilot in central.pilots:
        found |= _of_pilot(pilot)
    canaries = {secret.encode() for secret in found}
    assert all(len(one) >= LONG_ENOUGH for one in canaries)
    shown = _in_processes(canaries) + _in_files(central, canaries) + _told(central, canaries)
    assert not shown, shown


def _of_central(central: RunningCentral) -> set[str]:
    keys = msgspec.json.decode((central.data / "signing-keys.json").read_bytes())
    return {
        (central.data / "admin.token").read_text().strip(),
        *(key["d"] for key in keys["keys"]),
    }


def _of_pilot(pilot: RunningPilot) -> set[str]:
    """Return its bootstrap and renewal secrets, and the tokens of the attempts that it holds."""
    found = {file.read_text().strip() for file in pilot.state.glob("secret-*")}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "journal"
        shutil.copytree(pilot.state / "journal", copy)
        journal = FileJournal(copy)
        identity = msgspec.json.decode(journal.identity() or b"{}")
        entries = [msgspec.json.decode(one) for one in journal.assignments().values()]
    found.add(identity["renewal_secret"])
    found |= {entry["assignment"]["token"] for entry in entries}
    assert len(found) >= 2, "a secret is kept elsewhere now: look there"
    return found


def _in_processes(canaries: set[bytes]) -> list[str]:
    """Return which process shows a secret in its command line or environment, payloads included."""
    found: list[str] = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            for part in ("cmdline", "environ"):
                said = _read(process / part)
                if any(one in said for one in canaries):
                    found.append(f"{part} of {_read(process / 'cmdline')[:200]!r}")
    return found


def _in_files(central: RunningCentral, canaries: set[bytes]) -> list[str]:
    """Return what is wrong: a secret in a log or in the database, or in a file for others."""
    found: list[str] = []
    for file in central.folder.rglob("*"):
        if file.is_symlink() or not file.is_file():
            continue
        if any(one in _read(file) for one in canaries):
            name = str(file.relative_to(central.folder))
            mode = stat.S_IMODE(file.stat().st_mode)
            if file.name in LOGS or "sqlite" in file.name or "blobs" in file.parts:
                found.append(f"{name} holds a secret")
            if mode & 0o077:
                found.append(f"{name} has mode {mode:o}")
    return found


def _told(central: RunningCentral, canaries: set[bytes]) -> list[str]:
    """Return which page of the central, or word of its doctor, shows a secret."""
    admin = (central.data / "admin.token").read_text().strip()
    headers = {"authorization": f"Bearer {admin}"}
    with httpx.Client(base_url=central.url, headers=headers) as client:
        pages = ("/metrics", "/health", "/v1/pilots", "/v1/series", "/v1/accounts")
        said = {
            path: client.get(path).raise_for_status().content
            for path in (*pages, "/v1/pilots/logs?since=0&limit=1000")
        }
    said["doctor"] = central.type("doctor", "--data", str(central.data), "--store").encode()
    return [
        f"{where} shows a secret" for where, text in said.items() for one in canaries if one in text
    ]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # ended or removed meanwhile
        return b""
