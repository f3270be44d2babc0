"""The page on site files: all keys, with the options of our own drivers."""

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Final

import msgspec
from msgspec import inspect as kinds

from pilotage.central.factory.credentials.sources import OPTIONS
from pilotage.central.factory.drivers import GROUP, driver
from pilotage.central.factory.site_files.sites import (
    CredentialEntry,
    ElementEntry,
    NodesEntry,
    PilotEntry,
    Shape,
    SiteEntry,
)

from . import structs

ENTRIES = (SiteEntry, ElementEntry, Shape, PilotEntry, NodesEntry, CredentialEntry)
_REPEATS: Final = r"^The options of (an element|the source).*?\.\s*"  # as its heading does
NO_OPTIONS: Final = "It has no options.\n"


def sections() -> Iterator[str]:
    """Yield the page below its first words."""
    for entry in ENTRIES:
        yield _section("##", entry.__name__, entry)
    yield "## Kinds of elements\n\nKeys under `options` of an element depend on its `kind`.\n"
    for kind in our_kinds():
        options = driver(kind).options
        yield _section("###", f"kind: {kind}", options)
        for inner in _inner(options):
            yield _section("####", inner.__name__, inner)
    yield "## Sources of credentials\n\nKeys under `credential.options` depend on its `source`.\n"
    for source, options in sorted(OPTIONS.items()):
        yield _section("###", f"source: {source}", options)


def our_kinds() -> list[str]:
    """Return the kinds of elements that come with pilotage, whatever else is installed."""
    found = entry_points(group=GROUP)
    return sorted({one.name for one in found if one.value.startswith("pilotage.")})


def _section(level: str, title: str, struct: type[msgspec.Struct]) -> str:
    fields = structs.fields(struct) if struct.__struct_fields__ else NO_OPTIONS
    text = re.sub(_REPEATS, "", structs.description(struct))
    return f"{level} {title}\n\n{text}\n\n{fields}"


def _inner(struct: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """Return the structs that fields of one hold."""
    described = kinds.type_info(struct)
    assert isinstance(described, kinds.StructType)
    found = [one for field in described.fields for one in _structs(field.type)]
    return list(dict.fromkeys(found))


def _structs(kind: kinds.Type) -> Iterator[type[msgspec.Struct]]:
    match kind:
        case kinds.StructType():
            yield kind.cls
        case kinds.VarTupleType():
            yield from _structs(kind.item_type)
        case kinds.DictType():
            yield from _structs(kind.value_type)
        case kinds.Metadata():
            yield from _structs(kind.type)
        case _:
            return
