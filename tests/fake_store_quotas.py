"""The part of the store in memory that keeps quotas, and what counts towards them."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from pilotage.central.store.errors import OverQuota
from pilotage.central.store.quotas import (
    HOLDINGS_A_PAGE,
    NO_LIMITS,
    Holder,
    Holding,
    HoldingState,
    Limits,
    Naming,
    Quota,
    Use,
)
from pilotage.central.store.records import NewJob
from pilotage.proto.api_quotas import Kind
from pilotage.proto.job_states import FINAL

from .fake_store_rows import Data, Job
from .fake_store_transformations import TransformationData

Key = tuple[Kind, str, str]


@dataclass
class QuotaData:
    """What survives a restart."""

    quotas: dict[Key, Quota] = field(default_factory=dict[Key, Quota])
    state: HoldingState = HoldingState(counted=True, open_until=0.0)
    jobs: Counter[Key] = field(default_factory=Counter[Key])
    bytes: Counter[Key] = field(default_factory=Counter[Key])
    holdings: dict[tuple[str, int, str], Holding] = field(
        default_factory=dict[tuple[str, int, str], Holding]
    )


class FakeQuotas:
    """The verbs of `store.quotas`."""

    _data: Data
    _quota_data: QuotaData
    _transformation_data: TransformationData
    _limits: Limits = NO_LIMITS

    def begin_write(self) -> None:
        """Raise what a write raises now."""
        raise NotImplementedError

    async def synced(self) -> None:
        """Wait for the disk."""
        raise NotImplementedError

    async def obey(self, limits: Limits) -> None:
        self._limits = limits

    async def quotas(self) -> list[Quota]:
        return [self._quota_data.quotas[key] for key in sorted(self._quota_data.quotas)]

    async def put_quota(self, quota: Quota) -> None:
        self.begin_write()
        self._quota_data.quotas[quota.key] = quota
        await self.synced()

    async def drop_quota(self, kind: Kind, community: str, name: str) -> bool:
        self.begin_write()
        gone = self._quota_data.quotas.pop((kind, community, name), None)
        await self.synced()
        return gone is not None

    async def uses(self) -> list[Use]:
        jobs, held = self._quota_data.jobs, self._quota_data.bytes
        return [
            Use(kind=key[0], community=key[1], name=key[2], jobs=jobs[key], bytes=held[key])
            for key in sorted(jobs.keys() | held.keys())
            if jobs[key] or held[key]
        ]

    async def uses_of(self, holder: Holder) -> list[Use]:
        keys = keys_of(holder.community, holder.group, holder.owner_id)
        return [one for one in await self.uses() if (one.kind, one.community, one.name) in keys]

    async def take_off(self, ended: Sequence[tuple[str, str, int, int]]) -> None:
        self.begin_write()
        for community, group, owner_id, count in ended:
            for key in keys_of(community, group, owner_id):
                self._quota_data.jobs[key] = max(0, self._quota_data.jobs[key] - count)
        await self.synced()

    async def recount(self) -> None:
        self.begin_write()
        self._quota_data.jobs.clear()
        for job in self._data.jobs.values():
            if job.state not in FINAL:
                for key in self._keys_of_class(job.new.class_id):
                    self._quota_data.jobs[key] += 1
        await self.synced()

    def charge_jobs(self, jobs: Sequence[NewJob], before: int) -> None:
        """Count new jobs. Raises OverQuota, and nothing is counted."""
        counts = Counter(job.class_id for job in jobs)
        charged: Counter[Key] = Counter()
        for class_id, count in counts.items():
            keys = self._keys_of_class(class_id)
            if not keys:
                continue
            charged.update(dict.fromkeys(keys, count))
            sums: list[tuple[Kind, int]] = [
                (key[0], self._quota_data.jobs[key] + charged[key]) for key in keys
            ]
            holder = self._holder(class_id)
            self._limits.check("jobs", holder, sums, more=count, before=before)
        self._quota_data.jobs.update(charged)

    def check_room(self, jobs: Sequence[NewJob]) -> None:
        """Raise OverQuota for jobs that are too many."""
        counted = self._quota_data.jobs.copy()
        try:
            self.charge_jobs(jobs, 0)
        finally:
            self._quota_data.jobs = counted

    def _append_or_drop(self, submission_id: int, jobs: Sequence[NewJob]) -> None:
        """Append all jobs of a submission; over quota there is none."""
        try:
            self._append(submission_id, jobs)
        except OverQuota:
            self._drop(submission_id)
            raise

    def _append(self, submission_id: int, jobs: Sequence[NewJob]) -> int:
        raise NotImplementedError

    def _drop(self, submission_id: int) -> None:
        raise NotImplementedError

    def discharge_job(self, job: Job) -> None:
        """A job goes that was never seen."""
        for key in self._keys_of_class(job.new.class_id):
            self._quota_data.jobs[key] -= 1

    def _holder(self, class_id: int) -> Holder:
        kind = self._data.classes[class_id]
        return self._holder_of(kind.owner_id, kind.group)

    def _holder_of(self, owner_id: int, group: str) -> Holder:
        owner = self._data.owners[owner_id]
        return Holder(owner.community, group, owner_id, owner.issuer, owner.subject)

    def _keys_of_class(self, class_id: int) -> list[Key]:
        kind = self._data.classes.get(class_id)  # some tests make jobs of no class
        return [] if kind is None else keys_of(kind.community, kind.group, kind.owner_id)

    async def hold(self, holding: Holding, *, whatever: bool = False) -> bool:
        self.begin_write()
        key = (holding.sha256, holding.owner_id, holding.group)
        is_new = key not in self._quota_data.holdings
        if is_new:
            keys = keys_of(holding.community, holding.group, holding.owner_id)
            sums: list[tuple[Kind, int]] = [
                (one[0], self._quota_data.bytes[one] + holding.bytes) for one in keys
            ]
            if not whatever:
                holder = self._holder_of(holding.owner_id, holding.group)
                self._limits.check("bytes", holder, sums, more=holding.bytes)
            self._quota_data.holdings[key] = holding
            self._quota_data.bytes.update(dict.fromkeys(keys, holding.bytes))
        else:
            self._touch(holding.owner_id, [holding.sha256], holding.at)
        await self.synced()
        return is_new

    async def holdings(self, hashes: Sequence[str]) -> list[Holding]:
        return [one for one in self._quota_data.holdings.values() if one.sha256 in hashes]

    async def touch_holdings(self, owner_id: int, hashes: Sequence[str], at: float) -> None:
        self.begin_write()
        self._touch(owner_id, hashes, at)
        await self.synced()

    def _touch(self, owner_id: int, hashes: Iterable[str], at: float) -> None:
        held = self._quota_data.holdings
        for key, one in held.items():
            if one.owner_id == owner_id and one.sha256 in hashes and one.at < at:
                held[key] = msgspec.structs.replace(one, at=at)

    async def old_holdings(self, after: tuple[str, int, str], before: float) -> list[Holding]:
        held = self._quota_data.holdings
        return [held[key] for key in sorted(held) if key > after and held[key].at < before][
            :HOLDINGS_A_PAGE
        ]

    async def let_go(self, holdings: Sequence[Holding], before: float) -> int:
        self.begin_write()
        count = 0
        for one in holdings:
            key = (one.sha256, one.owner_id, one.group)
            held = self._quota_data.holdings.get(key)
            if held is not None and held.at < before:
                del self._quota_data.holdings[key]
                for charged in keys_of(held.community, held.group, held.owner_id):
                    self._quota_data.bytes[charged] -= held.bytes
                count += 1
        await self.synced()
        return count

    async def holding_state(self) -> HoldingState:
        return self._quota_data.state

    async def holdings_counted(self, open_until: float) -> None:
        self.begin_write()
        if not self._quota_data.state.counted:
            self._quota_data.state = HoldingState(True, open_until)
        await self.synced()

    async def blob_names(self) -> AsyncIterator[list[Naming]]:
        data = self._data
        classes, jobs = data.classes, data.jobs
        first = {
            one.submission_id: jobs[one.ranges[0][0]].new.class_id
            for one in data.submissions.values()
            if one.ranges and one.ranges[0][0] in jobs
        }
        yield [
            Naming(
                one.owner_id,
                classes[first[one.submission_id]].group if one.submission_id in first else "",
                one.template,
            )
            for one in data.submissions.values()
            if one.template
        ]
        yield [self._naming(job.new.class_id, job.new.body) for job in jobs.values()]
        yield [
            self._naming(jobs[one.job_id].new.class_id, msgspec.json.encode(one.outputs))
            for one in data.attempts.values()
            if one.outputs and one.job_id in jobs
        ]
        yield self._transformation_data.with_blobs()

    def _naming(self, class_id: int, text: bytes) -> Naming:
        kind = self._data.classes[class_id]
        return Naming(kind.owner_id, kind.group, text)


def keys_of(community: str, group: str, owner_id: int) -> list[Key]:
    """Return all that are charged, the outer ones first."""
    return [
        ("community", community, ""),
        ("group", community, group),
        ("owner", community, str(owner_id)),
    ]
