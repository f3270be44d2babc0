"""Sources of credentials by their name in a site's file."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ...ports import Clock
from ..commands import Commands
from ..credential import CredentialSource
from ..errors import BadOptions
from .command import CommandOptions, CommandSource
from .files import FileOptions, FileSource

OPTIONS: Mapping[str, type[msgspec.Struct]] = {"file": FileOptions, "command": CommandOptions}


def source(
    name: str, options: Mapping[str, Any], *, commands: Commands, clock: Clock
) -> CredentialSource:
    """Build a source. Raises BadOptions, which names the field."""
    if name not in OPTIONS:
        known = ", ".join(sorted(OPTIONS))
        raise BadOptions(f"credential.source: there is no source {name!r}; there are {known}")
    try:
        given = msgspec.convert(dict(options), type=OPTIONS[name])
    except msgspec.ValidationError as why:
        raise BadOptions(f"credential.options: {why}") from None
    if isinstance(given, FileOptions):
        return FileSource(given, clock)
    assert isinstance(given, CommandOptions)
    return CommandSource(given, commands, clock)
