"""The part of the store in memory that counts, keeps accounts, and lets old things go."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from pilotage.central.store.failures import Sum
from pilotage.central.store.protocol import EVIDENCE_MAX
from pilotage.central.store.protocol_retention import PRUNED_MAX
from pilotage.central.store.records import Activity, EndedJob, Evidence
from pilotage.central.store.series import (
    DAY_S,
    DROPPED_SLOTS,
    STEPS,
    AccountRow,
    AccountSearch,
    Entry,
    Point,
    Sample,
    SeriesSearch,
    Sums,
)
from pilotage.proto.job_states import FINAL
from pilotage.proto.pilot_states import PilotState

from .fake_store_failures import FailureData, FakeFailures
from .fake_store_failures import Key as FailureKey
from .fake_store_logs import FakePilotLogs

Key = tuple[str, str, str]  # community, site, type
SWEPT = 4_096  # ids that `ended_jobs` looks at together


@dataclass
class Cell:
    """One row of a series."""

    waiting: float = 0.0
    running: float = 0.0
    sums: Sums = Sums()


@dataclass
class SeriesData:
    """What survives a restart."""

    slots: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    cells: dict[tuple[int, int, Key], Cell] = field(
        default_factory=dict[tuple[int, int, Key], Cell]
    )
    entries: list[tuple[int, Entry]] = field(default_factory=list[tuple[int, Entry]])
    failures: FailureData = field(default_factory=dict[FailureKey, Sum])


def added(one: Sums, other: Sums) -> Sums:
    """Return the sum of two."""
    both = zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
    return Sums.of([sum(pair) for pair in both])


class FakeSeries(FakePilotLogs, FakeFailures):
    """The verbs of `protocol_series` and `protocol_retention`."""

    _data: Any  # what the store itself keeps of jobs and attempts
    _series_data: SeriesData

    async def keep_evidence(self, evidence: Sequence[Evidence]) -> None:
        self.begin_write()
        for one in evidence:
            about = (one.job_id, one.epoch, one.pilot)
            known = [(its.job_id, its.epoch, its.pilot) for its in self._data.evidence]
            if known.count(about) < EVIDENCE_MAX:
                self._data.evidence.append(one)
        await self.synced()

    async def evidence(self, job_id: int) -> list[Evidence]:
        return [one for one in self._data.evidence if one.job_id == job_id]

    def activity(self) -> Activity:
        return Activity()

    # -- series and accounts -------------------------------------------------------------------

    async def keep_counts(
        self, at: int, samples: Sequence[Sample], entries: Sequence[Entry], *, drop: bool = True
    ) -> None:
        self.begin_write()
        data, finest = self._series_data, STEPS[0].step_s
        data.slots.setdefault((finest, at), 1)
        for one in samples:
            cell = data.cells.setdefault((finest, at, (one.community, one.site, one.type)), Cell())
            cell.waiting, cell.running = one.waiting, one.running
            cell.sums = added(cell.sums, one.sums)
        data.entries += [(at // DAY_S, entry) for entry in entries]
        for finer, coarser in zip(STEPS, STEPS[1:], strict=False):
            self._roll_up(finer.step_s, coarser.step_s, at + finest)
        for step in STEPS if drop else ():
            self._drop_old(step.step_s, at - step.keep_s)
        await self.synced()

    def _roll_up(self, finer_s: int, step_s: int, until: int) -> None:
        data = self._series_data
        until = until // step_s * step_s
        known = (at + step_s for step, at in data.slots if step == step_s and at < until)
        since = max(known, default=0)
        samples: defaultdict[int, int] = defaultdict(int)
        for (step, at), count in data.slots.items():
            if step == finer_s and since <= at < until:
                samples[at // step_s * step_s] += count
        for (step, at, key), cell in list(data.cells.items()):
            slot = at // step_s * step_s
            if step == finer_s and since <= at < until:
                weight = data.slots[finer_s, at] / samples[slot]
                made = data.cells.setdefault((step_s, slot, key), Cell())
                made.waiting += cell.waiting * weight
                made.running += cell.running * weight
                made.sums = added(made.sums, cell.sums)
        data.slots |= {(step_s, slot): count for slot, count in samples.items()}

    def _drop_old(self, step_s: int, before: int) -> None:
        data = self._series_data
        oldest = min((at for step, at in data.slots if step == step_s), default=before)
        before = min(before, oldest + DROPPED_SLOTS * step_s)
        data.slots = {
            key: value for key, value in data.slots.items() if key[0] != step_s or key[1] >= before
        }
        data.cells = {
            key: value for key, value in data.cells.items() if key[0] != step_s or key[1] >= before
        }

    async def series_slots(self, search: SeriesSearch, *, limit: int) -> list[int]:
        found = sorted(
            at
            for step, at in self._series_data.slots
            if step == search.step_s and search.since <= at < search.until
        )
        return found[:limit]

    async def series(self, search: SeriesSearch) -> list[Point]:
        found: defaultdict[tuple[str, int], Cell] = defaultdict(Cell)
        for (step, at, (community, site, type_)), cell in self._series_data.cells.items():
            if (
                step == search.step_s
                and search.since <= at < search.until
                and search.community in (None, community)
                and search.site in (None, site)
                and search.type in (None, type_)
            ):
                labels = {"site": site, "type": type_, "community": community}
                made = found[labels.get(search.by, ""), at]
                made.waiting += cell.waiting
                made.running += cell.running
                made.sums = added(made.sums, cell.sums)
        return [
            Point(at=at, label=label, waiting=cell.waiting, running=cell.running, sums=cell.sums)
            for (label, at), cell in sorted(found.items(), key=lambda item: item[0])
        ]

    async def accounts(self, search: AccountSearch, *, limit: int) -> list[AccountRow]:
        found: defaultdict[str, Sums] = defaultdict(Sums)
        for day, entry in self._series_data.entries:
            if (
                search.since <= day < search.until
                and search.community in (None, entry.community)
                and search.owner_id in (None, entry.owner_id)
                and (search.groups is None or entry.group in search.groups)
            ):
                label = _label(search.by, day, entry)
                found[label] = added(found[label], entry.sums)
        rows = [AccountRow(label=label, sums=sums) for label, sums in sorted(found.items())]
        return rows[:limit]

    # -- what goes ------------------------------------------------------------------------------

    async def ended_jobs(self, *, after: int, before: float) -> tuple[list[EndedJob], int | None]:
        ids = sorted(job_id for job_id in self._data.jobs if job_id > after)[:SWEPT]
        found: list[EndedJob] = []
        for job_id in ids:
            job = self._data.jobs[job_id]
            if job.state not in FINAL or job.ended_at >= before:
                continue
            kind = self._data.classes[job.new.class_id]
            site = self._data.attempts[job.attempts[-1]].site if job.attempts else ""
            found.append(
                EndedJob(
                    job_id=job_id,
                    class_id=job.new.class_id,
                    community=kind.community,
                    group=kind.group,
                    owner_id=kind.owner_id,
                    type=kind.type,
                    site=site,
                    state=job.state,
                    ended_at=job.ended_at,
                    deleted=job.deleted,
                )
            )
        return found, ids[-1] if len(ids) == SWEPT else None

    async def prune_jobs(self, jobs: Sequence[tuple[int, float]]) -> list[tuple[int, bool]]:
        self.begin_write()
        if len(jobs) > PRUNED_MAX:
            raise ValueError(f"{len(jobs)} jobs are too many to go at a time")
        told = [
            (job_id, self._data.jobs[job_id].deleted)
            for job_id, ended_at in jobs
            if self._has_ended(job_id, ended_at)
        ]
        gone = [job_id for job_id, _ in told]
        of = {self._data.jobs[job_id].submission_id for job_id in gone}
        for job_id in gone:
            for attempt_id in self._data.jobs.pop(job_id).attempts:
                del self._data.attempts[attempt_id]
        self._data.notes = [one for one in self._data.notes if one.job_id not in gone]
        self._data.evidence = [one for one in self._data.evidence if one.job_id not in gone]
        left = {job.submission_id for job in self._data.jobs.values()}
        for submission_id in of - left:
            record = self._data.submissions[submission_id]
            if record.complete:
                self._data.submissions[submission_id] = msgspec.structs.replace(
                    record, template=None
                )
        await self.synced()
        return told

    def _has_ended(self, job_id: int, ended_at: float) -> bool:
        job = self._data.jobs.get(job_id)
        return job is not None and job.state in FINAL and job.ended_at == ended_at

    async def prune_evidence(self, before: float, *, limit: int) -> int:
        self.begin_write()
        oldest, rest = self._data.evidence[:limit], self._data.evidence[limit:]
        kept = [one for one in oldest if one.at >= before]
        self._data.evidence = kept + rest
        await self.synced()
        return len(oldest) - len(kept)

    async def never_registered(self, now: float, *, limit: int) -> list[str]:
        early = (PilotState.SUBMITTED, PilotState.WAITING)
        found = [
            secret.new.pilot
            for secret in self._pilot_data.secrets.values()
            if secret.nonce is None
            and secret.new.expires_at < now
            and self._pilot_data.pilots[secret.new.pilot].state in early
        ]
        return found[:limit]

    async def ended_pilots(self, *, after: str, before: float, limit: int) -> list[str]:
        found = [
            name
            for name, row in sorted(self._pilot_data.pilots.items())
            if name > after and row.ended_at is not None and row.ended_at < before
        ]
        return found[:limit]

    async def prune_pilots(self, pilots: Sequence[str], before: float) -> None:
        self.begin_write()
        gone = set(await self.ended_pilots(after="", before=before, limit=1_000_000)) & {*pilots}
        data = self._pilot_data
        data.secrets = {key: one for key, one in data.secrets.items() if one.new.pilot not in gone}
        data.pilots = {name: row for name, row in data.pilots.items() if name not in gone}
        for name in gone:
            self._slot_data.slots.pop(name, None)
        await self.synced()

    def forget_classes(self) -> None:
        """Let classes go that no job names, but not the last: its id would come again."""
        named = {job.new.class_id for job in self._data.jobs.values()}
        named.add(max(self._data.classes, default=0))
        self._data.classes = {
            class_id: one for class_id, one in self._data.classes.items() if class_id in named
        }


def _label(by: str, day: int, entry: Entry) -> str:
    match by:
        case "day":
            return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
        case "owner":
            return str(entry.owner_id)
        case "site" | "group" | "type" | "community":
            return str(getattr(entry, by))
        case _:
            return ""
