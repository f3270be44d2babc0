"""`pilotage site …`."""

from typing import TYPE_CHECKING

from cyclopts import App

from .exit_codes import Exit
from .options import COMMON, READING_S, Common, run_with
from .present import print_json, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pilotage.proto.api import SiteView

    from ..client.client import AsyncClient

app = App(name="site", help="Show sites.")


@app.command(name="list")
def list_sites(*, common: Common = COMMON) -> int:
    """List sites with what they offer and what they have done."""

    async def work(client: "AsyncClient") -> int:
        found = await client.sites()
        if common.json:
            print_json(found)
            return Exit.OK
        rows = (
            (s.site, s.pilots, s.cores, s.cores_free, s.running, s.done, s.failed)
            for s in found.sites
        )
        columns = ("site", "pilots#", "cores#", "free#", "running#", "done#", "failed#")
        print_table(columns, rows, empty="no site has a pilot")
        for line in bans(found.sites):
            print_line(line)
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


@app.command(name="elements")
def list_elements(*, common: Common = COMMON) -> int:
    """List the compute elements that get pilots from the central, and what is wrong with some."""

    async def work(client: "AsyncClient") -> int:
        found = await client.elements()
        if common.json:
            print_json(found)
            return Exit.OK
        rows = (
            (
                *(one.site, one.element, one.kind or "not in force"),
                *(_known(one.pilots), _known(one.queued)),
                *(one.pilots_max, one.pledge, round(one.paused_s)),
            )
            for one in found.elements
        )
        columns = ("site", "element", "kind", "pilots#", "queued#", "most#", "pledge#", "paused s#")
        print_table(columns, rows, empty="no site is named in a file: docs/operations/sites.md")
        for one in found.elements:
            if one.trouble:
                print_line(f"{one.site}/{one.element}: {one.trouble}".replace("/: ", ": "))
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


def _known(count: int | None) -> str:
    return "?" if count is None else str(count)


def bans(sites: "Iterable[SiteView]") -> list[str]:
    """Say which sites and elements are banned."""
    places = [
        place
        for one in sites
        for place in (
            [one.site] if one.banned else [f"{one.site}/{name}" for name in one.banned_elements]
        )
    ]
    return [f"{place} is banned: only jobs of type Test run there" for place in places]
