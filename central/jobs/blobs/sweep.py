"""Files that nothing names any more go.

Which ones are named is gathered in a filter that may say yes too often and never no: so at worst
a file stays. What was stored or asked for in the last day is held in any case, since whoever asked
may be about to name it.
"""

import hashlib
import re
from collections.abc import Collection
from typing import Final

from ...accounts import record_quotas as quota_records
from ...accounts.record_quotas import Holding
from ...identity import record as identity_records
from ...ports import Blobs, Clock
from ...store.engine import Store

EVERY_S: Final = 86_400.0
OPEN_S: Final = 2 * EVERY_S  # contents of an older store may be read by their hashes alone
PAUSE_S: Final = 0.02  # between two slices, so that others get their turn
_HASH: Final = re.compile(rb"[0-9a-f]{64}")


class HashFilter:
    """A Bloom filter of hashes: 16 MiB hold ten million at an error below one in a hundred."""

    def __init__(self, size_bytes: int = 1 << 24, probes: int = 6) -> None:
        self._bits, self._mask, self._probes = bytearray(size_bytes), size_bytes * 8 - 1, probes
        assert size_bytes & (size_bytes - 1) == 0, "a power of two"

    def add(self, sha256: str) -> None:
        for place in self._places(sha256):
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, sha256: str) -> bool:
        return all(self._bits[place >> 3] & (1 << (place & 7)) for place in self._places(sha256))

    def _places(self, sha256: str) -> list[int]:
        # The hash is as good as random: its parts are as many hashes.
        return [int(sha256[i * 10 : i * 10 + 10], 16) & self._mask for i in range(self._probes)]


class BlobSweep:
    """Looks through all names once a day, and removes the files that are not among them.

    An owner is given back the bytes of what the own jobs name no more. An older store has contents
    without a holder: the first looks charge the owners of the jobs that name them. Jobs may name
    them as long as their hashes open them, so the looks charge until a day after that.
    """

    def __init__(self, store: Store, blobs: Blobs, clock: Clock, *, hold_s: float) -> None:
        self._store, self._blobs, self._clock = store, blobs, clock
        self._hold_s = hold_s
        self._due = clock.monotonic()
        self._communities: dict[int, str] = {}  # of owners

    async def sweep_if_due(self) -> int:
        """Sweep if a day is over; return how many files went."""
        if self._clock.monotonic() < self._due:
            return 0
        self._due = self._clock.monotonic() + EVERY_S
        return await self.sweep()

    async def sweep(self) -> int:
        """Remove what is not named and was not touched for the time of the hold."""
        before = self._clock.wall() - self._hold_s  # of the beginning: names may come meanwhile
        named, count = HashFilter(), 0
        counted, open_until = await self._store.read(quota_records.holding_state)
        charges = not counted or self._clock.wall() < open_until + EVERY_S
        async for namings in quota_records.blob_names(self._store):
            holders: set[tuple[int, str, str]] = set()
            for naming in namings:
                for found in _HASH.findall(naming.text):
                    sha256 = found.decode()
                    named.add(sha256)
                    named.add(_of_owner(naming.owner_id, sha256))
                    holders.add((naming.owner_id, naming.group, sha256))
            if charges:
                await self._hold(holders)
            await self._clock.sleep(PAUSE_S)
        if not counted:
            await self._store.write(quota_records.holdings_counted, self._clock.wall() + OPEN_S)
        await self._give_back(named, before)
        async for hashes in self._blobs.untouched(before):
            unnamed = [sha256 for sha256 in hashes if sha256 not in named]
            count += await self._blobs.remove(unnamed, before)
            await self._clock.sleep(PAUSE_S)
        return count

    async def _hold(self, holders: Collection[tuple[int, str, str]]) -> None:
        """Charge owners for the contents that their jobs name, whatever the limits are."""
        if not all(owner_id in self._communities for owner_id, _, _ in holders):
            self._communities = {
                one.owner_id: one.community
                for one in await self._store.read(identity_records.owners)
            }
        held = await self._store.read(
            quota_records.holdings, sorted({sha256 for _, _, sha256 in holders})
        )
        known = {(one.owner_id, one.group, one.sha256) for one in held}
        for owner_id, group, sha256 in holders:
            if (owner_id, group, sha256) in known or owner_id not in self._communities:
                continue
            size = await self._blobs.size(sha256)
            if size is not None:
                await self._store.write(
                    quota_records.hold,
                    Holding(
                        sha256=sha256,
                        owner_id=owner_id,
                        community=self._communities[owner_id],
                        group=group,
                        bytes=size,
                        at=self._clock.wall(),
                    ),
                    whatever=True,
                )

    async def _give_back(self, named: HashFilter, before: float) -> None:
        after = ("", 0, "")
        while page := await self._store.read(quota_records.old_holdings, after, before):
            gone = [one for one in page if _of_owner(one.owner_id, one.sha256) not in named]
            if gone:
                await self._store.write(quota_records.let_go, gone, before)
            after = (page[-1].sha256, page[-1].owner_id, page[-1].group)
            await self._clock.sleep(PAUSE_S)


def _of_owner(owner_id: int, sha256: str) -> str:
    """Return a hash of a content as one owner names it."""
    return hashlib.sha256(f"{owner_id}:{sha256}".encode()).hexdigest()
