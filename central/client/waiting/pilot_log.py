"""Log lines of pilots: read page by page, and followed if wanted."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.pilots import PilotLogFilter, PilotLogLine, PilotLogPage

from ..pace import Pace

if TYPE_CHECKING:
    from ..transport import Transport

LAST = 100  # lines, if no start time is given
LOOK_S = 2.0


async def lines_of(
    transport: "Transport", wanted: PilotLogFilter, last: int | None, pace: Pace, *, follow: bool
) -> AsyncGenerator[PilotLogLine, None]:
    """Yield the last lines, or all lines since a time; with `follow` also new ones."""
    query = query_of(wanted)
    after: int | None = None
    limit = min(last or LAST, PAGE_MAX) if wanted.since is None else PAGE_MAX
    while True:
        place = [("limit", str(limit))] + ([] if after is None else [("after", str(after))])
        page = await transport.ask(PilotLogPage, "GET", "/v1/pilots/logs", query=query + place)
        for line in page.lines:
            yield line
        after, limit = page.after, PAGE_MAX
        if not page.more:
            if not follow:
                return
            await pace.sleep(LOOK_S)


def query_of(wanted: PilotLogFilter) -> list[tuple[str, str]]:
    """Return the filter as a query."""
    texts = {
        "pilot": wanted.pilot,
        "site": wanted.site,
        "host": wanted.host,
        "batch_id": wanted.batch_id,
        "job": "" if wanted.job is None else str(wanted.job),
        "since": "" if wanted.since is None else str(wanted.since),
        "grep": wanted.grep,
        "warnings": "true" if wanted.warnings else "",
    }
    return [(name, text) for name, text in texts.items() if text]
