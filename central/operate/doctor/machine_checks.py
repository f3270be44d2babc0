"""Checks of the machine: versions, disk, clock, limits. Pure checks take values."""

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
SKEW_FAULT_S: Final = 60.0  # the same tolerance as for tokens
BUILT: Final = 1_767_225_600.0  # 2026-01-01: a running central cannot have an earlier time
SQLITE_MIN: Final = (3, 38)
# File systems whose locks or syncs do not hold, and those in volatile memory.
_REMOTE: Final = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph", "9p", "lustre", "afs")
_MEMORY: Final = ("tmpfs", "ramfs")
_UNSYNCHRONISED: Final = 0x40  # STA_UNSYNC of adjtimex(2)


def versions(central: str | None) -> Finding:
    """Check the installed versions, and that the running central has the same."""
    text = (
        f"pilotage {__version__}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.release()}"
    )
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        return fault("versions", text, "SQLite must be 3.38 or later: use another Python")
    if central is not None and central != __version__:
        return warning(
            "versions",
            f"{text}; the running central is {central}",
            "restart it to run the installed version",
        )
    return ok("versions", text)


def data_directory(data: Path) -> Finding:
    """Check the owner, the mode and the file system of the data directory."""
    if not data.is_dir():
        return fault("data", f"{data} does not exist", "see --data and PILOTAGE_DATA")
    found = data.stat()
    kind = file_system(data, _mounts())
    text = f"{data}, {kind or 'unknown file system'}"
    if kind in _REMOTE:
        return fault(
            "data", text, "locks and syncs are not reliable there: move it to a local disk"
        )
    if found.st_mode & 0o077:
        return warning("data", f"{text}: other users may read it", f"chmod 0700 {data}")
    if found.st_uid != os.geteuid() and os.geteuid() != 0:
        return fault(
            "data", f"{text}: owned by another user", "run doctor as the user of the central"
        )
    if kind in _MEMORY:
        return warning(
            "data", f"{text}: its data is lost when the machine stops", "move it to a disk"
        )
    return ok("data", text)


def foreign(data: Path, ours: Collection[str]) -> str:
    """Return why a folder is not a central's data directory; empty: it may be one."""
    names = {one.name for one in data.iterdir()}
    if not names:
        return "it is empty"
    return "it contains only other files" if names.isdisjoint(ours) else ""


def owner(data: Path, ours: Collection[str], *, running: bool) -> Finding:
    """Check that one user owns all files: a restore or copy by root leaves files of root."""
    of_folder = data.stat().st_uid
    others = [
        name
        for name in sorted(ours)
        if (data / name).exists() and (data / name).stat().st_uid != of_folder
    ]
    user = _name_of(of_folder)
    if others:
        text = f"the folder is {user}'s, but these are not: {', '.join(others)}"
        return fault("owner", text, f"chown -R USER: {data}, the user that the central runs as")
    if of_folder == 0 and not running:
        text = "root owns it: a central that runs as another user cannot start on it"
        return warning("owner", text, f"if so: chown -R USER: {data}, the User= of the unit")
    return ok("owner", f"{user} owns all of it")


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def file_system(path: Path, mounts: str) -> str:
    """Return the kind of file system of a path, from the text of /proc/mounts."""
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
    """Check the free space."""
    usage = shutil.disk_usage(data)
    text = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB"
    if usage.free < FREE_NONE_BYTES:
        return fault("disk", text, "free space now: nothing can be stored on a full disk")
    if usage.free < FREE_LOW_BYTES and usage.free < usage.total / 5:
        return warning("disk", text, "make room, or keep less data: see the section retention")
    return ok("disk", text)


def sync_cost(data: Path) -> Finding:
    """Measure how long a sync takes on the disk of the store."""
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
        return fault(
            "sync",
            f"{data} cannot be written: {why.strerror}",
            "free space, or see the finding data",
        )
    finally:
        probe.unlink(missing_ok=True)
    median_s = sorted(times)[len(times) // 2]
    text = f"a sync takes {median_s * 1e3:.2f} ms"
    if median_s > SYNC_SLOW_S:
        return warning("sync", text, "answers wait for it: use a faster disk")
    return ok("sync", text)


def clock(newest: float | None, skew_s: float | None) -> Finding:
    """Check the wall clock against the store, the central and its time service."""
    wall, monotonic = time.time(), time.monotonic()
    if wall < BUILT:
        return fault(
            "clock", f"the wall clock shows {time.ctime(wall)}", "set it; run chrony or ntpd"
        )
    if monotonic <= 0:
        return fault("clock", "the monotonic clock does not run", "this machine cannot hold leases")
    if newest is not None and newest > wall + SKEW_FAULT_S:
        return fault(
            "clock",
            f"the wall clock is {newest - wall:.0f} s before the newest row of the store",
            "set it forward; it decides on the expiry of tokens and on retention",
        )
    if skew_s is not None and abs(skew_s) > SKEW_WARNING_S:
        judge = fault if abs(skew_s) > SKEW_FAULT_S else warning
        text = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the central's clock"
        return judge("clock", text, "run chrony or ntpd on both machines")
    if _synchronised() is False:
        return warning(
            "clock", "no time service keeps it right", "run chrony or ntpd; leases do not need it"
        )
    return ok("clock", "runs, and agrees with the store")


def _synchronised() -> bool | None:
    """Ask the kernel whether a time service keeps the clock; None: unknown."""
    size = 26  # in longs; larger than struct timex
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
    """Check the hard limit of open files against the allowed connections."""
    wanted = connections_max + FILES_BESIDE
    if unlimited or hard >= wanted:
        return ok("open files", "no limit" if unlimited else f"at most {hard}")
    return warning(
        "open files",
        f"at most {hard}, and {connections_max} connections need {wanted}",
        f"LimitNOFILE={wanted} in the unit, or a lower http.connections_max",
    )
