"""The service of rules: users add, list, retry and drop them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from pilotage.proto.api.data import RuleJob, RuleList, RuleRequest, RuleView
from pilotage.proto.api.jobs import Action as JobAction, ActionName
from pilotage.proto.catalogue import BadCatalogueField, Did, RuleState, parse_query
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code

from ..catalogue import record_datasets as dataset_records, record_read as catalogue_read
from ..catalogue.rights import community_of
from ..catalogue.service import refused
from ..catalogue.storages import Storages
from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission, Reach, require
from ..identity.scope import Owners
from ..jobs import record as job_records
from ..jobs.record_types import JobRow
from ..observe.times import shown
from ..ports import Clock
from ..store.engine import Store
from . import record as rule_records
from .own_jobs import caller_of
from .record import NewRule, RuleRow, TransferRow

JOBS_SHOWN_MAX: Final = 20
KILLED: Final = 250  # jobs killed in one action
STANDING: Final = frozenset({JobState.WAITING, JobState.HELD})  # a retry replaces such jobs

ActOnJobs = Callable[[User, JobAction], Awaitable[object]]


class RuleService:
    """Rules, for the HTTP API and the web pages."""

    def __init__(
        self,
        store: Store,
        storages: Storages,
        owners: Owners,
        clock: Clock,
        *,
        act: ActOnJobs,
        added: Callable[[], None],
    ) -> None:
        """`act` carries out actions on jobs; `added` is called after a rule was added."""
        self._store, self._storages, self._owners = store, storages, owners
        self._clock, self._act, self._added = clock, act, added

    async def add(self, caller: User, asked: RuleRequest, /) -> RuleView:
        """Add a rule that keeps copies of files. Raises Refused with the field."""
        require(caller, Permission.DATA_WRITE)
        community = community_of(caller)
        if not caller.groups:
            message = (
                "your token names no group, but jobs that copy files need one: use a token with a "
                "group"
            )
            raise Refused(Code.FORBIDDEN, message)
        try:
            await self._check(community, asked)
        except BadCatalogueField as why:
            raise refused(why) from None
        new = NewRule(
            community=community,
            owner=await self._owners.get(community, caller),
            group=caller.groups[0],
            did=asked.did,
            query=parse_query(asked.query).document(),
            copies=asked.copies,
            storages=asked.storages,
        )
        try:
            return self._view(
                await self._store.write(rule_records.add_rule, new, at=self._clock.wall())
            )
        finally:  # the rule may be stored even if the answer is lost
            self._added()

    async def _check(self, community: str, asked: RuleRequest) -> None:
        if bool(asked.did) == bool(asked.query):
            raise BadCatalogueField("did", asked.did, "either a `did` or a `query`")
        known = self._storages.book.storages
        for name in asked.storages:
            if name not in known:
                right = f"a configured storage: {unknown(name, known, what='storage')}"
                raise BadCatalogueField("storages", name, right)
            if not known[name].writable:
                raise BadCatalogueField("storages", name, "a writable storage")
        if len(set(asked.storages)) != len(asked.storages):
            raise BadCatalogueField("storages", ", ".join(asked.storages), "each storage once")
        if asked.copies > len(asked.storages):
            right = f"at most {len(asked.storages)}: a storage can have one copy of a file"
            raise BadCatalogueField("copies", asked.copies, right)
        if asked.did:
            did = Did.parse(asked.did)
            (file,) = await self._store.read(catalogue_read.files_by_did, community, [did])
            if (
                file is None
                and await self._store.read(dataset_records.dataset, community, did) is None
            ):
                raise BadCatalogueField("did", asked.did, "a file or a dataset of the catalogue")
        else:
            keys = {
                one.key: one.type for one in await self._store.read(catalogue_read.keys, community)
            }
            parse_query(asked.query).check(keys)

    async def all(self, caller: User, /) -> RuleList:
        require(caller, Permission.DATA_READ)
        rows = await self._store.read(rule_records.rules, community_of(caller))
        return RuleList(rules=[self._view(row) for row in rows])

    async def show(self, caller: User, rule_id: int, /) -> RuleView:
        """Return a rule with the first jobs that make its copies now."""
        row = await self._get(caller, rule_id)
        jobs = await self._jobs(row, JOBS_SHOWN_MAX)
        shown_ones = [
            RuleJob(
                id=job.job_id,
                storage=transfer.storage,
                state=job.state,
                site=job.site,
                said=job.status or job.reason,
            )
            for transfer, job in jobs
        ]
        return msgspec.structs.replace(self._view(row), jobs=shown_ones)

    async def drop(self, caller: User, rule_id: int, /) -> None:
        """Drop a rule; copies stay. Raises Refused (NOT_FOUND or FORBIDDEN)."""
        row = await self._own(caller, rule_id)
        await self._store.write(rule_records.drop_rule, row.rule.community, rule_id)

    async def retry(self, caller: User, rule_id: int, /) -> RuleView:
        """Retry failed copies now, and copies whose jobs are waiting or held.

        A waiting job keeps the sites that the storages had when it was submitted. So it is killed,
        and a new job uses the current sites. Raises Refused (NOT_FOUND or FORBIDDEN).
        """
        row = await self._own(caller, rule_id)
        replaced = [one for one in await self._jobs(row) if one[1].state in STANDING]
        await self._kill(row, [job.job_id for _, job in replaced])
        await self._store.write(
            rule_records.end_transfers, [(one.transfer_id, "", 0.0) for one, _ in replaced]
        )
        await self._store.write(rule_records.retry_rule, row.rule.community, rule_id)
        if replaced:
            tally = msgspec.structs.replace(
                row.tally,
                moving=max(0, row.tally.moving - len(replaced)),
                wanted=row.tally.wanted + row.tally.stuck + len(replaced),
                stuck=0,
            )
            await self._store.write(
                rule_records.tell_rule, rule_id, RuleState.REPLICATING, tally, ""
            )
        return self._view(await self._get(caller, rule_id))

    async def _jobs(
        self, row: RuleRow, most: int | None = None
    ) -> list[tuple[TransferRow, JobRow]]:
        """Return the open transfers of a rule with their jobs, at most `most`."""
        by_job = {
            one.job_id: one
            for one in await self._store.read(rule_records.transfers, only_open=True)
            if one.rule_id == row.rule_id and one.job_id is not None
        }
        jobs = await self._store.read(job_records.jobs, list(by_job)[:most])
        return [(one, jobs[job_id]) for job_id, one in by_job.items() if job_id in jobs]

    async def _kill(self, row: RuleRow, jobs: Sequence[int]) -> None:
        caller = caller_of(row.rule.owner, row.rule.group)
        reason = f"rule {row.rule_id} was retried"
        for start in range(0, len(jobs), KILLED):
            some = tuple(jobs[start : start + KILLED])
            await self._act(caller, JobAction(action=ActionName.KILL, ids=some, reason=reason))

    async def _own(self, caller: User, rule_id: int) -> RuleRow:
        """Return a rule that the caller may change."""
        reach = require(caller, Permission.DATA_WRITE)
        row = await self._get(caller, rule_id)
        owner = await self._owners.get(row.rule.community, caller)
        own = row.rule.owner.owner_id == owner.owner_id
        allowed = {Reach.OWN: own, Reach.GROUP: own or row.rule.group in caller.groups}
        if not allowed.get(reach, True):
            message = f"rule {rule_id} belongs to another user, so you may not change it"
            raise Refused(Code.FORBIDDEN, message, field="rule")
        return row

    async def _get(self, caller: User, rule_id: int) -> RuleRow:
        for row in await self._store.read(rule_records.rules, community_of(caller)):
            if row.rule_id == rule_id:
                return row
        raise Refused(Code.NOT_FOUND, f"there is no rule {rule_id}", field="rule")

    def _view(self, row: RuleRow) -> RuleView:
        return RuleView(
            id=row.rule_id,
            copies=row.rule.copies,
            storages=list(row.rule.storages),
            state=row.state,
            did=row.rule.did,
            query=row.rule.query,
            files=row.tally.files,
            there=row.tally.there,
            moving=row.tally.moving,
            wanted=row.tally.wanted,
            stuck=row.tally.stuck,
            why=row.why,
            owner=self._owners.by_id(row.rule.owner.owner_id),
            at=shown(row.made_at),
        )
