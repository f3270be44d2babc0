"""Publishes the outbox: the loop that sends published files to Rucio servers.

Only the leader runs it. While a server is away, its entries wait, and nothing else does. All steps
may be repeated, so a death between two of them loses nothing and doubles nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
from .delivery import Delivered, Deliverer, OutgoingFile, ask_for_rule
from .drivers import RucioDrivers
from .files import RucioEntry
from .http import RucioApi, RucioAway, RucioRefused
from .names import outside, wrong_key
from .outbox_record import EntryRow, SentBatch
from .remote_files import RemoteRse, rse as rse_of
from .storage_paths import pfn_of

EVERY_S: Final = 1.0
BATCH: Final = 300  # entries that are sent together
JOBS: Final = 500  # Completing jobs that are ended together
PAUSE_S: Final = 5.0  # after the first failure; doubled by each further one
PAUSE_MAX_S: Final = 300.0  # of a server
ENTRY_PAUSE_MAX_S: Final = 3_600.0  # of an entry that the server refuses
TIDY_S: Final = 3_600.0  # between two removals of old clashes

EndJobs = Callable[[Mapping[int, str]], Awaitable[None]]  # see `CompletingJobs.end`


@dataclass
class _Server:
    """A server as the publisher knows it."""

    entry: RucioEntry
    api: RucioApi
    deliverer: Deliverer
    failures: int = 0  # in a row
    batch: int = BATCH  # halved by a failure: a gateway may give up on many files
    rests_until: float = 0.0  # monotonic
    why: str = ""


class OutboxPublisher:
    """The loop over the outbox."""

    def __init__(
        self,
        drivers: RucioDrivers,
        *,
        store: Store,
        storages: Storages,
        end_jobs: EndJobs,
        clock: Clock,
        log: Log,
    ) -> None:
        self._drivers, self._store, self._storages = drivers, store, storages
        self._end_jobs, self._clock, self._log = end_jobs, clock, log
        self._servers: dict[str, _Server] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._tidy_at = 0.0

    def trouble(self, rucio: str) -> str:
        """Return why a server takes no files now, or an empty text."""
        if rucio not in self._drivers.entries():
            return f"no file rucio/{rucio}.yaml defines this server"
        server = self._servers.get(rucio)
        return server.why if server is not None else ""

    async def run(self) -> None:
        """Publish for ever. A slow server delays no other."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self.send(tasks)
                try:
                    await self.settle()
                except StoreBroken:
                    raise
                except StoreError as why:
                    self._log("outbox_waits", rucio="", why=str(why))
                await self._clock.sleep(EVERY_S)

    def send(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to send a batch to each server that rests no more and has no batch now."""
        now = self._clock.monotonic()
        for name in self._drivers.entries():
            server, before = self._server(name), self._sending.get(name)
            if server.rests_until <= now and (before is None or before.done()):
                self._sending[name] = tasks.create_task(self._send(name, server))

    async def settle(self) -> None:
        """End jobs that waited for their entries, and remove old clashes. Raises StoreError."""
        settled = await self._store.read(outbox_record.settled_jobs, JOBS)
        if settled:
            await self._end_jobs(settled)
        now = self._clock.monotonic()
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_S
            await self._store.write(outbox_record.remove_old_clashes)

    def _server(self, name: str) -> _Server:
        """Return a server. One whose file has changed is met as a new one."""
        entry = self._drivers.entries()[name]
        known = self._servers.get(name)
        if known is None or known.entry != entry:
            api = self._drivers.connect(name, entry)
            ask = partial(self._ask_rules, name, entry, api)
            known = self._servers[name] = _Server(entry, api, Deliverer(api, ask))
        return known

    async def _send(self, name: str, server: _Server) -> None:
        """Send batches until one is not full, or not all of it was taken."""
        try:
            while await self._publish(name, server):
                pass
        except StoreBroken:
            raise
        except StoreError as why:
            self._log("outbox_waits", rucio=name, why=str(why))

    # -- one batch -------------------------------------------------------------------------------

    async def _publish(self, name: str, server: _Server) -> bool:
        """Send a batch to a server, and write what became of it.

        Return whether it was full and is over, so that the next one follows at once.
        """
        at = self._clock.wall()
        rows = await self._store.read(outbox_record.due, name, at, server.batch)
        if not rows:
            return False
        delivered, gone, away = Delivered(), list[int](), ""
        try:
            files = await self._files(rows, server, delivered, gone)
            for some in _rounds(files):
                delivered.add(await server.deliverer.deliver(some))
        except RucioAway as why:
            away = str(why)
            self._rest(name, server, away)
            server.batch = max(1, server.batch // 2)
        else:
            server.batch = min(BATCH, 2 * server.batch)
            if files and not delivered.taken and not delivered.clashes:
                first = next(iter(delivered.refused.values()))
                self._rest(name, server, f"it refused all files of the last batch: {first}")
            else:
                server.failures, server.why = 0, ""
        tries = {row.entry_id: row.tries for row in rows}
        put_off = {
            one: (why, at + _pause_s(tries[one], ENTRY_PAUSE_MAX_S))
            for one, why in delivered.refused.items()
        }
        if away:
            over = {*delivered.confirmed, *delivered.clashes, *put_off, *gone}
            put_off |= {one: (away, at) for one in tries if one not in over}
        sent = SentBatch(
            confirmed=tuple(delivered.confirmed),
            clashes=delivered.clashes,
            put_off=put_off,
            gone=tuple(gone),
        )
        await self._store.write(outbox_record.settle, sent)
        for one, clash in delivered.clashes.items():
            self._log("outbox_clash", rucio=name, entry=one, why=clash)
        for one, refused in delivered.refused.items():
            self._log("outbox_refused", rucio=name, entry=one, why=refused)
        return len(rows) == BATCH and not put_off

    def _rest(self, name: str, server: _Server, why: str) -> None:
        pause_s = _pause_s(server.failures, PAUSE_MAX_S)
        server.failures, server.why = server.failures + 1, why
        server.rests_until = self._clock.monotonic() + pause_s
        self._log("outbox_waits", rucio=name, why=why)

    async def _files(
        self, rows: Sequence[EntryRow], server: _Server, delivered: Delivered, gone: list[int]
    ) -> list[OutgoingFile]:
        """Return the files to send. Note why others cannot be sent now, and removed ones.

        Raises RucioAway.
        """
        ids = sorted({row.file_id for row in rows})
        files = await self._store.read(catalogue_read.files_by_id, ids)
        copies = await self._store.read(catalogue_read.replicas_of, ids)
        rses = await self._rses(server, {row.storage for row in rows})
        found: list[OutgoingFile] = []
        for row in rows:
            file = files.get(row.file_id)
            copy = next(
                (one for one in copies.get(row.file_id, ()) if one.storage == row.storage), None
            )
            if file is None or file.state is FileState.REMOVED or copy is None:
                gone.append(row.entry_id)
                continue
            if wrong := wrong_key(file.metadata):  # of the payload, or of a dataset
                delivered.clashes[row.entry_id] = wrong
                continue
            one = self._outgoing(row, file, copy, rses.get(row.storage, ""), server.entry.strip)
            if isinstance(one, str):
                delivered.refused[row.entry_id] = one
            else:
                found.append(one)
        return found

    async def _rses(
        self, server: _Server, storages: Collection[str]
    ) -> dict[str, tuple[str, RemoteRse] | str]:
        """Return the RSEs of storages with their names, or why there is none. Raises RucioAway."""
        found: dict[str, tuple[str, RemoteRse] | str] = {}
        for name, storage in server.entry.storages.items():
            if storage in storages:
                try:
                    found[storage] = name, await rse_of(server.api, name)
                except RucioRefused as why:
                    found[storage] = str(why)
        return found

    def _outgoing(
        self,
        row: EntryRow,
        file: FileRow,
        copy: ReplicaRow,
        rse: tuple[str, RemoteRse] | str,
        strip: str,
    ) -> OutgoingFile | str:
        """Return a file as Rucio gets it, or why it cannot be sent now."""
        if not rse:
            return f"rucio/{row.rucio}.yaml: storages names no RSE for the storage {row.storage}"
        if isinstance(rse, str):
            return rse
        entry = self._storages.book.storages.get(row.storage)
        if entry is None:
            return f"no storage file defines {row.storage}"
        if copy.state is not ReplicaState.AVAILABLE:
            return f"its copy on {row.storage} is {copy.state.value}, expected Available"
        if rse[1].deterministic:
            return f"RSE {rse[0]} is deterministic, so it holds no paths of ours: make it another"
        if not (pfn := pfn_of(entry, copy.path, rse[1].protocols)):
            return f"RSE {rse[0]} has no protocol for {entry.url}/{copy.path}"
        return OutgoingFile(
            entry_id=row.entry_id,
            did=outside(file.did, strip),
            bytes=file.bytes,
            adler32=file.adler32,
            metadata=file.metadata,
            datasets=tuple(outside(Did.parse(one), strip) for one in row.datasets),
            rse=rse[0],
            pfn=pfn,
        )

    async def _ask_rules(
        self, name: str, entry: RucioEntry, api: RucioApi, datasets: Sequence[Did]
    ) -> dict[Did, str]:
        """Ask for the rules of the file on these datasets, each once.

        Return why the server refuses rules of some datasets. Raises RucioAway, StoreError.
        """
        if not entry.outputs.rules:
            return {}
        asked = await self._store.read(
            outbox_record.rules_asked, name, [str(one) for one in datasets]
        )
        new: list[tuple[str, str]] = []
        refused: dict[Did, str] = {}
        for dataset in datasets:
            for rule in entry.outputs.rules:
                key = str(dataset), msgspec.json.encode(rule).decode()
                if key not in asked:
                    try:
                        await ask_for_rule(api, entry.account, dataset, rule)
                    except RucioRefused as why:
                        refused[dataset] = str(why)
                    else:
                        new.append(key)
        if new:
            await self._store.write(outbox_record.keep_rules_asked, name, new)
        return refused


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
