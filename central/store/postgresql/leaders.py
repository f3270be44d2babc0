"""The leader rows on PostgreSQL, over one connection that is opened again after it was lost."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from ..errors import StoreError
from ..leaders import Lead
from ..migrations import migrations, still_to_run
from .driver import FAULTS, PostgresqlConnection, application_of, connect
from .errors import is_no_table, translated
from .statements import statements

CLOSE_S: Final = 1.0
SHARED_S: Final = 1.5  # for all servers together; connecting and reading the row must take < 2 s


class PostgresqlLeaders:
    """The `Leaders` of one database. The leader makes all other tables, so this one comes first."""

    def __init__(self, url: str) -> None:
        self._url, self.answered = url, False
        self._connection: PostgresqlConnection | None = None
        self._free = asyncio.Lock()
        self._sql = statements()

    async def take_lead(self, shard: str, holder: str, url: str, lease_s: float) -> Lead | None:
        before = await self._row(shard)
        await self._look_at_schema()  # after the row: a later leader has raised its term
        if before is None:
            await self._rows("make_lead", {"shard": shard})
            before = await self._row(shard)
        if before is None or (before.left_s >= 0 and before.holder != holder):
            return None
        if before.holder not in ("", holder):
            await self._rows("end_of_holder", {"application": application_of(before.holder)})
        given = {"shard": shard, "term": before.term, "holder": holder, "url": url}
        found = await self._rows("take_lead", {**given, "lease_s": lease_s})
        return Lead(shard, found[0][0], holder, url, lease_s) if found else None

    async def _look_at_schema(self) -> None:
        try:
            applied = await self._rows("migrations", {})
        except StoreError as why:
            if why.__cause__ is not None and is_no_table(why.__cause__):
                return  # the leader makes it
            raise
        still_to_run(applied, migrations("postgresql"))

    async def renew_lead(self, lead: Lead, lease_s: float) -> bool:
        return bool(await self._rows("renew_lead", {**_name_of(lead), "lease_s": lease_s}))

    async def lead(self, shard: str) -> Lead | None:
        row = await self._row(shard)
        return row if row is not None and row.left_s > 0 else None

    async def give_up_lead(self, lead: Lead) -> bool:
        return bool(await self._rows("give_up_lead", _name_of(lead)))

    async def _row(self, shard: str) -> Lead | None:
        found = await self._rows("lead", {"shard": shard})
        return Lead(shard, *found[0]) if found else None

    async def close(self) -> None:
        async with self._free:
            connection, self._connection = self._connection, None
            if connection is not None:
                try:
                    await connection.close(timeout=CLOSE_S)
                except FAULTS:
                    connection.terminate()

    async def _rows(self, statement: str, parameters: Mapping[str, object]) -> list[Any]:
        one = self._sql[statement]
        async with self._free:
            try:
                connection = await self._connected()
                return await connection.fetch(one.text, *one.arguments(parameters))
            except FAULTS as why:
                self._let_go()
                raise translated(why) from why
            except asyncio.CancelledError:  # the statement may still have its effect
                self._let_go()
                raise

    async def _connected(self) -> PostgresqlConnection:
        if self._connection is None or self._connection.is_closed():
            self._connection = None
            made = await connect(self._url, shared_s=SHARED_S)
            self.answered = True
            try:
                # No statement timeout yet, since this takes seconds on a slow disk.
                await made.execute(self._sql["give_up_locks_soon"].text)
                await made.execute(self._sql["make_leader"].text)
                await made.execute(self._sql["answer_soon"].text)
            except BaseException:  # two processes may make it at once; the next call finds it
                made.terminate()
                raise
            self._connection = made
        return self._connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _name_of(lead: Lead) -> Mapping[str, object]:
    return {"shard": lead.shard, "term": lead.term, "holder": lead.holder}
