"""Quotas and holdings: a part of the store."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from pilotage.proto.api_quotas import Kind

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
from .opened import Opened
from .session import Session, json_list

NAMED_AT_A_TIME: Final = 1_024  # rows of which the names of blobs are read at a time


class QuotaVerbs(Opened):
    """The verbs of `store.quotas`."""

    async def obey(self, limits: Limits) -> None:
        def begin(session: Session) -> None:
            session.limits = limits

        await self._writer.run(begin)

    async def quotas(self) -> list[Quota]:
        rows = await self._reader.rows("quotas", {})
        return [_struct(Quota, row) for row in rows]

    async def put_quota(self, quota: Quota) -> None:
        fields = msgspec.structs.asdict(quota)
        await self._writer.run(lambda session: session.run("put_quota", fields).rowcount)

    async def drop_quota(self, kind: Kind, community: str, name: str) -> bool:
        fields = {"kind": kind, "community": community, "name": name}
        return await self._writer.run(
            lambda session: session.run("drop_quota", fields).rowcount > 0
        )

    async def uses(self) -> list[Use]:
        return [_struct(Use, row) for row in await self._reader.rows("uses", {})]

    async def uses_of(self, holder: Holder) -> list[Use]:
        fields = {
            "community": holder.community,
            "group": holder.group,
            "owner": str(holder.owner_id),
        }
        return [_struct(Use, row) for row in await self._reader.rows("uses_of", fields)]

    async def take_off(self, ended: Sequence[tuple[str, str, int, int]]) -> None:
        await self._writer.run(partial(_take_off, ended=ended), rows=len(ended))

    async def recount(self) -> None:
        await self._writer.run(_recount)

    async def hold(self, holding: Holding, *, whatever: bool = False) -> bool:
        return await self._writer.run(partial(_hold, one=holding, whatever=whatever), rows=2)

    async def holdings(self, hashes: Sequence[str]) -> list[Holding]:
        if not hashes:
            return []
        rows = await self._reader.rows("holdings", {"hashes": json_list(hashes)})
        return [_struct(Holding, row) for row in rows]

    async def touch_holdings(self, owner_id: int, hashes: Sequence[str], at: float) -> None:
        fields: dict[str, object] = {"owner_id": owner_id, "hashes": json_list(hashes), "at": at}
        touch = partial(_touch, fields=fields)
        await self._writer.run(touch, rows=len(hashes))

    async def old_holdings(self, after: tuple[str, int, str], before: float) -> list[Holding]:
        fields = {
            "sha256": after[0],
            "after_owner": after[1],
            "after_group": after[2],
            "before": before,
            "limit": HOLDINGS_A_PAGE,
        }
        return [_struct(Holding, row) for row in await self._reader.rows("old_holdings", fields)]

    async def let_go(self, holdings: Sequence[Holding], before: float) -> int:
        write = partial(_let_go, holdings=holdings, before=before)
        return await self._writer.run(write, rows=len(holdings))

    async def holding_state(self) -> HoldingState:
        found = await self._reader.one("holding_state", {})
        return HoldingState(True, 0.0) if found is None else HoldingState(bool(found[0]), found[1])

    async def holdings_counted(self, open_until: float) -> None:
        fields = {"open_until": open_until}
        await self._writer.run(lambda session: session.run("holdings_counted", fields).rowcount)

    async def blob_names(self) -> AsyncIterator[list[Naming]]:
        for what in ("templates", "bodies", "outputs", "documents", "definitions"):
            begin, end = await self._reader.one(f"span_of_{what}", {})
            for first in range(begin, end + 1, NAMED_AT_A_TIME):
                span = {"first": first, "last": first + NAMED_AT_A_TIME - 1}
                found = [Naming(*row) for row in await self._reader.rows(f"held_{what}", span)]
                if found:
                    yield found


# -- on the writer's session --------------------------------------------------------------------


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


def _take_off(session: Session, ended: Sequence[tuple[str, str, int, int]]) -> None:
    for community, group, owner_id, count in ended:
        session.rows("use_jobs", _jobs(community, group, owner_id, -count))


def _recount(session: Session) -> None:
    session.reserve("job", 0)  # whoever stores jobs waits, so that none is missed
    session.run("forget_jobs_used")
    session.run("recount_jobs_used")


def _hold(session: Session, one: Holding, whatever: bool) -> bool:
    fields = msgspec.structs.asdict(one)
    if not session.run("insert_holding", fields).rowcount:
        _touch(session, {**fields, "hashes": json_list([one.sha256])})
        return False
    used = session.rows("use_bytes", {**fields, "owner": str(one.owner_id)})
    if not whatever:
        owner_id, community, issuer, subject = session.one("holder", fields)
        holder = Holder(community, one.group, owner_id, issuer, subject)
        session.limits.check("bytes", holder, used, more=one.bytes)
    return True


def _touch(session: Session, fields: dict[str, object]) -> int:
    return session.run("touch_holdings", fields).rowcount


def _let_go(session: Session, holdings: Sequence[Holding], before: float) -> int:
    count = 0
    for one in holdings:
        fields = msgspec.structs.asdict(one)
        if session.run("remove_holding", {**fields, "before": before}).rowcount:
            session.rows("use_bytes", {**fields, "owner": str(one.owner_id), "bytes": -one.bytes})
            count += 1
    return count


def _struct(kind: Any, row: Sequence[Any]) -> Any:
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))
