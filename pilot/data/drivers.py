"""The storage types that a pilot knows, from one group of entry points.

A bundle has them in a table, so that a start reads no package metadata. The central adds the types
of other packages to the bundle that it serves.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Final, Optional

from ..events import WriteEvent
from .storages import ProgramsStorage, Storage

GROUP: Final = "pilotage.pilot.storages"
TABLE: Final = "storages.txt"  # beside this module, with lines `NAME = MODULE:CLASS`


def storages(log: WriteEvent) -> "dict[str, Storage]":
    """Return the driver of each type.

    A type whose driver cannot be loaded is logged and left out.
    """
    found: dict[str, Storage] = {}
    for name, value in _entries().items():
        module, _, made = value.partition(":")
        try:
            found[name] = getattr(import_module(module), made)()
        except Exception as why:  # code of another package may raise anything
            log("storage_type_left_out", {"type": name, "driver": value, "why": repr(why)})
    return found


def programs(drivers: "Mapping[str, Storage]") -> "dict[str, tuple[str, ...]]":
    """Return the programs of the node that drivers need, by the tag of pilots that have them."""
    return {one.tag: one.programs for one in drivers.values() if isinstance(one, ProgramsStorage)}


def _entries() -> Mapping[str, str]:
    try:
        table: Optional[bytes] = pkgutil.get_data(str(__package__), TABLE)
    except OSError:  # no bundle, but a checkout
        return _installed()
    lines = (table or b"").decode().splitlines()
    return {name: value for name, _, value in (line.partition(" = ") for line in lines)}


def _installed() -> Mapping[str, str]:
    from importlib import metadata

    packages = metadata.distributions()
    return {
        one.name: one.value
        for found in packages
        for one in found.entry_points
        if one.group == GROUP
    }
