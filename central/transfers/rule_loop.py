"""Carries out rules: jobs of type Transfer, or the storages themselves, make wanted copies.

A transfer is stored before its job is submitted, and the job's key is derived from the transfer.
So the job is submitted exactly once, even after a crash. The time between two checks of a rule
grows with their duration, so that rules for many files stay cheap.
"""

import glob
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from pilotage.proto.catalogue import Did, Query, parse_query
from pilotage.proto.documents.job import DataInput, DataOutput, Job, JobData

from ..catalogue import record_read as catalogue_read
from ..catalogue.record_types import PRESENT, FileCursor, FileRow
from ..catalogue.remnants import KEY_LENGTH, pause_s
from ..catalogue.storages import Storages
from ..errors import Refused
from ..identity.bans.ban_list import BanList
from ..jobs import record as job_records
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreBroken, StoreError
from . import record as rule_records
from .own_jobs import JobSubmitter, course, submit_one
from .record import RuleRow, TransferRow
from .rules import RuleCount, judge
from .third_party_copies import ThirdPartyCopies

EVERY_S: Final = 1.0
REFUSED_S: Final = 60.0  # pause of a rule after the store refused one of its writes
IDLE_SHARE: Final = 20  # pause after a check, as a multiple of its duration
PAGE: Final = 500
TRANSFER_TYPE: Final = "Transfer"
QUEUE_S: Final = 7 * 86_400  # a job that waits longer fails, so that their number stays bounded
UNKNOWN_ROOM: Final = 1  # transfers to a storage without a file: their job reports the error


