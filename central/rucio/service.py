"""Shows Rucio servers, how far they are mirrored, and which outputs they do not have yet."""

from collections import defaultdict

from pilotage.proto.api.rucio import (
    OutboxEntry,
    OutboxPage,
    RucioInputView,
    RucioList,
    RucioView,
)
from pilotage.proto.problems import Code

from ..catalogue import record_read as catalogue_read
from ..catalogue.rights import community_of
from ..errors import Refused
from ..identity.callers import User
from ..observe.times import shown
from ..store.engine import Store
from . import outbox_record
from .drivers import RucioDrivers
from .input_states import InputState
from .mirror import RucioMirrors
from .outbox_record import EntryRow, EntryState
from .publisher import OutboxPublisher
from .server_mirror import ServerMirror

SHOWN_MAX = 100  # troubles of an input
AWAITED_MAX = 1_000  # outputs of a job that are read for its explanation


class RucioService:
    """The operations on Rucio servers that routes call."""

    def __init__(
        self, drivers: RucioDrivers, mirrors: RucioMirrors, publisher: OutboxPublisher, store: Store
    ) -> None:
        self._drivers, self._mirrors = drivers, mirrors
        self._publisher, self._store = publisher, store

    async def all(self, caller: User, /) -> RucioList:
        """Return the servers of the caller's community, or all, in order of name."""
        book = self._drivers.files.book
        names = sorted({*book.entries, *book.troubles})
        views = [view for name in names if _may_see(caller, view := self._view(name))]
        return RucioList(servers=views, trouble=book.unlisted)

    async def show(self, caller: User, name: str, /) -> RucioView:
        """Return one server. Raises Refused, NOT_FOUND."""
        servers = (await self.all(caller)).servers
        for one in servers:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in servers) or "none"
        text = f"unknown Rucio server {name!r}; known servers: {known}"
        raise Refused(Code.NOT_FOUND, text, field="rucio")

    async def compare(self, caller: User, name: str, /) -> RucioView:
        """Compare all files of a server soon. Raises Refused, NOT_FOUND."""
        view = await self.show(caller, name)
        server = self._mirrors.servers.get(name)
        if server is not None:
            server.compare_now()
        return view

    async def outbox(
        self, caller: User, /, *, state: EntryState, after: int, limit: int
    ) -> OutboxPage:
        """Return a page of the outputs that servers do not have yet. Raises Refused, FORBIDDEN."""
        community = community_of(caller)
        rows = await self._store.read(
            outbox_record.entries, community, state, after=after, limit=limit
        )
        ids = sorted({row.file_id for row in rows})
        files = await self._store.read(catalogue_read.files_by_id, ids) if ids else {}
        dids = {file_id: str(file.did) for file_id, file in files.items()}
        return OutboxPage(
            entries=[self._entry(row, dids.get(row.file_id, "")) for row in rows],
            after=rows[-1].entry_id if len(rows) == limit else None,
        )

    async def awaited_of_job(self, job_id: int) -> list[str]:
        """Return, for each server that a Completing job waits for, how much it waits for, and why.

        The number is that of at most AWAITED_MAX outputs.
        """
        rows = await self._store.read(outbox_record.entries_of_job, job_id, AWAITED_MAX)
        files = await self._store.read(catalogue_read.files_by_id, [row.file_id for row in rows])
        servers: defaultdict[str, list[EntryRow]] = defaultdict(list)
        for row in rows:
            servers[row.rucio].append(row)
        notes: list[str] = []
        for name, its in servers.items():
            first = max(its, key=lambda row: row.tries)
            did = files[first.file_id].did if first.file_id in files else "a removed file"
            outputs = "1 output" if len(its) == 1 else f"{len(its)} outputs"
            notes.append(f"waits until Rucio {name} has {outputs}: {did}: {self._why(first)}")
        return notes

    def _entry(self, row: EntryRow, did: str) -> OutboxEntry:
        waits = row.state is EntryState.WAITING
        return OutboxEntry(
            id=row.entry_id,
            did=did,
            rucio=row.rucio,
            storage=row.storage,
            state=row.state.value,
            job=row.job_id,
            since=shown(row.since),
            datasets=list(row.datasets),
            confirm=row.confirm,
            tries=row.tries,
            next_at=shown(row.due_at) if waits and row.due_at else None,
            why=self._why(row) if waits else row.why,
        )

    def _why(self, row: EntryRow) -> str:
        trouble = self._publisher.trouble(row.rucio)
        if row.rucio not in self._drivers.entries():
            return trouble
        return row.why or trouble or "it is sent next"

    def _view(self, name: str) -> RucioView:
        book = self._drivers.files.book
        trouble, entry = book.troubles.get(name, ""), book.entries.get(name)
        if entry is None:
            return RucioView(name=name, trouble=trouble)
        server = self._mirrors.servers.get(name)
        if server is None:  # its file has just changed
            inputs = [RucioInputView(input=one.key) for one in entry.inputs]
        else:
            inputs = [_input(one) for one in server.inputs]
        compared_at = server.compared_at if server is not None else None
        return RucioView(
            name=name,
            url=entry.url,
            account=entry.account,
            community=entry.community,
            storages=dict(entry.storages),
            off=dict(server.off) if server is not None else {},
            compared_at=shown(compared_at) if compared_at is not None else None,
            inputs=inputs,
            trouble=trouble or (_trouble(server) if server is not None else ""),
        )


def _trouble(server: ServerMirror) -> str:
    if server.why or not server.unknown:
        return server.why
    names = ", ".join(server.unknown)
    return f"storages: Rucio has no RSE {names}: correct the name in rucio/{server.name}.yaml"


def _may_see(caller: User, view: RucioView) -> bool:
    return not caller.community or view.community in ("", caller.community)


def _input(one: InputState) -> RucioInputView:
    return RucioInputView(
        input=one.entry.key,
        polled_at=shown(one.polled_at) if one.polled_at is not None else None,
        files=one.files,
        waiting=one.waiting,
        troubles=dict(list(one.troubles.items())[:SHOWN_MAX]),
        trouble=one.why,
    )
