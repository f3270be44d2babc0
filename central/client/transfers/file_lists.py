"""Lists of catalogue files with their copies, in pages."""

from collections.abc import AsyncIterator, Sequence

from pilotage.proto.api.data import (
    ITEMS_MAX,
    CopyPage,
    FileCopies,
    ListBy,
    ListRequest,
    UsagePage,
    UsageRow,
)
from pilotage.proto.api.jobs import PAGE_MAX

from ..transport import QueryPairs, Transport


async def files_named(transport: Transport, dids: Sequence[str]) -> AsyncIterator[FileCopies]:
    """Yield the files with these names, also removed ones. Unknown names are omitted."""
    for start in range(0, len(dids), ITEMS_MAX):
        asked = ListRequest(which=tuple(dids[start : start + ITEMS_MAX]), limit=PAGE_MAX)
        page = await transport.ask(CopyPage, "POST", "/v1/data/list", body=asked)
        for one in page.files:
            yield one


async def files_listed(transport: Transport, which: str, by: ListBy) -> AsyncIterator[FileCopies]:
    """Yield the files of a pattern of names, or of a dataset. Removed files are omitted."""
    after: str | None = ""
    while after is not None:
        asked = ListRequest(which=(which,), by=by, after=after, limit=PAGE_MAX)
        page = await transport.ask(CopyPage, "POST", "/v1/data/list", body=asked)
        for one in page.files:
            yield one
        after = page.after


async def usage_of(transport: Transport, *, scope: str, dataset: str) -> list[UsageRow]:
    """Return the sums for each scope, and in it for each storage."""
    sums = dict[tuple[str, str], tuple[int, int]]()
    after: str | None = ""
    while after is not None:
        query: QueryPairs = [("scope", scope), ("dataset", dataset), ("after", after)]
        page = await transport.ask(UsagePage, "GET", "/v1/data/usage", query=query)
        for row in page.rows:
            files, size = sums.get((row.scope, row.storage), (0, 0))
            sums[row.scope, row.storage] = files + row.files, size + row.bytes
        after = page.after
    return [
        UsageRow(scope=of, storage=storage, files=files, bytes=size)
        for (of, storage), (files, size) in sorted(sums.items())
    ]
