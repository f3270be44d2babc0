"""Asks an identity provider what its file promises: addresses, keys, flows, and the secret."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final

from ...identity.providers.client_requests import ClientRequests
from ...identity.providers.key_sets import read_key_set
from ...identity.providers.metadata import Metadata, MetadataReader
from ...identity.providers.oauth import GrantEnded, OAuth
from ...identity.providers.provider_files import FOLDER, ProviderEntry
from ...identity.providers.provider_http import BadProvider, ProviderAway, ProviderHttp
from ...ports import Clock
from ...settings import BadSetting
from ..clocks import SystemClock
from ..providers.provider_http import RealProviderHttp
from ..providers.setup import read_secret
from ..serve import ServeOptions, as_it_runs, config_of, settings_of
from .findings import Finding, fault, ok, warning
from .identity_checks import communities, named_files

WITHIN_S: Final = 5.0  # for all answers of a provider; `doctor` asks all providers at the same time
REACH: Final = "check the address, ca_file and the network between the central and the provider"
WRONG_CODE: Final = "pilotage-identity-check"  # no provider gave it: its refusal tells the secret
LOGINS: Final = {  # endpoints of logins, and what people miss without them
    "authorization_endpoint": "nobody can log in with a browser",
    "device_authorization_endpoint": "people log in with `pilotage login --browser` only",
    "revocation_endpoint": "refresh tokens of ended sessions live until the provider ends them",
}


async def ask(file: Path, entry: ProviderEntry) -> list[Finding]:
    """Return findings about a provider's file, and about the answers of its provider."""
    http = RealProviderHttp()
    try:
        asked = [one async for one in answers(entry, http, SystemClock())]
    finally:
        await http.close()
    return [*named_files(file, entry), *_communities(file, entry), *asked]


def ask_all(entries: Mapping[str, ProviderEntry]) -> dict[str, list[Finding]]:
    """Return findings about the answers of several providers, by name, within WITHIN_S seconds."""
    return asyncio.run(answers_of_all(entries, RealProviderHttp(), SystemClock()))


async def answers_of_all(
    entries: Mapping[str, ProviderEntry], http: RealProviderHttp, clock: Clock
) -> dict[str, list[Finding]]:
    """Ask all providers at the same time, then close the connections."""
    try:
        async with asyncio.TaskGroup() as tasks:
            asked = {
                name: tasks.create_task(_soon(entry, http, clock))
                for name, entry in entries.items()
            }
    finally:
        await http.close()
    return {name: task.result() for name, task in asked.items()}


async def _soon(entry: ProviderEntry, http: ProviderHttp, clock: Clock) -> list[Finding]:
    """Return the findings about the answers that come in time."""
    found = list[Finding]()
    try:
        async with asyncio.timeout(WITHIN_S):
            async for one in answers(entry, http, clock):
                found.append(one)
    except TimeoutError:
        why = f"{entry.issuer} has not given all answers within {WITHIN_S:.0f} s"
        found.append(fault("answers", why, REACH))
    return found


async def answers(entry: ProviderEntry, http: ProviderHttp, clock: Clock) -> AsyncIterator[Finding]:
    """Yield a finding for each answer of a provider."""
    requests = ClientRequests(http, MetadataReader(http, clock))
    try:
        metadata = await requests.metadata.of(entry)
    except (ProviderAway, BadProvider) as why:
        yield fault("metadata", str(why), f"correct issuer, letter by letter; {REACH}")
        return
    yield ok("metadata", f"{entry.issuer} names itself so")
    yield await _keys(entry, requests)
    if entry.client is not None:
        for one in _endpoints(metadata):
            yield one
        yield await _secret(entry, OAuth(requests, read_secret))


async def _keys(entry: ProviderEntry, requests: ClientRequests) -> Finding:
    try:
        found = read_key_set(await requests.get(entry, "jwks_uri"))
    except (ProviderAway, BadProvider) as why:
        return fault("keys", str(why), REACH)
    usable = [kid for kid, key in found.keys.items() if key.algorithm in entry.algorithms]
    if not usable:
        reason = "; ".join(found.skipped) or "none is for " + " or ".join(entry.algorithms)
        do = "let the provider sign with ES256 or RS256, and list it in algorithms"
        return fault("keys", f"no key can be used: {reason}", do)
    return ok("keys", f"{len(usable)} can be used, {len(found.skipped)} are skipped")


def _endpoints(metadata: Metadata) -> Iterator[Finding]:
    for name, missed in LOGINS.items():
        if getattr(metadata, name):
            yield ok("logins", f"the metadata have {name}")
        else:
            do = "ask the operators of the provider for it"
            yield warning("logins", f"the metadata have no {name}: {missed}", do)


async def _secret(entry: ProviderEntry, oauth: OAuth) -> Finding:
    """Send a code that no provider gave: a provider checks the secret first (RFC 6749, 5.2)."""
    redirect = "https://localhost/auth/callback"
    try:
        await oauth.code(entry, WRONG_CODE, redirect=redirect, verifier=WRONG_CODE * 2)
    except GrantEnded:
        return ok("secret", "the provider accepts the client and its secret")
    except ProviderAway as why:
        return fault("secret", str(why), REACH)
    except BadProvider as why:
        do = "correct client.id and its secret, and allow this client authorization codes"
        return fault("secret", str(why), do)
    return fault("secret", f"{entry.issuer} gave tokens for a wrong code", "do not use it")


def _communities(file: Path, entry: ProviderEntry) -> Iterator[Finding]:
    """Check communities, if the file is in a data directory with settings."""
    folder = file.resolve().parent
    place = as_it_runs(ServeOptions(data=folder.parent))
    if folder.name != FOLDER or config_of(place) is None:
        return
    try:
        settings = settings_of(place)
    except BadSetting:
        return  # `doctor` tells
    yield from communities(file, entry, settings)
