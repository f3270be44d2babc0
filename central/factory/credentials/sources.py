"""The sources of credentials, by their names in site files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pilotage.proto.decoding.complaints import as_json, complaint
from pilotage.proto.decoding.typed_quantities import convert

from ...identity.providers.client_requests import ClientRequests
from ...ports import Clock, Randomness
from ..commands import Commands
from ..credential import CredentialSource
from ..errors import BadOptions
from .client_credentials import ClientOptions, ClientSource
from .command import CommandOptions, CommandSource
from .files import FileOptions, FileSource
from .issued_tokens import IssuedOptions, IssuedSource, Signer
from .proxy import ProxyOptions, read_proxy
from .renewed_files import RenewedOptions, RenewedSource


@dataclass(frozen=True)
class _Means:
    """The parts of the outside world that sources may use."""

    commands: Commands | None
    clock: Clock
    signer: Signer | None
    requests: ClientRequests | None
    randomness: Randomness | None


@dataclass(frozen=True)
class _Kind:
    options: type[msgspec.Struct]
    make: Callable[[Any, _Means], CredentialSource]


def _issued(options: IssuedOptions, means: _Means) -> CredentialSource:
    if means.signer is None:
        raise BadOptions(
            "credential.source: there is no issuer here; only a running central has it"
        )
    return IssuedSource(options, means.signer, means.clock)


def _client(options: ClientOptions, means: _Means) -> CredentialSource:
    if means.requests is None or means.randomness is None:
        raise BadOptions(
            "credential.source: providers are not asked here; only a running central asks them"
        )
    return ClientSource(options, means.requests, means.clock, means.randomness)


def _printed(options: CommandOptions, means: _Means) -> CredentialSource:
    if means.commands is None:
        raise BadOptions("credential.source: found 'command', which cannot be used here")
    return CommandSource(options, means.commands, means.clock)


_KINDS: Mapping[str, _Kind] = {
    "client": _Kind(ClientOptions, _client),
    "command": _Kind(CommandOptions, _printed),
    "file": _Kind(FileOptions, lambda options, means: FileSource(options, means.clock)),
    "issuer": _Kind(IssuedOptions, _issued),
    "proxy": _Kind(
        ProxyOptions,
        lambda options, means: RenewedSource(Path(options.path), means.clock, read_proxy),
    ),
    "renewed": _Kind(
        RenewedOptions, lambda options, means: RenewedSource(Path(options.path), means.clock)
    ),
}
OPTIONS: Mapping[str, type[msgspec.Struct]] = {name: one.options for name, one in _KINDS.items()}


def options_of(name: str, options: Mapping[str, Any]) -> msgspec.Struct:
    """Return the options of a source. Raises BadOptions, which names the field."""
    kind = _KINDS.get(name)
    if kind is None:
        known = ", ".join(_KINDS)
        raise BadOptions(f"credential.source: there is no source {name!r}; known sources: {known}")
    try:
        return convert(dict(options), kind.options)
    except msgspec.ValidationError as why:
        mistake = complaint(why, kind.options, as_json(dict(options)))
        raise BadOptions(f"credential.options{mistake.path[1:]}: {mistake.message}") from None


def source(
    name: str,
    options: Mapping[str, Any],
    *,
    scope: tuple[str, ...] | None = None,
    commands: Commands | None = None,
    clock: Clock,
    signer: Signer | None = None,
    requests: ClientRequests | None = None,
    randomness: Randomness | None = None,
) -> CredentialSource:
    """Build a source.

    Tokens of this installation need a `signer`, and those of providers `requests` and `randomness`.
    `scope` replaces that of the options, with any number and length of scopes.
    Raises BadOptions, which names the field.
    """
    given = options_of(name, options)
    if scope is not None:
        given = msgspec.structs.replace(given, scope=scope)
    means = _Means(commands, clock, signer, requests, randomness)
    return _KINDS[name].make(given, means)
