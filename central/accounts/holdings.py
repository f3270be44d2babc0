"""Holdings: which users hold which contents, for access and for quotas.

A user who uploads a content holds it. If an attempt uploads it, the owner of its job holds it. For
other users the content does not exist, except for callers who may see a holder's outputs.
"""

import math
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Final

from pilotage.proto.api.quotas import QuotaKind

from ..bounded_cache import BoundedCache
from ..identity.callers import Caller, User
from ..identity.policy import Permission
from ..identity.record_types import Holder
from ..identity.scope import Owners, scope
from ..ports import Blobs, Clock
from ..store.engine import Store
from . import record_quotas as quota_records
from .quotas import Quotas
from .record_quotas import KINDS, Holding

TOUCH_S: Final = 600.0  # shortest time between two updates of a holding's time
FRESH_MAX: Final = 20_000
FRESH_S: Final = 600.0  # far below the hold time, so that no sweep removes a fresh holding
_NEVER: Final = (0, -math.inf)


class Holdings:
    """Charges holders for contents, and answers what they hold."""

    def __init__(
        self, store: Store, blobs: Blobs, clock: Clock, owners: Owners, quotas: Quotas
    ) -> None:
        self._store, self._blobs, self._clock = store, blobs, clock
        self._owners, self._quotas = owners, quotas
        # (size, time) of the newest uploads, by owner, group and hash.
        self._fresh = BoundedCache[tuple[int, str, str], tuple[int, float]](FRESH_MAX)
        # About contents that a release without holdings has stored:
        self._counted = False  # their holders are known
        self._closed = False  # their hashes alone no longer give access

    async def holder(self, caller: User) -> Holder:
        """Return the account that is charged for a user's uploads. Store a new owner."""
        owner = await self._owners.get(caller.community, caller)
        group = caller.groups[0] if caller.groups else ""
        return self._owners.holder(owner.community, group, owner.owner_id)

    async def left(self, holder: Holder, sha256: str) -> int | None:
        """Return the number of bytes that the holder may upload for a content.

        None means that there is no limit, or that the content is held. Raises OverQuota if the
        holder is already above the quota.
        """
        limits = self._quotas.limits
        most: dict[QuotaKind, int] = {}
        for kind in KINDS:
            limit = limits.of(kind, holder.community, limits.name_of(kind, holder))
            if limit.bytes is not None:
                most[kind] = limit.bytes
        if not most or sha256 in await self.held(holder, [sha256]):
            return None
        used = await self._quotas.used(holder)
        sums: list[tuple[QuotaKind, int]] = [(kind, used[kind].bytes) for kind in KINDS]
        limits.check("bytes", holder, sums, more=0)  # an empty file fits a full quota
        return min(size - used[kind].bytes for kind, size in most.items())

    async def bounded(
        self, chunks: AsyncIterator[bytes], holder: Holder, left: int | None
    ) -> AsyncIterator[bytes]:
        """Yield chunks of an upload while they fit the quota. Raises OverQuota."""
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if left is not None and size > left:
                await self.refuse(holder, size)
            yield chunk

    async def refuse(self, holder: Holder, size: int) -> None:
        """Raise OverQuota if `size` more bytes exceed the quota."""
        used = await self._quotas.used(holder)
        sums: list[tuple[QuotaKind, int]] = [(kind, used[kind].bytes + size) for kind in KINDS]
        self._quotas.limits.check("bytes", holder, sums, more=size)

    async def hold(self, holder: Holder, sha256: str, size: int, *, whatever: bool = False) -> None:
        """Charge a holder for a content. Raises OverQuota, unless `whatever` is set."""
        await self._store.write(
            quota_records.hold,
            Holding(
                sha256=sha256,
                owner_id=holder.owner_id,
                community=holder.community,
                group=holder.group,
                bytes=size,
                at=self._clock.wall(),
            ),
            whatever=whatever,
        )
        self._remember(holder, sha256, size)

    def _remember(self, holder: Holder, sha256: str, size: int) -> None:
        key = (holder.owner_id, holder.group, sha256)
        self._fresh[key] = (size, self._clock.monotonic())

    def fresh(self, owner_id: int, group: str, hashes: Iterable[str]) -> dict[str, int] | None:
        """Return the sizes of contents that were just uploaded, or None if one of them was not."""
        since = self._clock.monotonic() - FRESH_S
        found: dict[str, int] = {}
        for one in hashes:
            size, at = self._fresh.get((owner_id, group, one), _NEVER)
            if at <= since:
                return None
            found[one] = size
        return found

    async def held(self, holder: Holder, hashes: Sequence[str]) -> dict[str, int]:
        """Return the sizes of the given contents that a holder holds, by hash."""
        found: dict[str, int] = {}
        for name in hashes:
            found |= self.fresh(holder.owner_id, holder.group, [name]) or {}
        rest = [one for one in hashes if one not in found]
        for one in await self._store.read(quota_records.holdings, rest):
            if one.owner_id == holder.owner_id and one.group == holder.group:
                found[one.sha256] = one.bytes
        return found

    async def missing(
        self, owner_id: int, hashes: Sequence[str], groups: Collection[str] = ()
    ) -> list[str]:
        """Return the contents that an owner must upload. The hold time of the others begins again.

        With `groups`, only holdings in these groups count.
        """
        held = [
            one
            for one in await self._store.read(quota_records.holdings, hashes)
            if one.owner_id == owner_id and (not groups or one.group in groups)
        ]
        mine = {one.sha256 for one in held}
        gone = set(await self._blobs.missing(sorted(mine))) if mine else set[str]()
        now = self._clock.wall()
        stale = sorted({one.sha256 for one in held if one.at < now - TOUCH_S} - gone)
        if stale:
            await self._store.write(quota_records.touch_holdings, owner_id, stale, now)
        return [one for one in hashes if one not in mine or one in gone]

    async def adopt(self, holder: Holder, hashes: Iterable[str]) -> dict[str, int]:
        """Let an owner hold contents that a release without holdings stored; return their sizes.

        A content that has a holder is not adopted: further holders must upload it.
        """
        found: dict[str, int] = {}
        if not await self.is_open():
            return found
        wanted = list(hashes)
        held = {one.sha256 for one in await self._store.read(quota_records.holdings, wanted)}
        for one in wanted:
            size = await self._blobs.size(one) if one not in held else None
            if size is not None:
                await self.hold(holder, one, size, whatever=True)
                found[one] = size
        return found

    async def is_open(self) -> bool:
        """Return whether a hash alone gives access to contents without a holder.

        It does for some time after an upgrade from a release without holdings.
        """
        if not self._closed:
            self._counted, until = await self._store.read(quota_records.holding_state)
            self._closed = self._counted and until <= self._clock.wall()
        return not self._closed

    async def may_read(self, caller: Caller, sha256: str, of: Holder | None) -> bool:
        """Return whether a caller may read a content. `of` is the holder of an attempt's job."""
        if of is not None and self.fresh(of.owner_id, of.group, [sha256]) is not None:
            return True
        if isinstance(caller, User):
            return sha256 in await self.readable(caller, [sha256])
        held = await self._store.read(quota_records.holdings, [sha256])
        if of is not None and any(one.owner_id == of.owner_id for one in held):
            return True
        if not await self.is_open():
            return False
        # Until all holders are known, an attempt may read any content, so that no job fails.
        return not held or (of is not None and not self._counted)

    async def readable(self, caller: User, hashes: Sequence[str]) -> set[str]:
        """Return those of the contents that a user may read."""
        held = await self._store.read(quota_records.holdings, hashes)
        bounds = scope(caller, Permission.JOB_OUTPUT, self._owners)
        mine = self._owners.find(caller.community, caller)
        found = {
            one.sha256
            for one in held
            if (mine is not None and one.owner_id == mine.owner_id and not one.group)
            or bounds.covers_holding(one.community, one.group, one.owner_id)
        }
        if len(found) < len(hashes) and await self.is_open():
            found |= set(hashes) - {one.sha256 for one in held}
        return found
