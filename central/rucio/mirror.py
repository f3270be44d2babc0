"""The mirrors of all Rucio servers, on the leader: a file of our catalogue for each of theirs."""

import asyncio
from collections.abc import Mapping
from typing import Final

from ..catalogue.storages import Storages
from ..identity import record as identity_records
from ..identity.record_types import Owner
from ..identity.scope import Owners
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import StoreBroken, StoreError
from .drivers import RucioDrivers
from .events import Heard, RucioEvent
from .files import RucioEntry
from .server_mirror import ServerMirror

EVERY_S: Final = 0.5  # an event is followed by a poll within this time
FULL_S: Final = 5.0  # pause while the store takes no writes
ISSUER: Final = "rucio"  # of the identities that mirrored files belong to


class RucioMirrors:
    """The loops over all servers."""

    def __init__(
        self,
        drivers: RucioDrivers,
        *,
        store: Store,
        owners: Owners,
        storages: Storages,
        clock: Clock,
        log: Log,
    ) -> None:
        self._drivers, self._store, self._owners = drivers, store, owners
        self._storages, self._clock, self._log = storages, clock, log
        self.servers: dict[str, ServerMirror] = {}  # those that are followed now

    async def run(self) -> None:
        """Follow all servers in force, until cancelled. A slow one delays no other."""
        if self._drivers.files.folder is None:
            return
        followed: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                for name in self._drivers.files.book.entries:
                    if name not in followed or followed[name].done():
                        followed[name] = tasks.create_task(self._follow(name))
                await self._clock.sleep(EVERY_S)

    def poll_ages_s(self) -> Mapping[str, float]:
        """Return for each server the seconds since its input with the oldest good poll had one."""
        now = self._clock.wall()
        return {
            name: max((now - (one.polled_at or 0.0) for one in server.inputs), default=0.0)
            for name, server in self.servers.items()
            if server.inputs and all(one.polled_at for one in server.inputs)
        }

    async def _follow(self, name: str) -> None:
        """Follow a server until its file changes or is removed."""
        entry = self._drivers.files.book.entries.get(name)
        if entry is None or not (entry.inputs or entry.storages):
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                server = self.servers[name] = await self._server(name, entry)
                events, listening = entry.events, list[asyncio.Task[None]]()
                if events is not None:
                    listen = self._drivers.listen(events, _heard_by(server), name)
                    listening.append(tasks.create_task(listen))
                while self._drivers.files.book.entries.get(name) == entry:
                    await self._turn(server)
                    await self._clock.sleep(EVERY_S)
                for one in listening:
                    one.cancel()
        finally:
            self.servers.pop(name, None)
            self._hide()

    async def _server(self, name: str, entry: RucioEntry) -> ServerMirror:
        owner = Owner(community=entry.community, issuer=ISSUER, subject=name, name=f"Rucio {name}")
        while True:
            try:
                owner = await self._store.write(identity_records.owner, owner)
                break
            except StoreBroken:
                raise
            except StoreError as why:
                self._log("rucio_away", rucio=name, why=str(why))
                await self._clock.sleep(FULL_S)
        self._owners.learn(owner)
        return ServerMirror(
            name,
            entry,
            self._drivers.connect(name, entry),
            owner.owner_id,
            store=self._store,
            storages=self._storages,
            clock=self._clock,
            log=self._log,
            hide=self._hide,
        )

    async def _turn(self, server: ServerMirror) -> None:
        try:
            await server.turn()
        except StoreBroken:
            raise
        except StoreError as why:
            self._log("rucio_away", rucio=server.name, why=str(why))
            await self._clock.sleep(FULL_S)
        self._hide()

    def _hide(self) -> None:
        """Let storages whose RSEs are off not be read."""
        self._storages.hide({one for server in self.servers.values() for one in server.off})


def _heard_by(server: ServerMirror) -> Heard:
    def hear(event: RucioEvent) -> None:
        server.hint(event.scope, event.name, changed=event.is_of_file)

    return hear
