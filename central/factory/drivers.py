"""Drivers of compute elements by their kind, found by entry points: ours and others'."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pilotage.proto.decoding.complaints import as_json, complaint
from pilotage.proto.decoding.typed_quantities import convert

from ..ports import Clock
from .commands import Commands
from .credential import CredentialSource
from .element import ComputeElement
from .errors import BadOptions, NoSuchDriver
from .guarded_drivers import FewCommands, GuardedElement
from .redaction import RecentCredentials

if TYPE_CHECKING:  # imported only by drivers that need it: most centrals do without
    import httpx

GROUP = "pilotage.elements"


@dataclass(frozen=True)
class Tools:
    """The parts of the outside world that a driver may use."""

    commands: Commands
    clock: Clock
    folder: Path  # of this element alone, for files that must outlive a call
    credential: CredentialSource | None = None  # None: the element needs none
    transport: "httpx.AsyncBaseTransport | None" = None  # None: the network


def _is_well(options: msgspec.Struct) -> None:
    """Accept any options."""


@dataclass(frozen=True)
class ElementTraits:
    """Facts about an element outside its options, which may matter to a driver."""

    has_credential: bool = False
    whole_nodes: bool = False  # a shape of its pilots is a whole node


def _does(options: msgspec.Struct, use: ElementTraits) -> None:
    """Accept any combination."""


def check_nodes(options: Any, use: ElementTraits) -> None:
    """Refuse whole nodes if their size is unknown. Raises BadOptions."""
    if use.whole_nodes and not options.node_cores:
        raise BadOptions("options.node_cores: found 0, but a shape has whole_node: give the cores")


@dataclass(frozen=True)
class Driver:
    """The object that an entry point of the group `pilotage.elements` names.

    `options` is a frozen Struct that refuses unknown fields. It describes the `options` of the
    element in the site's file. `make` builds the element from them.
    """

    options: type[msgspec.Struct]
    make: Callable[[Any, Tools], ComputeElement]
    programs: tuple[str, ...] = ()  # used by the driver, here or on a machine behind SSH
    takes_credential: bool = True  # False: a credential is refused
    files: tuple[str, ...] = ()  # options that name files which the central must be able to read
    check: Callable[[Any], None] = _is_well  # further check of the options. Raises BadOptions
    check_use: Callable[[Any, ElementTraits], None] = (
        _does  # check of options and traits together. Raises BadOptions
    )


def kinds() -> list[str]:
    """Return the names of all drivers that are installed."""
    return sorted({one.name for one in entry_points(group=GROUP)})


def driver(kind: str) -> Driver:
    """Return the driver of this kind. Raises NoSuchDriver and BadOptions."""
    for found in entry_points(group=GROUP):
        if found.name == kind:
            try:
                loaded = found.load()
            except (ImportError, AttributeError) as why:
                raise BadOptions(
                    f"kind: {found.value} of {kind!r} cannot be loaded: {why}"
                ) from None
            if not isinstance(loaded, Driver):
                raise BadOptions(f"kind: {found.value} of {kind!r} is not a Driver")
            return loaded
    raise NoSuchDriver(kind, kinds())


def element(kind: str, options: Mapping[str, Any], tools: Tools) -> ComputeElement:
    """Build the element of a kind. Raises NoSuchDriver and BadOptions, which name the field."""
    found = driver(kind)
    if tools.credential is not None and not found.takes_credential:
        raise BadOptions(f"credential: an element of kind {kind!r} takes none; leave it out")
    own = replace(tools, commands=FewCommands(tools.commands))
    if tools.credential is None:
        return GuardedElement(found.make(read_options(found, options), own))
    credential = RecentCredentials(tools.credential)
    own = replace(own, credential=credential)
    return GuardedElement(found.make(read_options(found, options), own), lambda: credential.secrets)


def read_options(found: Driver, options: Mapping[str, Any]) -> msgspec.Struct:
    """Return options as the driver's Struct. Raises BadOptions, which names the field."""
    try:
        read = convert(dict(options), found.options)
    except msgspec.ValidationError as why:
        mistake = complaint(why, found.options, as_json(dict(options)))
        raise BadOptions(f"options{mistake.path[1:]}: {mistake.message}") from None
    found.check(read)
    return read
