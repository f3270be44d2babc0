"""Searches for jobs zone by zone, and reads all waiting jobs."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from pilotage.proto.ids import ID_MAX
from pilotage.proto.job_states import ACTIVE, JobState

from ..store.engine import Store, takes_long
from ..store.session import Session, json_list
from .record_rows import job_of
from .record_types import JobRow, JobSearch

ZONE_BITS: Final = 10  # a zone is 1 024 consecutive job ids
ZONES_FIRST: Final = 4  # zones that a search reads first; each next step reads four times as many
ZONES_WAITING: Final = 16  # zones that the rebuild reads at a time
SUBMISSIONS_NAMED_MAX: Final = 1_000  # the newest with one name are searched
CLASSES_LED_MAX: Final = 2_000  # with more classes, a search looks at all zones

_ALL: Final = tuple(state.value for state in JobState if state not in ACTIVE)


@takes_long
def search(session: Session, search: JobSearch, *, after: int, limit: int) -> list[JobRow]:
    """Return at most `limit` matching jobs with ids above `after`, in order of the id."""
    found = find(session, search, after=after, limit=limit)
    rows = session.rows("job_rows", {"ids": json_list(found)}) if found else []
    return [job_of(row) for row in rows]


@takes_long
def ids(session: Session, search: JobSearch, *, limit: int, after: int = 0) -> list[int]:
    """Return the ids of at most `limit` matching jobs above `after`, in order."""
    return find(session, search, after=after, limit=limit)


def find(session: Session, search: JobSearch, *, after: int, limit: int) -> list[int]:
    """Return the ids of at most `limit` matching jobs above `after`, in order."""
    if limit <= 0:
        return []
    if search.submission_name:
        return _of_named(session, search, after=after, limit=limit)
    parameters = _parameters(search, after, limit)
    if _is_of_any_state(search):
        # Usually the next jobs match. To find the zones, each class would have to be asked.
        ahead = session.rows("ids_ahead", parameters | _clauses(search))
        if len(ahead) == limit:
            return [row[0] for row in ahead]
    if _of_some_classes(search):
        classes = _classes(session, search)
        if not classes:
            return []
        parameters["classes"] = json_list(classes)
    if search.site:
        site = session.one("get_site", {"site": search.site})
        if site is None:
            return []
        parameters["site_id"] = site[0]
    if search.ids:
        found = session.rows("ids_given", {**parameters, "ids": json_list(search.ids)})
        return [row[0] for row in found]
    if search.name:
        own = session.rows("ids_named", parameters)
        given = session.rows("ids_named_by_template", parameters)
        return sorted(row[0] for row in own + given)[:limit]
    return _by_state(session, search, parameters)


def _of_named(session: Session, search: JobSearch, *, after: int, limit: int) -> list[int]:
    """Search the submissions with a name one by one; their jobs can lie between each other."""
    clauses = {
        "name": search.submission_name,
        "community": search.community,
        "owner_id": search.owner_id,
        "submission_id": search.submission_id,
        "limit": SUBMISSIONS_NAMED_MAX,
    }
    found: list[int] = []
    for (submission_id,) in session.rows("submissions_named", clauses):
        one = msgspec.structs.replace(search, submission_name="", submission_id=submission_id)
        found += find(session, one, after=after, limit=limit)
    return sorted(found)[:limit]


def _parameters(search: JobSearch, after: int, limit: int) -> dict[str, object]:
    states = [state.value for state in search.states]
    return {
        "after": after,
        "limit": limit,
        "states": json_list(states) if states else None,
        "include_deleted": search.include_deleted,
        "classes": None,
        "site_id": None,
        "submission_id": search.submission_id,
        "name": search.name or None,
    }


# -- classes ------------------------------------------------------------------------------------


def _of_some_classes(search: JobSearch) -> bool:
    """Return whether a clause is about a property that all jobs of a class share."""
    return bool(
        search.community is not None
        or search.owner_id is not None
        or search.groups
        or search.owner
        or search.type
    )


def _is_of_any_state(search: JobSearch) -> bool:
    """Return whether no clause, except `include_deleted`, is about single jobs."""
    return (
        not (search.states or search.site or search.ids or search.name)
        and search.submission_id is None
    )


def _clauses(search: JobSearch) -> dict[str, object]:
    return {
        "community": search.community,
        "owner_id": search.owner_id,
        "owner": search.owner or None,
        "type": search.type or None,
        "groups": json_list(search.groups) if search.groups else None,
    }


def _classes(session: Session, search: JobSearch) -> list[int]:
    clauses = _clauses(search)
    if search.owner_id is not None:
        found = session.rows("classes_of_owner", clauses)
    elif search.community is not None:
        found = session.rows("classes_of_community", clauses)
    else:
        found = session.rows("classes_of_any", clauses)
    return [row[0] for row in found]


# -- zones --------------------------------------------------------------------------------------


def _by_state(session: Session, search: JobSearch, parameters: dict[str, object]) -> list[int]:
    """Search zone by zone. If the search names a state or site, also search live attempts."""
    split = bool(search.states or search.site)  # otherwise live attempts make no difference
    wanted = set(search.states) or set(JobState)
    parameters["with_live"] = not split
    resting = [state for state in _ALL if JobState(state) in wanted]
    live = sorted(state.value for state in wanted & ACTIVE)
    found: list[int] = []
    if resting:
        found = _in_zones(session, {**parameters, "states": json_list(resting)})
    if split and live:
        rows = session.rows("ids_live", {**parameters, "states": json_list(live)})
        found = sorted(found + [row[0] for row in rows])
    limit = parameters["limit"]
    assert isinstance(limit, int)
    return found[:limit]


def _in_zones(session: Session, parameters: dict[str, object]) -> list[int]:
    zones = _zones(session, parameters)
    after, limit = parameters["after"], parameters["limit"]
    assert isinstance(after, int) and isinstance(limit, int)
    found: list[int] = []
    size = ZONES_FIRST
    while zones and len(found) < limit:
        taken, zones = zones[:size], zones[size:]
        size *= 4
        rest = {**parameters, "zones": json_list(taken), "limit": limit - len(found)}
        found += [row[0] for row in session.rows("ids_in_zones", rest)]
    return found


def _zones(session: Session, parameters: dict[str, object]) -> list[int]:
    """Return the zones that contain jobs of these classes and states, in order."""
    after, classes = parameters["after"], parameters["classes"]
    assert isinstance(after, int)
    span = {"from": after >> ZONE_BITS, "to": ID_MAX >> ZONE_BITS}
    if parameters["submission_id"] is not None:
        submission = {"submission_id": parameters["submission_id"]}
        found = session.one("get_span", submission)
        if found is None or found[0] is None:
            return []
        span = {
            "from": max(found[0], after) >> ZONE_BITS,
            "to": found[1] >> ZONE_BITS,
        }
    few = isinstance(classes, str) and classes.count(",") < CLASSES_LED_MAX
    statement = "zones_of_classes" if few else "zones"
    return [row[0] for row in session.rows(statement, {**parameters, **span})]


async def waiting(
    store: Store,
) -> AsyncIterator[list[tuple[int, int, int, int, float | None]]]:
    """Yield all waiting jobs in slices, in order of the id.

    Each row is (class_id, priority, job_id, epoch, queue_until).
    """
    zones = await store.read(_zones_waiting)
    for start in range(0, len(zones), ZONES_WAITING):
        found = await store.read(_waiting_in, zones[start : start + ZONES_WAITING])
        if found:
            yield found


def _zones_waiting(session: Session) -> list[int]:
    span: dict[str, object] = {"from": 0, "to": ID_MAX >> ZONE_BITS}
    states = json_list([JobState.WAITING.value])
    return [row[0] for row in session.rows("zones", {**span, "states": states})]


def _waiting_in(
    session: Session, zones: Sequence[int]
) -> list[tuple[int, int, int, int, float | None]]:
    return session.rows("waiting_in_zones", {"zones": json_list(zones)})
