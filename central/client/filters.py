"""Job filters as query parameters."""

from pilotage.proto.api.jobs import JobFilter


def query_of(filter: JobFilter, *, after: int, limit: int) -> list[tuple[str, str]]:
    """Return the filter and the cursor of a page as query parameters. Empty clauses are omitted."""
    query = [("state", state.value) for state in filter.states]
    query += [("id", str(id)) for id in filter.ids]
    if filter.submission is not None:
        query.append(("submission", str(filter.submission)))
    words = (
        ("owner", filter.owner),
        ("group", filter.group),
        ("type", filter.type),
        ("site", filter.site),
        ("name", filter.name),
        ("submission_name", filter.submission_name),
    )
    query += [(name, value) for name, value in words if value]
    if filter.include_deleted:
        query.append(("include_deleted", "true"))
    if after:
        query.append(("after", str(after)))
    return [*query, ("limit", str(limit))]
