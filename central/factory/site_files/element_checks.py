"""Checks one element of a site's file: its driver, its credential and its shapes.

The central does not use an element that fails a check; `pilotage doctor` reports the same.
"""

import msgspec

from pilotage.proto.declarations import STOP_MARGIN_S

from ..drivers import Driver, ElementTraits, driver, read_options
from ..errors import BadOptions
from .sites import ElementEntry


def fitting(entry: ElementEntry) -> tuple[Driver, msgspec.Struct]:
    """Return the driver of an element, and its options. Raises BadOptions with the field."""
    found = driver(entry.kind)
    options = read_options(found, entry.options)
    if entry.credential is not None and not found.takes_credential:
        raise BadOptions(f"credential: an element of kind {entry.kind!r} takes none; leave it out")
    use = ElementTraits(
        has_credential=entry.credential is not None,
        whole_nodes=any(one.whole_node for one in entry.shapes),
    )
    found.check_use(options, use)
    _check_margin(entry)
    return found, options


def _check_margin(entry: ElementEntry) -> None:
    said_s = entry.pilot.stop_margin_s
    margin_s = said_s or STOP_MARGIN_S
    for number, shape in enumerate(entry.shapes):
        if margin_s >= shape.wall_s and not said_s:
            raise BadOptions(
                f"shapes.{number}.wall_s: found {shape.wall_s}, expected more than {margin_s:g} s, "
                "the default time for stopping payloads (pilot.stop_margin_s)"
            )
        if margin_s >= shape.wall_s:
            raise BadOptions(
                f"pilot.stop_margin_s: found {margin_s:g} s, but shapes.{number} runs for "
                f"{shape.wall_s} s: nothing would be left for jobs"
            )
