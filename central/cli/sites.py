"""`pilotage site …`."""

from typing import TYPE_CHECKING

from cyclopts import App

from .exit_codes import Exit
from .options import COMMON, READING_S, Common, run_with
from .present import print_json, print_table

if TYPE_CHECKING:
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
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)
