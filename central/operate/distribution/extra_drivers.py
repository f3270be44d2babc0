"""Adds the storage drivers of other packages to `pilot.pyz`."""

import importlib.util
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from .pilot_bundle import NoBundle

GROUP: Final = "pilotage.pilot.storages"
TABLE: Final = "pilotage/pilot/data/storages.txt"  # in the bundle; lines `NAME = MODULE:CLASS`


class BadDriver(NoBundle):
    """A driver of another package cannot be added to the bundle. Fix or remove that package."""

    def __init__(self, driver: str, why: str) -> None:
        Exception.__init__(self, f"{driver} of {GROUP} cannot be added to pilot.pyz: {why}")


@dataclass(frozen=True)
class Additions:
    """Drivers of other packages by type, as `MODULE:CLASS`, with their files."""

    drivers: Mapping[str, str]
    files: Mapping[str, bytes]


@lru_cache(maxsize=1)
def additions() -> Additions:
    """Return the drivers of the packages that are installed here. Raises BadDriver.

    The module or package that an entry point names is taken. Packages above it become empty,
    because the real ones may need libraries of the central.
    """
    found = entry_points(group=GROUP)
    ours = {one.name for one in found if one.dist and one.dist.name == "pilotage"}
    others = [one for one in found if one.dist and one.dist.name != "pilotage"]
    drivers: dict[str, str] = {}
    for other in others:
        if other.name in ours or other.name in drivers:
            why = f"another driver of the type {other.name!r} is installed"
            raise BadDriver(other.value, why)
        drivers[other.name] = other.value
    files: dict[str, bytes] = {}
    above: dict[str, bytes] = {}
    for driver in drivers.values():
        *parents, _ = driver.partition(":")[0].split(".")
        folder = Path(*parents)
        files |= {(folder / name).as_posix(): text for name, text in _sources(driver)}
        for one in (folder, *folder.parents)[:-1]:
            above[(one / "__init__.py").as_posix()] = b""
    return Additions(drivers, above | files)


def complete(bundle: bytes) -> bytes:
    """Return the bundle with the additions, or the same bundle without any. Raises BadDriver.

    The same input gives the same bytes. The present content of the bundle stays.
    """
    added = additions()
    if not added.drivers:
        return bundle
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    lines = (f"{name} = {driver}\n" for name, driver in sorted(added.drivers.items()))
    files = {**added.files, **files, TABLE: files[TABLE] + "".join(lines).encode()}
    out = io.BytesIO()
    out.write(bundle[: bundle.index(b"\n") + 1])  # the line with the interpreter
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])  # not compressed, dated 1980
    return out.getvalue()


def _sources(driver: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a driver with their paths below the parent package."""
    try:
        found = importlib.util.find_spec(driver.partition(":")[0])
    except ImportError as why:
        raise BadDriver(driver, str(why)) from why
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise BadDriver(driver, "its Python source is not installed")
    origin = Path(found.origin)
    if found.submodule_search_locations is None:
        yield origin.name, origin.read_bytes()
        return
    for path in sorted(origin.parent.rglob("*")):
        if path.name.endswith(tuple(EXTENSION_SUFFIXES)):
            raise BadDriver(driver, f"{path} is compiled, but pilots run on any machine")
        if path.suffix == ".py":
            yield path.relative_to(origin.parents[1]).as_posix(), path.read_bytes()
