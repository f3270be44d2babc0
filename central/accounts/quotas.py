"""Quotas: limits and usage of communities, groups and owners."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from pilotage.proto.api.quotas import QuotaChange, QuotaKind, UsageRow, UsageView
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission, Reach, reach
from ..identity.record_types import Holder
from ..identity.scope import Owners, scope
from ..observe.events import Log
from ..ports import Clock
from ..settings import QuotaSettings
from ..store.engine import Store
from ..store.errors import OverQuota, StoreBroken, StoreError, StoreFull
from ..store.session import Session
from . import record_quotas as quota_records
from .counters import Counters
from .record_quotas import KINDS, Quota, QuotaLimit, QuotaLimits, QuotaUsage

EVERY_S: Final = 1.0  # interval for subtracting ended jobs
P = ParamSpec("P")
T = TypeVar("T")


class QuotaMemory(Protocol):
    """The tables in memory that this module uses."""

    @property
    def counters(self) -> Counters: ...
    @property
    def owners(self) -> Owners: ...


class Quotas:
    """Gives the store the limits, and subtracts ended jobs from the usage."""

    def __init__(
        self,
        store: Store,
        memory: QuotaMemory,
        clock: Clock,
        log: Log,
        settings: QuotaSettings,
        *,
        local_issuer: str,
    ) -> None:
        self._store, self._clock, self._log = store, clock, log
        self._counters, self._owners = memory.counters, memory.owners
        self._defaults, self._issuer = defaults(settings), local_issuer
        self._limits: QuotaLimits | None = None
        self._is_stale = False  # a quota was set here, but not read since
        self._logged = ""
        self._flushing, self._loading = asyncio.Lock(), asyncio.Lock()

    @property
    def limits(self) -> QuotaLimits:
        """The limits in force in this process."""
        return self._limits or QuotaLimits(self._defaults, {}, self._issuer)

    async def load(self) -> None:
        """Read the quotas that operators have set, and apply them to the store."""
        async with self._loading:  # an older reading must not overwrite a newer one
            is_read = self._is_stale = False
            try:
                own = {one.key: one.limit for one in await self._store.read(quota_records.quotas)}
                limits = QuotaLimits(self._defaults, own, self._issuer)
                if limits != self._limits:
                    await self._store.write(quota_records.obey, limits)
                    self._limits = limits
                is_read = True
            finally:
                self._is_stale |= not is_read

    async def run(self) -> None:
        """Subtract ended jobs from the usage. Ends only by cancellation."""
        while True:
            await self._clock.sleep(EVERY_S)
            try:
                if self._is_stale:
                    await self.load()
                await self.flush()
                self._logged = ""
            except StoreBroken:
                raise
            except StoreFull:  # the health page reports it; ended jobs are subtracted later
                continue
            except StoreError as why:
                if str(why) != self._logged:
                    self._log("loop_failed", loop="quotas", error=str(why))
                    self._logged = str(why)

    async def flush(self) -> None:
        """Subtract ended jobs from the usage, after a flush that is already running.

        If the caller is cancelled, the write continues.
        """
        if self._counters.ended or self._counters.recount_due or self._flushing.locked():
            await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        async with self._flushing:
            await self._take_off()

    async def _take_off(self) -> None:
        ended = self._counters.ended
        if self._counters.recount_due:
            ended.clear()
            await self._store.write(quota_records.recount)
            self._counters.recount_due = False
        if not ended:
            return
        taken = dict(ended)
        ended.clear()
        by_owner = Counter[tuple[str, str, int]]()
        for kind, count in taken.items():
            owner_id = self._owners.id_of(kind.community, kind.owner)
            by_owner[kind.community, kind.group, owner_id] += count
        try:
            await self._store.write(
                quota_records.take_off, [(*whose, count) for whose, count in by_owner.items()]
            )
        except BaseException:
            for kind, count in taken.items():
                ended[kind] = ended.get(kind, 0) + count
            raise

    async def with_room(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Write to the store. After OverQuota, subtract ended jobs and retry once."""
        try:
            return await self._store.write(verb, *args, **named)
        except OverQuota:
            await self.flush()
        return await self._store.write(verb, *args, **named)

    async def used(self, holder: Holder) -> dict[QuotaKind, QuotaUsage]:
        """Return the usage of a holder's community, group and owner."""
        found = {one.kind: one for one in await self._store.read(quota_records.uses_of, holder)}
        none = QuotaUsage(kind="owner", community=holder.community, name="", jobs=0, bytes=0)
        return {kind: found.get(kind, none) for kind in KINDS}

    # -- for users and operators ----------------------------------------------------------------

    async def usage(self, caller: User) -> UsageView:
        """Return the usage and the limits that a caller may see."""
        with suppress(StoreError):
            await self.flush()
        await self._owners.recognise(caller)
        uses = await self._store.read(quota_records.uses)
        await self._owners.meet(int(one.name) for one in uses if one.kind == "owner")
        rows: dict[tuple[QuotaKind, str, str], UsageRow] = {}
        for one in uses:
            self._put(rows, one.kind, one.community, self._shown(one), one)
        for kind, community, name in self.limits.own:
            if (kind, community, name) not in rows:
                self._put(rows, kind, community, name, None)
        for kind, community, name in self._of(caller):
            if (kind, community, name) not in rows:
                self._put(rows, kind, community, name, None)
        order = {kind: place for place, kind in enumerate(KINDS)}
        seen = [row for row in rows.values() if self._may_see(caller, row)]
        seen.sort(key=lambda row: (row.community, order[row.kind], row.name))
        return UsageView(rows=seen)

    def _put(
        self,
        rows: dict[tuple[QuotaKind, str, str], UsageRow],
        kind: QuotaKind,
        community: str,
        name: str,
        use: QuotaUsage | None,
    ) -> None:
        limit = self.limits.of(kind, community, name)
        rows[kind, community, name] = UsageRow(
            kind=kind,
            community=community,
            name=name,
            jobs=use.jobs if use else 0,
            jobs_max=limit.jobs,
            bytes=use.bytes if use else 0,
            bytes_max=limit.bytes,
        )

    def _shown(self, one: QuotaUsage) -> str:
        return self._owners.by_id(int(one.name)) if one.kind == "owner" else one.name

    def _of(self, caller: User) -> list[tuple[QuotaKind, str, str]]:
        """Return the keys of the caller's community, groups and owner, even without usage."""
        if not caller.community:
            return []
        me = self._owners.word(caller.issuer, caller.subject)
        groups: list[tuple[QuotaKind, str, str]] = [
            ("group", caller.community, group) for group in caller.groups
        ]
        return [("community", caller.community, ""), *groups, ("owner", caller.community, me)]

    def _may_see(self, caller: User, row: UsageRow) -> bool:
        if not row.name and row.kind == "group":  # contents uploaded without a group
            return False
        right = reach(caller, Permission.USAGE_READ)
        if right is Reach.ALL:
            return True
        if row.community != caller.community:
            return False
        mine = (row.kind, row.community, row.name) in self._of(caller)
        return right is Reach.COMMUNITY or mine

    async def change(self, caller: User, asked: QuotaChange) -> UsageView:
        """Set or remove a quota. Raises Refused (INVALID or FORBIDDEN)."""
        bounds = scope(caller, Permission.QUOTA_CONTROL, self._owners)
        if bounds.community and asked.community != bounds.community:
            raise Refused(
                Code.FORBIDDEN,
                f"your token is for the community {bounds.community!r}; it cannot change quotas of "
                f"{asked.community!r}",
                field="community",
            )
        if bool(asked.name) == (asked.kind == "community"):
            raise Refused(
                Code.INVALID,
                f"a quota of a community has no name, found {asked.name!r}"
                if asked.name
                else f"a quota of kind {asked.kind} needs a name",
                field="name",
            )
        who = self._owners.word(caller.issuer, caller.subject)
        await asyncio.shield(self._set(asked, who))  # it continues if the caller is cancelled
        return await self.usage(caller)

    async def _set(self, asked: QuotaChange, who: str) -> None:
        kind, community, name = asked.kind, asked.community, asked.name
        if asked.remove:
            await self._store.write(quota_records.drop_quota, kind, community, name)
        else:
            quota = Quota(
                kind=kind, community=community, name=name, jobs=asked.jobs, bytes=asked.bytes
            )
            await self._store.write(quota_records.put_quota, quota)
        self._is_stale = True  # until `load` succeeds, now or in `run`
        names = {"kind": kind, "community": community, "name": name}
        self._log("quota_set", **names, who=who, removed=asked.remove)
        await self.load()


def defaults(settings: QuotaSettings) -> dict[QuotaKind, QuotaLimit]:
    """Return the default limits by kind, from the settings."""

    def limit(jobs: int, gb: float) -> QuotaLimit:
        return QuotaLimit(jobs or None, int(gb * 1e9) or None)

    return {
        "owner": limit(settings.owner_jobs, settings.owner_gb),
        "group": limit(settings.group_jobs, settings.group_gb),
        "community": limit(settings.community_jobs, settings.community_gb),
    }
