"""The data directory: who may use it, where things stand in it."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec


class DataInUse(Exception):
    """Another central runs on this data directory. Two would hand out the same jobs twice."""

    def __init__(self, data: Path) -> None:
        super().__init__(f"another central runs on {data}: stop it, or take another --data")


class NoData(Exception):
    """The data directory cannot be made or written."""

    def __init__(self, data: Path, why: OSError) -> None:
        super().__init__(f"--data {data}: cannot be written: {why.strerror}")


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What `central.json` tells programs on this machine about the central that runs here."""

    url: str
    pid: int


def default_data() -> Path:
    """Return the data directory where none is named."""
    named = os.environ.get("PILOTAGE_DATA")
    return Path(named) if named else Path.home() / ".local" / "share" / "pilotage"


@contextmanager
def locked(data: Path) -> Generator[None]:
    """Hold the data directory for this process alone. Raises DataInUse, NoData."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "lock").open("w")
    except OSError as why:
        raise NoData(data, why) from why
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataInUse(data) from None
        yield


@contextmanager
def announced(data: Path, running: Running) -> Generator[None]:
    """Say in `central.json` where this central listens, for as long as it does."""
    target, fresh = data / "central.json", data / ".central.json"
    fresh.write_bytes(msgspec.json.encode(running))
    fresh.replace(target)
    try:
        yield
    finally:
        target.unlink(missing_ok=True)
