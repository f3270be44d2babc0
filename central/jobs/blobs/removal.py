"""Removes blobs that no job, attempt, transformation or production names.

A Bloom filter collects the named ones. It can have false positives, which only keep a file too
long, but no false negatives. Blobs that were uploaded or requested recently are kept in any case,
because a submission that names them may follow.
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
OPEN_S: Final = 2 * EVERY_S  # after an upgrade, hashes alone give access to contents for this time
PAUSE_S: Final = 0.02  # between two slices, so that other tasks get their turn
_HASH: Final = re.compile(rb"[0-9a-f]{64}")


class HashFilter:
    """A Bloom filter of hashes. 16 MiB hold ten million with below 1 % false positives."""

    def __init__(self, size_bytes: int = 1 << 24, probes: int = 6) -> None:
        self._bits, self._mask, self._probes = bytearray(size_bytes), size_bytes * 8 - 1, probes
        assert size_bytes & (size_bytes - 1) == 0, "a power of two"

    def add(self, sha256: str) -> None:
        for place in self._places(sha256):
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, sha256: str) -> bool:
        return all(self._bits[place >> 3] & (1 << (place & 7)) for place in self._places(sha256))

    def _places(self, sha256: str) -> list[int]:
        # A hash is uniformly random, so its parts can serve as independent hashes.
        return [int(sha256[i * 10 : i * 10 + 10], 16) & self._mask for i in range(self._probes)]


class BlobSweep:
    """Once a day, reads all names of blobs and removes the blobs that are not named.

    It also removes the holdings of owners whose jobs no longer name a content. After an upgrade
    from a release without holdings, the first sweeps charge the owners of the jobs that name a
    content. They do so until one day after hashes alone stop giving access, because until then new
    jobs can name such contents.
    """

    def __init__(self, store: Store, blobs: Blobs, clock: Clock, *, hold_s: float) -> None:
        self._store, self._blobs, self._clock = store, blobs, clock
        self._hold_s = hold_s
        self._due = clock.monotonic()
        self._communities: dict[int, str] = {}  # by owner id

    async def sweep_if_due(self) -> int:
        """Sweep if the last sweep is a day ago; return the number of removed files."""
        if self._clock.monotonic() < self._due:
            return 0
        self._due = self._clock.monotonic() + EVERY_S
        return await self.sweep()

    async def sweep(self) -> int:
        """Remove blobs that are not named and were not touched during the hold time."""
        before = self._clock.wall() - self._hold_s  # taken first: new names can come during a sweep
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
        """Charge owners for the contents that their jobs name, even above their limits."""
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
    """Return a hash of a content together with its owner, for the filter."""
    return hashlib.sha256(f"{owner_id}:{sha256}".encode()).hexdigest()
