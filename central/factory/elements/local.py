"""Pilots on the central's own machine, for tests or a single computer."""

from typing import Annotated

import msgspec
from msgspec import Meta

from ..drivers import Driver, Tools
from .bare_hosts import BareHosts


class LocalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of an element of kind `local`."""

    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 20.0  # of one command


def _make(options: LocalOptions, tools: Tools) -> BareHosts:
    return BareHosts(tools.commands, str(tools.folder), timeout_s=options.timeout_s)


DRIVER = Driver(LocalOptions, _make, takes_credential=False)
