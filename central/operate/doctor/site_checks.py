"""Checks of sites: each file field by field, credentials, programs, files.

No element is asked: that is the task of `pilotage site check`. Programs that print a credential are
run, as in the central.
"""

import asyncio
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.proto.trust import trusting

from ...entry_files import SUFFIX
from ...factory.commands import CommandNotStarted, CompletedCommand
from ...factory.credentials.client_credentials import ClientOptions
from ...factory.credentials.command import CommandOptions
from ...factory.credentials.files import read_private
from ...factory.credentials.sources import source
from ...factory.drivers import Driver
from ...factory.errors import BadOptions, CredentialExpired
from ...factory.planning.communities import strangers
from ...factory.site_files.element_checks import fitting
from ...factory.site_files.line_numbers import located
from ...factory.site_files.sites import (
    CredentialEntry,
    ElementEntry,
    SiteBook,
    SiteEntry,
    read_sites,
)
from ...factory.spawned_commands import spawned
from ...identity.errors import BadKeyFile
from ...identity.providers.client_requests import ClientRequests
from ...identity.providers.metadata import MetadataReader
from ...identity.providers.provider_http import ProviderAway
from ...ports import Clock
from ...regular_files import read_regular
from ...settings import Settings
from ..clocks import SystemClock, SystemRandomness
from ..datadir import running_on
from ..pilot_factory import SITES
from .findings import Finding, fault, ok, warning

CHECK: Final = "sites"
PAGE: Final = "see docs/site-files.md; a running central keeps the file's last valid version"
PRINTED_S: Final = 10.0  # for a program to print a credential
SOON_S: Final = 3_600.0  # a credential that ends sooner is reported


def sites(data: Path, settings: Settings) -> Iterator[Finding]:
    """Check all sites' files: one finding for each element, or for a file with an error."""
    folder = _folder(data, settings)
    running = running_on(data)
    if running is not None and running.sites and Path(running.sites) != folder.absolute():
        do = "run doctor with the settings of the central: --config, or its environment variables"
        yield warning(CHECK, f"this check reads {folder}, the central {running.sites}", do)
    if not folder.is_dir():
        if settings.factory.sites:
            yield fault(CHECK, f"{folder}: factory.sites names it, but it is not a folder", PAGE)
        else:
            yield ok(CHECK, f"{folder} does not exist: no site has a file, pilots start by hand")
        return
    book = read_sites(folder, SiteBook())
    for why in book.troubles.values():
        yield fault(CHECK, why, PAGE)
    for name, site in book.sites.items():
        for why in strangers(site.communities, settings.community.names):
            message = located(folder / f"{name}{SUFFIX}", "", why)
            yield fault(CHECK, message, "add it to the settings, or remove it here")
        for element, entry in site.elements.items():
            yield _element(f"{name}/{element}", folder / f"{name}.yaml", site, entry)
    if not book.sites and not book.troubles:
        yield ok(CHECK, f"{folder}: it has no file NAME.yaml")


def _folder(data: Path, settings: Settings) -> Path:
    """Return the folder of the sites' files, from our settings, else from the running central."""
    running = running_on(data)
    if not settings.factory.sites and running is not None and running.sites:
        return Path(running.sites)
    return Path(settings.factory.sites or data / SITES)


def _element(label: str, file: Path, site: SiteEntry, entry: ElementEntry) -> Finding:
    try:
        found, options = fitting(entry)
        held = _credential(entry.credential)
    except BadOptions as why:
        return fault(CHECK, located(file, label.partition("/")[2], str(why)), PAGE)
    missing = [*_unreadable(found, options), *held.wrong]
    if missing:
        do = "the central's user must be able to read it, and it must be valid"
        return fault(CHECK, f"{label}: {'; '.join(missing)}", do)
    absent = [one for one in found.programs if shutil.which(one) is None]
    if absent:
        do = "install it where the central runs, or put it on its PATH"
        return warning(CHECK, f"{label}: not on the PATH here: {', '.join(absent)}", do)
    if held.soon:
        return warning(CHECK, f"{label}: {held.soon}", "make sure that it is renewed")
    if not (site.enabled and entry.enabled):
        return ok(CHECK, f"{label}: {entry.kind}, disabled by its file")
    return ok(CHECK, f"{label}: {entry.kind}, its file is valid; pilotage site check tries it")


