"""The part of the store in memory that keeps logs of pilots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pilotage.central.store.pilot_logs import (
    JOB_BYTES,
    PARCEL_BYTES,
    LogLine,
    LogSearch,
    LogSource,
    Parcel,
    jobs_of,
)

from .fake_store_pilots import FakePilots


@dataclass
class Kept:
    """A parcel, when it came and what it takes."""

    parcel: Parcel
    at: float
    bytes: int


@dataclass
class LogData:
    """What survives a restart."""

    last_n: dict[str, int] = field(default_factory=dict[str, int])  # by pilot
    sources: dict[str, LogSource] = field(default_factory=dict[str, LogSource])
    kept: list[Kept] = field(default_factory=list[Kept])
    end: int = 0


class FakePilotLogs(FakePilots):
    """The verbs of `store.pilot_logs`."""

    _data: Any  # what the store itself keeps of jobs and attempts
    _log_data: LogData

    async def attempts_of_pilot(
        self, pilot: str, attempt_ids: Sequence[int]
    ) -> Mapping[int, tuple[int, int]]:
        found = (self._data.attempts.get(one) for one in attempt_ids)
        return {
            row.attempt_id: (row.job_id, row.epoch)
            for row in found
            if row is not None and row.pilot == pilot
        }

    async def keep_pilot_log(
        self, source: LogSource, lines: Sequence[LogLine], *, at: float, bytes_max: int
    ) -> int:
        self.begin_write()
        data = self._log_data
        source = data.sources.setdefault(source.pilot, source)
        last_n = data.last_n.get(source.pilot, 0)
        new = tuple(line for line in lines if line.n > last_n)
        if new:
            size = PARCEL_BYTES + JOB_BYTES * len(jobs_of(new)) + len(msgspec.json.encode(new))
            self._make_room(source.pilot, bytes_max - size)
            data.end += 1
            parcel = Parcel(parcel_id=data.end, source=source, lines=new)
            data.kept.append(Kept(parcel, at, size))
            last_n = new[-1].n
        data.last_n[source.pilot] = last_n
        await self.synced()
        return last_n

    def _make_room(self, pilot: str, left: int) -> None:
        """Let the oldest parcels of a pilot go until no more than `left` is taken."""
        data = self._log_data
        mine = [one for one in data.kept if one.parcel.source.pilot == pilot]
        taken = sum(one.bytes for one in mine)
        for one in mine:
            if taken > left:
                data.kept.remove(one)
                taken -= one.bytes

    async def pilot_log(self, search: LogSearch, *, after: int, limit: int) -> list[Parcel]:
        return [one for one in self._found(search) if one.parcel_id > after][:limit]

    async def pilot_log_back(self, search: LogSearch, *, before: int, limit: int) -> list[Parcel]:
        found = [one for one in self._found(search) if one.parcel_id < before]
        return found[::-1][:limit]

    def _found(self, search: LogSearch) -> list[Parcel]:
        return [
            one.parcel
            for one in self._log_data.kept
            if search.fits(one.parcel.source)
            and one.at >= search.since
            and (not search.job or search.job in jobs_of(one.parcel.lines))
        ]

    async def pilot_log_end(self) -> int:
        return self._log_data.end

    async def pilot_log_bytes(self) -> int:
        return sum(one.bytes for one in self._log_data.kept)

    async def prune_pilot_log(self, before: float, *, limit: int) -> int:
        self.begin_write()
        data = self._log_data
        oldest, rest = data.kept[:limit], data.kept[limit:]
        left = [one for one in oldest if one.at >= before]
        data.kept = left + rest
        says = {one.parcel.source.pilot for one in data.kept}
        for pilot in list(data.sources):
            if pilot not in says and pilot not in self._pilot_data.pilots:
                del data.sources[pilot], data.last_n[pilot]
        await self.synced()
        return len(oldest) - len(left)
