"""Quotas, what is used of them, and who holds which content."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.api_quotas import Kind

from ..engine import Store, weighs
from ..quotas import (
    HOLDINGS_A_PAGE,
    Holder,
    Holding,
    HoldingState,
    Limits,
    Naming,
    Quota,
    Use,
)
from ..records import NewJob
from .session import Session, json_list

NAMED_AT_A_TIME: Final = 1_024  # rows of which the names of blobs are read at a time


def obey(session: Session, limits: Limits) -> None:
    """Refuse from now on, in this process, what goes beyond these limits."""
    session.limits = limits


def quotas(session: Session) -> list[Quota]:
    """Return all that operators have set."""
    rows = session.rows("quotas", {})
    return [_struct(Quota, row) for row in rows]


def put_quota(session: Session, quota: Quota) -> None:
    """Keep a quota in place of the one before."""
    fields = msgspec.structs.asdict(quota)
    session.run("put_quota", fields)


def drop_quota(session: Session, kind: Kind, community: str, name: str) -> bool:
    """Remove a quota: the default holds again. False: there was none."""
    fields = {"kind": kind, "community": community, "name": name}
    return session.run("drop_quota", fields).rowcount > 0


def uses(session: Session) -> list[Use]:
    """Return all nonzero usage."""
    return [_struct(Use, row) for row in session.rows("uses", {})]


def uses_of(session: Session, holder: Holder) -> list[Use]:
    """Return what a community, a group and an owner use."""
    fields = {
        "community": holder.community,
        "group": holder.group,
        "owner": str(holder.owner_id),
    }
    return [_struct(Use, row) for row in session.rows("uses_of", fields)]


def take_off(session: Session, ended: Sequence[tuple[str, str, int, int]]) -> None:
    """Take jobs that have ended off: (community, group, owner id, how many); < 0 adds some."""
    for community, group, owner_id, count in ended:
        session.rows("use_jobs", _jobs(community, group, owner_id, -count))


def recount(session: Session) -> None:
    """Recount all unended jobs."""
    session.reserve("job", 0)  # whoever stores jobs waits, so that none is missed
    session.run("forget_jobs_used")
    session.run("recount_jobs_used")


@weighs(2)
def hold(session: Session, holding: Holding, *, whatever: bool = False) -> bool:
    """Say that an owner holds a content, and charge for it. Raises OverQuota.

    False: it was held before. With `whatever` no limit counts.
    """
    fields = msgspec.structs.asdict(holding)
    if not session.run("insert_holding", fields).rowcount:
        touch_holdings(session, holding.owner_id, [holding.sha256], holding.at)
        return False
    used = session.rows("use_bytes", {**fields, "owner": str(holding.owner_id)})
    if not whatever:
        owner_id, community, issuer, subject = session.one("holder", fields)
        holder = Holder(community, holding.group, owner_id, issuer, subject)
        session.limits.check("bytes", holder, used, more=holding.bytes)
    return True


def holdings(session: Session, hashes: Sequence[str]) -> list[Holding]:
    """Return who holds these contents."""
    if not hashes:
        return []
    rows = session.rows("holdings", {"hashes": json_list(hashes)})
    return [_struct(Holding, row) for row in rows]


def touch_holdings(session: Session, owner_id: int, hashes: Sequence[str], at: float) -> None:
    """An owner is about to name these contents: they stay for the time of the hold."""
    fields: dict[str, object] = {"owner_id": owner_id, "hashes": json_list(hashes), "at": at}
    session.run("touch_holdings", fields)


def old_holdings(session: Session, after: tuple[str, int, str], before: float) -> list[Holding]:
    """Return a page of holdings of before a moment, behind (hash, owner id, group)."""
    fields = {
        "sha256": after[0],
        "after_owner": after[1],
        "after_group": after[2],
        "before": before,
        "limit": HOLDINGS_A_PAGE,
    }
    return [_struct(Holding, row) for row in session.rows("old_holdings", fields)]


def let_go(session: Session, holdings: Sequence[Holding], before: float) -> int:
    """Remove holdings that are still older than `before`; return how many.

    Their bytes are given back.
    """
    count = 0
    for one in holdings:
        fields = msgspec.structs.asdict(one)
        if session.run("remove_holding", {**fields, "before": before}).rowcount:
            session.rows("use_bytes", {**fields, "owner": str(one.owner_id), "bytes": -one.bytes})
            count += 1
    return count


def holding_state(session: Session) -> HoldingState:
    """Return whether every content has a holder, and until when all may read the others."""
    found = session.one("holding_state", {})
    return HoldingState(True, 0.0) if found is None else HoldingState(bool(found[0]), found[1])


def holdings_counted(session: Session, open_until: float) -> None:
    """Note that every content of the older store has a holder, and until when all may read."""
    fields = {"open_until": open_until}
    session.run("holdings_counted", fields)


async def blob_names(store: Store) -> AsyncIterator[list[Naming]]:
    """Yield texts in which all blobs stand that a job or an attempt names, by their hashes."""
    for what in ("templates", "bodies", "outputs", "documents", "definitions"):
        begin, end = await store.read(_span_of, what)
        for first in range(begin, end + 1, NAMED_AT_A_TIME):
            found = await store.read(_names_in, what, first)
            if found:
                yield found


def _span_of(session: Session, what: str) -> tuple[int, int]:
    begin, end = session.one(f"span_of_{what}", {})
    return begin, end


def _names_in(session: Session, what: str, first: int) -> list[Naming]:
    span = {"first": first, "last": first + NAMED_AT_A_TIME - 1}
    return [Naming(*row) for row in session.rows(f"held_{what}", span)]


def charge_jobs(session: Session, jobs: Sequence[NewJob], *, before: int) -> None:
    """Count new jobs. Raises OverQuota.

    `before`: jobs of this submission that are already stored.
    """
    _charge(session, Counter([job.class_id for job in jobs]).items(), before=before)


def charge_again(session: Session, job_ids: Sequence[int]) -> None:
    """Count ended jobs that are to run again. Raises OverQuota."""
    _charge(session, session.rows("classes_among", {"ids": json_list(job_ids)}))


def _charge(session: Session, classes: Iterable[tuple[int, int]], *, before: int = 0) -> None:
    for class_id, count in classes:
        holder = session.holder(class_id)
        used = session.rows(
            "use_jobs", _jobs(holder.community, holder.group, holder.owner_id, count)
        )
        session.limits.check("jobs", holder, used, more=count, before=before)


def discharge_jobs(session: Session, classes: Sequence[tuple[int, int]]) -> None:
    """Take off jobs of some classes that were never seen: (class, how many)."""
    for class_id, count in classes:
        holder = session.holder(class_id)
        given = _jobs(holder.community, holder.group, holder.owner_id, -count)
        session.rows("use_jobs", given)


def _jobs(community: str, group: str, owner_id: int, jobs: int) -> dict[str, object]:
    return {"community": community, "group": group, "owner": str(owner_id), "jobs": jobs}


def _struct(kind: Any, row: Sequence[Any]) -> Any:
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))
