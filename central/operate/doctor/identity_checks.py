"""Checks of identity providers: each file field by field, secrets, communities, and answers."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from msgspec.structs import replace

from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.strict_yaml import YamlPath

from ...entry_files import SUFFIX, is_entry
from ...identity.providers.provider_files import (
    ALL,
    FOLDER,
    ProviderBook,
    ProviderEntry,
    placed,
    read_providers,
    shown_place,
)
from ...settings import Settings
from ..providers.setup import read_secret
from .findings import Finding, Severity, at_fault, fault, ok, warning

CHECK: Final = "identity"
MEND: Final = "correct the file; a running central keeps its last valid version"

# Asks providers, by name, and returns findings about their answers.
Ask = Callable[[Mapping[str, ProviderEntry]], Mapping[str, Sequence[Finding]]]


def identity(data: Path, settings: Settings, ask: Ask) -> Iterator[Finding]:
    """Check all files of providers, the files that they name, and the providers' answers."""
    said = settings.token.providers
    folder = Path(said) if said else data / FOLDER
    if not folder.is_dir():
        if said:
            do = "make it, or correct the setting"
            yield fault(CHECK, f"{folder}: token.providers names it, but it is not a folder", do)
        return
    book = read_providers(folder, ProviderBook())
    yield from _of_folder(folder, book)
    files = {
        name: [*named_files(folder / f"{name}{SUFFIX}", entry)]
        for name, entry in book.providers.items()
    }
    usable = {name: book.providers[name] for name, found in files.items() if not at_fault(found)}
    told: Mapping[str, Sequence[Finding]] = ask(usable) if usable else {}
    for name, entry in book.providers.items():
        found = [
            *files[name],
            *communities(folder / f"{name}{SUFFIX}", entry, settings),
            *_wrong_answers(name, told.get(name, ())),
        ]
        yield from found
        if not found:
            yield ok(CHECK, f"{name}: {entry.issuer} answers, {_ways(entry)}")


def _wrong_answers(name: str, told: Sequence[Finding]) -> Iterator[Finding]:
    for one in told:
        if one.level is not Severity.OK:
            yield replace(one, check=CHECK, said=f"{name}: {one.check}: {one.said}")


def _of_folder(folder: Path, book: ProviderBook) -> Iterator[Finding]:
    """Check the folder and the names, modes and errors of its files."""
    for why in (*book.troubles.values(), *filter(None, [book.unlisted])):
        yield fault(CHECK, why, MEND)
    try:
        files = sorted(folder.iterdir())
    except OSError:
        return  # it is unlisted
    for path in (folder, *(file for file in files if is_entry(file.name))):
        if _writable_by_all(path):
            why = "any user could make themselves an admin"
            yield fault(CHECK, f"{path}: every user may write it: {why}", f"chmod o-w {path}")


def named_files(file: Path, entry: ProviderEntry) -> Iterator[Finding]:
    """Check the files that a provider's file names."""
    yield from _secret(file, entry)
    yield from _authority(file, entry)


def _secret(file: Path, entry: ProviderEntry) -> Iterator[Finding]:
    """Check the secret of the client, without showing it."""
    if entry.client is None:
        return
    try:
        read_secret(entry.client.secret_file)
    except (OSError, ValueError) as why:
        said = f"{why.filename}: {why.strerror}" if isinstance(why, OSError) else str(why)
        at = placed(file, ("client", "secret_file"))
        do = (
            "let it hold one line that only the central's user can read; if others could read it, "
            "get a new secret from the provider"
        )
        yield fault(CHECK, f"{at}: client.secret_file: {said}", do)


def _authority(file: Path, entry: ProviderEntry) -> Iterator[Finding]:
    if not entry.ca_file:
        return
    at = f"{placed(file, ('ca_file',))}: ca_file: {entry.ca_file}"
    try:
        x509.load_pem_x509_certificates(Path(entry.ca_file).read_bytes())
    except (OSError, ValueError) as why:
        do = "name a PEM file with the certificate of the provider's authority"
        yield fault(CHECK, f"{at}: {why}", do)


def communities(file: Path, entry: ProviderEntry, settings: Settings) -> Iterator[Finding]:
    """Warn of communities that this central does not serve."""
    known = settings.community.names
    rows: dict[YamlPath, str] = {("map", at): row.community for at, row in enumerate(entry.map)}
    rows |= {("subjects", name): row.community for name, row in entry.subjects.items()}
    for place, community in rows.items():
        if community not in ("", ALL, *known):
            at = f"{placed(file, (*place, 'community'))}: {shown_place(place)}.community"
            why = unknown(community, known, what="community")
            yield warning(CHECK, f"{at}: {why}", "see community.name and community.others")


def _ways(entry: ProviderEntry) -> str:
    """Return the ways to get in, in words."""
    logins = "people log in" if entry.client is not None else "nobody logs in"
    if entry.bearer is None:
        return f"{logins}, none of its tokens is taken directly"
    return f"{logins}, its tokens for {', '.join(entry.bearer.audiences)} are taken"


def _writable_by_all(path: Path) -> bool:
    try:
        return bool(os.stat(path).st_mode & 0o002)
    except OSError:
        return False
