"""What `pilotage doctor` says of sites: each file field by field, credentials, programs, files.

Nothing is asked of an element: that does `pilotage site check`.
"""

import asyncio
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ..factory.commands import Completed, NotStarted
from ..factory.credentials.command import CommandOptions
from ..factory.credentials.sources import source
from ..factory.drivers import driver, read_options
from ..factory.errors import BadOptions, CredentialExpired
from ..factory.sites import CredentialEntry, ElementEntry, SiteBook, SiteEntry, read_sites
from ..settings import Settings
from .clocks import SystemClock
from .findings import Finding, fault, ok, warning
from .pilots import SITES

CHECK: Final = "sites"
PAGE: Final = "see docs/site-files.md; a running central keeps what the file said before"
SOON_S: Final = 3_600.0  # a credential that ends sooner is worth a word
READ: Final = ("key_file", "known_hosts", "ca_file", "config")  # options that name files to read
BATCH: Final = ("batch", "batch_options")  # of ssh: what is behind it
NO_BATCH: Final = "none"  # its pilots start at once


def sites(data: Path, settings: Settings) -> Iterator[Finding]:
    """Look at all sites' files: one line an element, or a file that does not read."""
    folder = Path(settings.factory.sites) if settings.factory.sites else data / SITES
    if not folder.is_dir():
        if settings.factory.sites:
            yield fault(CHECK, f"{folder}: factory.sites names it, and it is no folder", PAGE)
        else:
            yield ok(CHECK, "no site is named in a file: pilots are started by hand")
        return
    book = read_sites(folder, SiteBook())
    for why in book.troubles.values():
        yield fault(CHECK, why, PAGE)
    for name, site in book.sites.items():
        for element, entry in site.elements.items():
            yield _element(f"{name}/{element}", folder / f"{name}.yaml", site, entry)
    if not book.sites and not book.troubles:
        yield ok(CHECK, f"{folder}: no file NAME.yaml is in it")


def _element(label: str, file: Path, site: SiteEntry, entry: ElementEntry) -> Finding:
    try:
        found = driver(entry.kind)
        options = read_options(found, entry.options)
        _check_behind(options)
        held = _credential(entry.credential)
    except BadOptions as why:
        return fault(CHECK, f"{file}: elements.{label.partition('/')[2]}.{why}", PAGE)
    missing = [*_unreadable(options), *held.wrong]
    if missing:
        do = "the user that the central runs as must be able to read it, and it must be good"
        return fault(CHECK, f"{label}: {'; '.join(missing)}", do)
    absent = [one for one in found.programs if shutil.which(one) is None]
    if absent:
        do = "install it where the central runs, or put it on its PATH"
        return warning(CHECK, f"{label}: not on the PATH here: {', '.join(absent)}", do)
    if held.soon:
        return warning(CHECK, f"{label}: {held.soon}", "see that something renews it")
    if not (site.enabled and entry.enabled):
        return ok(CHECK, f"{label}: {entry.kind}, disabled by its file")
    return ok(CHECK, f"{label}: {entry.kind}, its file reads; pilotage site check tries it")


def _check_behind(options: msgspec.Struct) -> None:
    """Check what an element behind a login says of the batch system there. Raises BadOptions.

    Its programs are on the other machine: they are not looked for here.
    """
    batch, inner = (getattr(options, name, None) for name in BATCH)
    if batch in (None, NO_BATCH):
        return
    try:
        read_options(driver(str(batch)), inner or {})
    except BadOptions as why:
        raise BadOptions(f"options.batch_options of {batch}: {why}") from None


def _unreadable(options: msgspec.Struct) -> Iterator[str]:
    """Say which files that options name cannot be read here."""
    for name in READ:
        path = getattr(options, name, "")
        if not path:
            continue
        try:
            with Path(path).open("rb"):
                pass
        except OSError as why:
            yield f"options.{name}: {path}: {why.strerror}"


@dataclass(frozen=True)
class _Held:
    """What a look at a credential has shown."""

    wrong: tuple[str, ...] = ()
    soon: str = ""


def _credential(entry: CredentialEntry | None) -> _Held:
    """Look at a credential; what a program prints, or our own issuer signs, is not asked for.

    Raises BadOptions.
    """
    if entry is None or entry.source == "issuer":
        return _Held()
    clock = SystemClock()
    found = source(entry.source, entry.options, commands=_NoCommands(), clock=clock)
    if entry.source == "command":
        program = msgspec.convert(entry.options, CommandOptions).argv[0]
        if shutil.which(program) is None:
            return _Held((f"credential.options.argv: {program}: no such program",))
        return _Held()
    try:
        until = asyncio.run(found.current()).expires_at
    except CredentialExpired as why:
        return _Held((f"credential: {why.why}",))
    left_s = None if until is None else until - clock.wall()
    if left_s is None or left_s > SOON_S:
        return _Held()
    return _Held(soon=f"its credential ends in {left_s / 60:.0f} minutes")


class _NoCommands:
    """Nothing is run: a check changes nothing."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> Completed:
        """Run nothing. Raises NotStarted."""
        raise NotStarted(f"{argv[0]} is not run by a check")
