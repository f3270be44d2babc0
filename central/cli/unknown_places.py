"""Warnings about jobs that cannot run now: unknown sites, unknown elements, unmet needs.

The jobs are submitted anyway: sites and pilots may come later.
"""

import asyncio
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

import msgspec

from pilotage.proto.documents.job import Job
from pilotage.proto.tasks import time_limit

from ..client.errors import ClientError
from .command_frame import Client
from .jobs.explain import headline
from .presentation import note, watched

_LOOK_S: Final = 5.0
_SHOWN: Final = 3
_NEAR: Final = 0.55


async def warn_of_unknown(client: Client, jobs: Sequence[Job]) -> None:
    """Report sites and elements of the jobs that the central does not know, on standard error.

    This is only a warning, so errors of the central are ignored here.
    """
    needs = [need for job in jobs for need in job.needs]
    sites = {site for need in needs for site in (*need.sites, *need.banned_sites)}
    sites.update(site for job in jobs if job.preference for site in job.preference.sites)
    elements = {need.element for need in needs if need.element}
    try:
        async with time_limit(_LOOK_S):
            known = {one.site for one in (await client.sites()).sites} if sites else set[str]()
            named = await _elements(client) if elements else set[str]()
    except (ClientError, asyncio.TimeoutError):
        return
    for line in [*_unknown(sites, known, "site"), *_unknown(elements, named, "element")]:
        note(line)


async def warn_of_unmet(client: Client, jobs: Sequence[Job]) -> None:
    """Report jobs that no live pilot fits, on standard error. Pilots may still come.

    Explaining takes the central some milliseconds, so scripts do not ask for it.
    """
    asked = {job.needs: msgspec.structs.replace(job, data=None) for job in jobs}
    if not watched():
        return
    try:
        async with time_limit(_LOOK_S):
            for job in [*asked.values()][:_SHOWN]:
                found = await client.explain(job)
                if found.offers and not found.fitting:
                    why = headline(found)[-1]
                    note(f"no live pilot fits: {why}; the jobs are submitted anyway")
    except (ClientError, asyncio.TimeoutError):
        return


async def missed_site(client: Client, site: str) -> str:
    """Return a warning if the site is unknown. It is empty if the site is known, or on errors."""
    try:
        known = {one.site for one in (await client.sites()).sites}
    except ClientError:
        return ""
    return "" if not site or site in known else _missed(site, known, "site")


async def _elements(client: Client) -> set[str]:
    return {one.element for one in (await client.elements()).elements if one.element}


def _unknown(asked: set[str], known: set[str], what: str) -> list[str]:
    """Return a line for each unknown name. Without known names, or for `{…}`, there is none."""
    lost = sorted(one for one in asked - known if "{" not in one) if known else []
    return [f"{_missed(one, known, what)}; the jobs are submitted anyway" for one in lost[:_SHOWN]]


def _missed(word: str, known: set[str], what: str) -> str:
    names = {one.casefold(): one for one in sorted(known)}
    near = get_close_matches(word.casefold(), names, n=1, cutoff=_NEAR)
    hint = f" (did you mean {names[near[0]]!r}?)" if near else ""
    return f"{what} {word!r} is not known yet{hint}"