def _unreadable(found: Driver, options: msgspec.Struct) -> Iterator[str]:
    """Yield the files in options that cannot be read here."""
    for name in found.files:
        path = getattr(options, name, "")
        if not path:
            continue
        try:
            read_regular(Path(path), 1)
        except OSError as why:
            yield f"options.{name}: {path}: {why.strerror}"


@dataclass(frozen=True)
class _Held:
    """The result of a check of a credential."""

    wrong: tuple[str, ...] = ()
    soon: str = ""


def _credential(entry: CredentialEntry | None) -> _Held:
    """Check a credential, but fetch and sign no token. Raises BadOptions."""
    if entry is None:
        return _Held()
    clock, http = SystemClock(), _NoHttp()
    source(
        entry.source,
        entry.options,
        commands=_NoCommands(),
        clock=clock,
        signer=_NoSigner(),
        requests=ClientRequests(http, MetadataReader(http, clock)),
        randomness=SystemRandomness(),
    )
    if entry.source == "issuer":
        return _Held()
    if entry.source == "client":
        return _Held(tuple(_of_client(msgspec.convert(entry.options, ClientOptions))))
    if entry.source == "command":
        program = msgspec.convert(entry.options, CommandOptions).argv[0]
        if shutil.which(program) is None:
            return _Held((f"credential.options.argv: {program}: no such program",))
    return asyncio.run(_look(entry, clock))


def _of_client(options: ClientOptions) -> Iterator[str]:
    """Yield the faults of the files of a client."""
    try:
        read_private(Path(options.secret_file))
    except CredentialExpired as why:
        yield f"credential.options.secret_file: {why.why}"
    if options.ca_file:
        try:
            read_regular(Path(options.ca_file), 1)  # so that a pipe is not waited for
            trusting(options.ca_file)
        except OSError as why:
            yield f"credential.options.ca_file: {options.ca_file}: {why.strerror or why}"


async def _look(entry: CredentialEntry, clock: Clock) -> _Held:
    """Get the credential from its source and check its remaining life."""
    options = dict(entry.options)
    if entry.source == "command":
        given = msgspec.convert(options, CommandOptions)
        options["timeout_s"] = min(given.timeout_s, PRINTED_S)
    async with spawned() as commands:
        try:
            found = source(entry.source, options, commands=commands, clock=clock)
            until = (await found.current()).expires_at
        except CredentialExpired as why:
            return _Held((f"credential: {why.why}",))
    left_s = None if until is None else until - clock.wall()
    if left_s is None or left_s > SOON_S:
        return _Held()
    return _Held(soon=f"its credential ends in {left_s / 60:.0f} minutes")


class _NoSigner:
    """A signer that only checks options."""

    @property
    def name(self) -> str:
        return ""

    def sign(self, claims: dict[str, Any]) -> str:
        """Refuse to sign. Raises BadKeyFile."""
        raise BadKeyFile("no file", "a check signs nothing")


class _NoHttp:
    """Requests to providers that are not sent: a check uses no network."""

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        """Refuse to ask. Raises ProviderAway."""
        raise ProviderAway(f"{url} is not asked by a check")

    async def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        ca_file: str = "",
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Refuse to ask. Raises ProviderAway."""
        raise ProviderAway(f"{url} is not asked by a check")


class _NoCommands:
    """Commands that are not run: a check changes nothing."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        """Refuse to run. Raises CommandNotStarted."""
        raise CommandNotStarted(f"{argv[0]} is not run by a check")
