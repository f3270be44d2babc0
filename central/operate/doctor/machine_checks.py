"""Checks of the machine: versions, disk, clock, limits. What is judged comes in as values."""

import ctypes
import os
import platform
import pwd
import shutil
import sqlite3
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from pilotage import __version__

from ..process import FILES_BESIDE
from .findings import Finding, fault, ok, warning

FREE_LOW_BYTES: Final = 5 << 30
FREE_NONE_BYTES: Final = 512 << 20
SYNC_SLOW_S: Final = 0.05
SKEW_WARNING_S: Final = 1.0
SKEW_FAULT_S: Final = 60.0  # tokens are judged with as much
BUILT: Final = 1_767_225_600.0  # 2026-01-01: no clock of a running central is before that
SQLITE_MIN: Final = (3, 38)
# Where locks or syncs do not hold; memory forgets with the machine.
_REMOTE: Final = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph", "9p", "lustre", "afs")
_MEMORY: Final = ("tmpfs", "ramfs")
_UNSYNCHRONISED: Final = 0x40  # STA_UNSYNC of adjtimex(2)


def versions(central: str | None) -> Finding:
    """Judge what is installed, and that a running central is of it."""
    said = (
        f"pilotage {__version__}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.release()}"
    )
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        return fault("versions", said, "SQLite must be 3.38 or later: use another Python")
    if central is not None and central != __version__:
        return warning(
            "versions",
            f"{said}; the central that runs is {central}",
            "restart it to run what is installed",
        )
    return ok("versions", said)


def data_directory(data: Path) -> Finding:
    """Judge where the installation lies: whose it is, and on what."""
    if not data.is_dir():
        return fault("data", f"{data} is not there", "see --data and PILOTAGE_DATA")
    found = data.stat()
    kind = file_system(data, _mounts())
    said = f"{data}, {kind or 'unknown file system'}"
    if kind in _REMOTE:
        return fault("data", said, "locks and syncs do not hold there: move it to a local disk")
    if found.st_mode & 0o077:
        return warning("data", f"{said}: others may look in", f"chmod 0700 {data}")
    if found.st_uid != os.geteuid() and os.geteuid() != 0:
        return fault("data", f"{said}: it is another user's", "run as the user of the central")
    if kind in _MEMORY:
        return warning("data", f"{said}: gone with the machine", "move it to a disk")
    return ok("data", said)


def foreign(data: Path, ours: Collection[str]) -> str:
    """Say why a folder is none that a central has made; nothing where it may be."""
    names = {one.name for one in data.iterdir()}
    if not names:
        return "it is empty"
    return "it has other files, and none of ours" if names.isdisjoint(ours) else ""


def owner(data: Path, ours: Collection[str], *, running: bool) -> Finding:
    """Judge whether one user has all of it: who restores or copies as root leaves root's files."""
    of_folder = data.stat().st_uid
    others = [
        name
        for name in sorted(ours)
        if (data / name).exists() and (data / name).stat().st_uid != of_folder
    ]
    user = _name_of(of_folder)
    if others:
        said = f"the folder is {user}'s, and {', '.join(others)} somebody else's"
        return fault("owner", said, f"chown -R USER: {data}, the user that the central runs as")
    if of_folder == 0 and not running:
        said = "root's: a central that runs as another user cannot start on it"
        return warning("owner", said, f"if so: chown -R USER: {data}, as User= in the unit says")
    return ok("owner", f"all of it is {user}'s")


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def file_system(path: Path, mounts: str) -> str:
    """Return the kind of file system that a path is on, by the text of /proc/mounts."""
    best, kind = "", ""
    for line in mounts.splitlines():
        _, place, found, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        inside = f"{path.absolute()}/".startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best, kind = place, found
    return kind


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text()
    except OSError:
        return ""


def free_disk(data: Path) -> Finding:
    """Judge how much room is left."""
    usage = shutil.disk_usage(data)
    said = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB"
    if usage.free < FREE_NONE_BYTES:
        return fault("disk", said, "make room now: a full disk accepts nothing")
    if usage.free < FREE_LOW_BYTES and usage.free < usage.total / 5:
        return warning("disk", said, "make room, or keep less: see the section retention")
    return ok("disk", said)


def sync_cost(data: Path) -> Finding:
    """Measure what a sync costs where the store lies."""
    probe = data / f".doctor.{os.getpid()}"
    times: list[float] = []
    try:
        with probe.open("wb") as file:
            for _ in range(10):
                file.write(bytes(4096))
                file.flush()
                began = time.monotonic()
                os.fdatasync(file.fileno())
                times.append(time.monotonic() - began)
    except OSError as why:
        return fault("sync", f"{data} cannot be written: {why.strerror}", "make room, or see data")
    finally:
        probe.unlink(missing_ok=True)
    median_s = sorted(times)[len(times) // 2]
    said = f"a sync takes {median_s * 1e3:.2f} ms"
    if median_s > SYNC_SLOW_S:
        return warning("sync", said, "answers wait for it: use a faster disk")
    return ok("sync", said)


def clock(newest: float | None, skew_s: float | None) -> Finding:
    """Judge the wall clock: against what is stored, others, and its own source."""
    wall, monotonic = time.time(), time.monotonic()
    if wall < BUILT:
        return fault(
            "clock", f"the wall clock says {time.ctime(wall)}", "set it; run chrony or ntpd"
        )
    if monotonic <= 0:
        return fault("clock", "the monotonic clock does not run", "this machine cannot hold leases")
    if newest is not None and newest > wall + SKEW_FAULT_S:
        return fault(
            "clock",
            f"the wall clock is {newest - wall:.0f} s before the newest row of the store",
            "set it forward; tokens and days of retention are judged by it",
        )
    if skew_s is not None and abs(skew_s) > SKEW_WARNING_S:
        judge = fault if abs(skew_s) > SKEW_FAULT_S else warning
        said = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the central's answer"
        return judge("clock", said, "run chrony or ntpd on both machines")
    if _synchronised() is False:
        return warning(
            "clock", "no time service keeps it right", "run chrony or ntpd; leases do not need it"
        )
    return ok("clock", "runs, and agrees with the store")


def _synchronised() -> bool | None:
    """Ask the kernel whether a time service keeps the clock; None where it does not say."""
    size = 26  # longs: more than struct timex has
    timex = (ctypes.c_long * size)()
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if answer < 0:
        return None
    status = ctypes.cast(
        ctypes.byref(timex, 5 * ctypes.sizeof(ctypes.c_long)), ctypes.POINTER(ctypes.c_int)
    )
    return not status.contents.value & _UNSYNCHRONISED


def open_files(hard: int, connections_max: int, *, unlimited: bool) -> Finding:
    """Judge the hard limit of open files against the connections that are allowed."""
    wanted = connections_max + FILES_BESIDE
    if unlimited or hard >= wanted:
        return ok("open files", "no limit" if unlimited else f"at most {hard}")
    return warning(
        "open files",
        f"at most {hard}, and {connections_max} connections need {wanted}",
        f"LimitNOFILE={wanted} in the unit, or a lower http.connections_max",
    )