class CopyRuleLoop:
    """The loop over all rules."""

    def __init__(
        self,
        store: Store,
        storages: Storages,
        submits: JobSubmitter,
        bans: BanList,
        *,
        clock: Clock,
        log: Log,
        third_party: ThirdPartyCopies | None = None,
    ) -> None:
        """`third_party` makes copies between storages without a pilot; None: jobs make all."""
        self._store, self._storages, self._submits = store, storages, submits
        self._bans, self._third_party = bans, third_party
        self._clock, self._log = clock, log
        self._due: dict[int, float] = {}  # monotonic; by rule
        self._seen: dict[int, int] = {}  # by rule: the last catalogue change that a check saw
        self._added = 0  # rules added since the start; no other process adds rules
        self._none_at = -1  # value of `_added` when the store had no rules

    def added(self) -> None:
        """Note that a rule was added."""
        self._added += 1

    async def run(self) -> None:
        """Carry out rules for ever. While the disk is full, no transfer is ordered."""
        while True:
            await self._clock.sleep(EVERY_S)
            try:
                await self.turn()
            except StoreBroken:
                raise
            except (Refused, StoreError) as why:
                self._log("rules_wait", why=str(why))

    async def turn(self) -> None:
        """End finished transfers, submit those that a crash interrupted, and check due rules.

        Rules of banned persons rest.
        """
        added = self._added
        if added == self._none_at:
            return
        rules = {row.rule_id: row for row in await self._store.read(rule_records.rules)}
        self._none_at = -1 if rules else added
        for gone in self._due.keys() - rules.keys():
            del self._due[gone]
            self._seen.pop(gone, None)
        if not rules:
            return
        open_ones = await self._store.read(rule_records.transfers, only_open=True)
        ended, roomless = await self._end(open_ones)
        for rule_id in ended:
            self._due[rule_id] = 0.0
            self._seen.pop(rule_id, None)
        rules = {one: row for one, row in rules.items() if not self._rests(row)}
        for one in open_ones:
            if one.job_id is None and one.rule_id in rules:
                await self._submit(rules[one.rule_id], one)
        last: dict[str, int] = {}
        for row in rules.values():
            community = row.rule.community
            if community not in last:
                last[community] = await self._store.read(catalogue_read.last_change, community)
            await self._look_if_due(row, last[community], roomless)

    def _rests(self, row: RuleRow) -> bool:
        owner = row.rule.owner
        return self._bans.find(owner.issuer, owner.subject) is not None

    # -- ends -----------------------------------------------------------------------------------

    async def _end(self, transfers: list[TransferRow]) -> tuple[set[int], set[int]]:
        """End transfers whose jobs have ended.

        Return the rules of these transfers, and the open transfers that take no room.
        """
        ended: set[int] = set()
        roomless: set[int] = set()
        ends: list[tuple[int, str, float]] = []
        jobs = await self._store.read(
            job_records.jobs, [one.job_id for one in transfers if one.job_id is not None]
        )
        now = self._clock.wall()
        for one in transfers:
            if one.job_id is None:
                continue
            its = course(one.job_id, jobs.get(one.job_id), now)
            if its.is_open:
                if not its.takes_room:
                    roomless.add(one.transfer_id)
                continue
            ended.add(one.rule_id)
            ends.append((one.transfer_id, its.why, now + pause_s(one.failures + 1)))
            if its.why:
                self._log("transfer_failed", job=one.job_id, storage=one.storage, why=its.why)
        if ends:
            await self._close(ends)
        return ended, roomless

    async def _close(self, ends: Sequence[tuple[int, str, float]]) -> None:
        """End transfers. If the store refuses some of them, end the others one by one."""
        try:
            await self._store.write(rule_records.end_transfers, ends)
        except OF_ALL:
            raise
        except StoreError as why:
            if len(ends) == 1:
                self._log("rules_wait", why=f"transfer {ends[0][0]}: {why}")
                return
            for one in ends:
                await self._close([one])

    # -- check rules ----------------------------------------------------------------------------

    async def _look_if_due(self, row: RuleRow, last_change: int, roomless: Collection[int]) -> None:
        now = self._clock.monotonic()
        if self._due.get(row.rule_id, 0.0) > now:
            return
        idle = not row.tally.wanted and not row.tally.moving
        if idle and self._seen.get(row.rule_id) == last_change:
            return
        try:
            await self._look(row, roomless)
        except OF_ALL:
            raise
        except StoreError as why:  # about this rule only; the others continue
            self._due[row.rule_id] = now + REFUSED_S
            self._log("rules_wait", why=f"rule {row.rule_id}: {why}")
            return
        self._seen[row.rule_id] = last_change
        took = self._clock.monotonic() - now
        self._due[row.rule_id] = now + max(EVERY_S, IDLE_SHARE * took)

    async def _look(self, row: RuleRow, roomless: Collection[int]) -> None:
        """Check all files of a rule, and order as many transfers as their storages have room for.

        The transfers in `roomless` take no room.
        """
        known: dict[int, dict[str, TransferRow]] = {}
        room = self._room()
        why = ""
        for one in await self._store.read(rule_records.transfers):
            known.setdefault(one.file_id, {})[one.storage] = one
            if one.is_open and one.transfer_id not in roomless:
                room[one.storage] -= 1
            if one.rule_id == row.rule_id:
                why = one.why or why
        count, ordered, after = RuleCount(), 0, FileCursor()
        more = True
        while more:
            files, next_place = await self._files(row, after)
            wanted = await self._judge(row, files, known, count, room)
            for transfer in (
                await self._store.write(rule_records.order_transfers, wanted) if wanted else []
            ):
                ordered += 1
                await self._submit(row, transfer)
            more, after = next_place is not None, next_place or after
        if count.stuck and not why:
            why = "some files have no readable copy"
        tally, state = count.tally(ordered), count.state
        if (state, tally, why) != (row.state, row.tally, row.why):
            await self._store.write(rule_records.tell_rule, row.rule_id, state, tally, why)

    def _room(self) -> Counter[str]:
        return Counter(
            {name: entry.transfers_max for name, entry in self._storages.book.storages.items()}
        )

    async def _judge(
        self,
        row: RuleRow,
        files: list[FileRow],
        known: Mapping[int, Mapping[str, TransferRow]],
        count: RuleCount,
        room: Counter[str],
    ) -> list[tuple[int, int, str]]:
        """Add files to the count; return the transfers to order now: (rule, file, storage)."""
        copies = await self._store.read(
            catalogue_read.replicas_of, [file.file_id for file in files]
        )
        wanted: list[tuple[int, int, str]] = []
        for file in files:
            replicas = {copy.storage: copy.state for copy in copies.get(file.file_id, ())}
            verdict = judge(
                row.rule.copies,
                row.rule.storages,
                replicas,
                known.get(file.file_id, {}),
                self._clock.wall(),
            )
            count.add(verdict)
            for storage in verdict.ready:
                if room.get(storage, UNKNOWN_ROOM) > 0:
                    room[storage] = room.get(storage, UNKNOWN_ROOM) - 1
                    wanted.append((row.rule_id, file.file_id, storage))
        return wanted

    async def _files(
        self, row: RuleRow, after: FileCursor
    ) -> tuple[list[FileRow], FileCursor | None]:
        """Return a page of the files of a rule."""
        community = row.rule.community
        if not row.rule.did:
            query = parse_query(row.rule.query)
        else:
            did = Did.parse(row.rule.did)
            (file,) = await self._store.read(catalogue_read.files_by_did, community, [did])
            if file is not None:
                return [file] if file.state in PRESENT else [], None
            query = Query((), did)
        found = await self._store.read(
            catalogue_read.find_files, community, query, states=PRESENT, after=after, limit=PAGE
        )
        return found.files, found.next

    # -- jobs -----------------------------------------------------------------------------------

    async def _submit(self, row: RuleRow, transfer: TransferRow) -> None:
        """Make a copy without a pilot, or submit its job, whose key makes this idempotent."""
        file = (await self._store.read(catalogue_read.files_by_id, [transfer.file_id]))[
            transfer.file_id
        ]
        if self._third_party is not None:
            copies = await self._store.read(catalogue_read.replicas_of, [file.file_id])
            if self._third_party.starts(row, transfer, file, copies.get(file.file_id, [])):
                return
        job = transfer_job(file.did, transfer.storage, row.rule.group)
        rule, key, name = row.rule, _key(transfer), f"rule {row.rule_id}"
        try:
            job_id = await submit_one(
                self._submits, rule.owner, rule.group, job, key=key, name=name
            )
        except OF_ALL:
            raise
        except (Refused, StoreError) as why:
            not_before = self._clock.wall() + pause_s(transfer.failures + 1)
            await self._close([(transfer.transfer_id, str(why), not_before)])
            self._log("transfer_failed", job=0, storage=transfer.storage, why=str(why))
            return
        await self._store.write(rule_records.transfer_job, transfer.transfer_id, job_id)


def _key(transfer: TransferRow) -> str:
    """Return the key of a transfer's job. It is longer than keys of requests may be.

    Otherwise the rule's owner could use the same key, and all rules would wait while a submission
    with that key is in progress.
    """
    return f"transfer-{transfer.transfer_id}-{transfer.failures}".ljust(KEY_LENGTH, ".")


def transfer_job(did: Did, storage: str, group: str) -> Job:
    """Return the job that makes a further copy of a file."""
    name = did.name.rpartition("/")[2]
    return Job(
        command=("true",),
        name=f"copy {did.name}"[-128:],
        type=TRANSFER_TYPE,
        group=group,
        queue_s=QUEUE_S,
        data=JobData(
            inputs=(DataInput(did=str(did)),),
            outputs=(DataOutput(did=str(did), pattern=glob.escape(name), storages=(storage,)),),
        ),
    )
