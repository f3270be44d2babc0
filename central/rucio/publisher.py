"""Publishes the outbox: the loop that sends published files to Rucio servers.

Only the leader runs it. While a server is away, its entries wait, and nothing else does. All steps
may be repeated, so a death between two of them loses nothing and doubles nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pilotage.proto.catalogue import Did, FileState, ReplicaState

from ..catalogue import record_read as catalogue_read
from ..catalogue.record_types import FileRow, ReplicaRow
from ..catalogue.storages import Storages
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import StoreBroken, StoreError
from . import outbox_record
from .delivery import Delivered, Deliverer, OutgoingFile, ask_for_rules
from .outbox_ports import OutputPlan, OutputPlans, RucioApi, RucioAway
from .outbox_record import EntryRow, SentBatch

EVERY_S: Final = 1.0
BATCH: Final = 300  # entries that are sent together
JOBS: Final = 500  # Completing jobs that are ended together
PAUSE_S: Final = 5.0  # after the first failure; doubled by each further one
PAUSE_MAX_S: Final = 300.0  # of a server
ENTRY_PAUSE_MAX_S: Final = 3_600.0  # of an entry that the server refuses
TIDY_S: Final = 3_600.0  # between two removals of old clashes

EndJobs = Callable[[Mapping[int, str]], Awaitable[Sequence[int]]]
Connect = Callable[[str, OutputPlan], RucioApi]


@dataclass
class _Server:
    """A server as the publisher knows it."""

    plan: OutputPlan
    api: RucioApi
    deliverer: Deliverer
    failures: int = 0  # in a row
    rests_until: float = 0.0  # monotonic
    why: str = ""


class OutboxPublisher:
    """The loop over the outbox."""

    def __init__(
        self,
        store: Store,
        plans: OutputPlans,
        storages: Storages,
        *,
        connect: Connect,
        end_jobs: EndJobs,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._plans, self._storages = store, plans, storages
        self._connect, self._end_jobs, self._clock, self._log = connect, end_jobs, clock, log
        self._servers: dict[str, _Server] = {}
        self._tidy_at = 0.0

    def trouble(self, rucio: str) -> str:
        """Return why a server takes no files now, or an empty text."""
        if rucio not in self._plans():
            return f"no file rucio/{rucio}.yaml defines this server"
        server = self._servers.get(rucio)
        return server.why if server is not None else ""

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            try:
                more = await self.turn()
            except StoreBroken:
                raise
            except StoreError as why:
                self._log("outbox_waits", rucio="", why=str(why))
                more = False
            await self._clock.sleep(0.0 if more else EVERY_S)

    async def turn(self) -> bool:
        """Send one batch to each server, then end jobs that waited. Return whether more is due."""
        now = self._clock.monotonic()
        servers = [(name, self._server(name)) for name in self._plans()]
        async with asyncio.TaskGroup() as tasks:
            sending = [
                tasks.create_task(self._publish(name, server))
                for name, server in servers
                if server.rests_until <= now
            ]
        settled = await self._store.read(outbox_record.settled_jobs, JOBS)
        if settled:
            ended = await self._end_jobs(settled)
            await self._store.write(outbox_record.release_jobs, ended)
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_S
            await self._store.write(outbox_record.remove_old_clashes)
        return any(one.result() for one in sending) or len(settled) == JOBS

    def _server(self, name: str) -> _Server:
        """Return a server. One whose file has changed is met as a new one."""
        plan = self._plans()[name]
        known = self._servers.get(name)
        if known is None or known.plan != plan:
            api = self._connect(name, plan)

            async def ask_rules(datasets: Sequence[Did]) -> None:
                await self._ask_rules(name, plan, api, datasets)

            known = self._servers[name] = _Server(plan, api, Deliverer(api, ask_rules))
        return known

    # -- one batch -------------------------------------------------------------------------------

    async def _publish(self, name: str, server: _Server) -> bool:
        """Send a batch to a server. Return whether the batch was full and went well."""
        at = self._clock.wall()
        rows = await self._store.read(outbox_record.due, name, at, BATCH)
        if not rows:
            return False
        files, put_off, gone = await self._files(rows, server.plan)
        delivered = Delivered(refused=put_off)
        try:
            for some in _rounds(files):
                delivered.add(await server.deliverer.deliver(some))
        except RucioAway as why:
            self._rest(name, server, str(why))
            over = {*delivered.confirmed, *delivered.clashes, *delivered.refused, *gone}
            away = {row.entry_id: (str(why), at) for row in rows if row.entry_id not in over}
        else:
            away = {}
            if files and not delivered.confirmed and not delivered.clashes:
                self._rest(name, server, next(iter(delivered.refused.values())))
            else:
                server.failures, server.why = 0, ""
        tries = {row.entry_id: row.tries for row in rows}
        later = {
            one: (why, at + _pause_s(tries[one], ENTRY_PAUSE_MAX_S))
            for one, why in delivered.refused.items()
        }
        sent = SentBatch(
            confirmed=tuple(delivered.confirmed),
            clashes=delivered.clashes,
            put_off={**later, **away},
            gone=tuple(gone),
        )
        await self._store.write(outbox_record.settle, sent)
        for one, clash in delivered.clashes.items():
            self._log("outbox_clash", rucio=name, entry=one, why=clash)
        for one, (reason, _) in later.items():
            self._log("outbox_refused", rucio=name, entry=one, why=reason)
        return len(rows) == BATCH and not server.failures

    def _rest(self, name: str, server: _Server, why: str) -> None:
        pause_s = _pause_s(server.failures, PAUSE_MAX_S)
        server.failures, server.why = server.failures + 1, why
        server.rests_until = self._clock.monotonic() + pause_s
        self._log("outbox_waits", rucio=name, why=why)

    async def _files(
        self, rows: Sequence[EntryRow], plan: OutputPlan
    ) -> tuple[list[OutgoingFile], dict[int, str], list[int]]:
        """Return the files to send, reasons why others cannot be sent now, and removed ones."""
        ids = sorted({row.file_id for row in rows})
        files = await self._store.read(catalogue_read.files_by_id, ids)
        copies = await self._store.read(catalogue_read.replicas_of, ids)
        rses = {storage: rse for rse, storage in sorted(plan.storages.items(), reverse=True)}
        found: list[OutgoingFile] = []
        put_off: dict[int, str] = {}
        gone: list[int] = []
        for row in rows:
            file = files.get(row.file_id)
            copy = next(
                (one for one in copies.get(row.file_id, ()) if one.storage == row.storage), None
            )
            if file is None or file.state is FileState.REMOVED or copy is None:
                gone.append(row.entry_id)
            elif why := self._unfit(row, copy, rses):
                put_off[row.entry_id] = why
            else:
                found.append(self._outgoing(row, file, copy, rses[row.storage]))
        return found, put_off, gone

    def _unfit(self, row: EntryRow, copy: ReplicaRow, rses: Mapping[str, str]) -> str:
        """Return why an entry cannot be sent now, or an empty text."""
        if row.storage not in rses:
            return f"rucio/{row.rucio}.yaml: storages names no RSE for the storage {row.storage}"
        if row.storage not in self._storages.book.storages:
            return f"no storage file defines {row.storage}"
        if copy.state is not ReplicaState.AVAILABLE:
            return f"its copy on {row.storage} is {copy.state.value}, expected Available"
        return ""

    def _outgoing(self, row: EntryRow, file: FileRow, copy: ReplicaRow, rse: str) -> OutgoingFile:
        url = self._storages.book.storages[row.storage].url
        return OutgoingFile(
            entry_id=row.entry_id,
            did=file.did,
            bytes=file.bytes,
            adler32=file.adler32,
            metadata=file.metadata,
            datasets=tuple(Did.parse(one) for one in row.datasets),
            rse=rse,
            pfn=f"{url.rstrip('/')}/{copy.path}",
        )

    async def _ask_rules(
        self, name: str, plan: OutputPlan, api: RucioApi, datasets: Sequence[Did]
    ) -> None:
        """Ask for the rules of the file on these datasets, each once."""
        wanted = {
            (str(dataset), msgspec.json.encode(rule).decode()): (dataset, rule)
            for dataset in datasets
            for rule in plan.rules
        }
        if not wanted:
            return
        named = sorted({dataset for dataset, _ in wanted})
        asked = await self._store.read(outbox_record.rules_asked, name, named)
        new = {pair: its for pair, its in wanted.items() if pair not in asked}
        if new:
            await ask_for_rules(api, plan.account, list(new.values()))
            await self._store.write(outbox_record.keep_rules_asked, name, list(new))


def _pause_s(failures: int, longest_s: float) -> float:
    return min(longest_s, PAUSE_S * 2.0 ** min(failures, 20))


def _rounds(files: Sequence[OutgoingFile]) -> list[list[OutgoingFile]]:
    """Return batches in which each file is named once: two jobs may have stored the same file."""
    rounds: list[dict[tuple[str, str], OutgoingFile]] = []
    for one in files:
        place = next((some for some in rounds if one.key not in some), None)
        if place is None:
            rounds.append(place := {})
        place[one.key] = one
    return [list(some.values()) for some in rounds]
