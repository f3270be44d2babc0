"""Sends the notifications of the outbox, each message at least once and with the same id.

A person has at most one message on its way, by mail and by webhook each. While it is tried again,
later notifications wait, and go into few messages afterwards.
"""

import asyncio
from traceback import format_exc
from typing import Final, Protocol

from ..identity.scope import Owners
from ..observe.events import Log
from ..ports import Clock
from ..settings import NotifySettings
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreBroken, StoreError, StoreFull
from . import record as records
from .messages import Notification
from .rate_limit import HOUR_S, TOGETHER_MAX, next_message
from .record import OutboxRow

OWNERS_TOGETHER: Final = 100  # persons in one round
A_PERSON_MAX: Final = 20  # messages to one person in one round …
A_PERSON_S: Final = 20.0  # … and for how long: a slow receiver does not delay those of others
LONGEST_S: Final = 3_600.0
KEPT_S: Final = 30 * 86_400.0  # how long delivered notifications are shown
TIDY_S: Final = 3_600.0  # interval at which old notifications are removed
WHY_MAX: Final = 300


class NotSent(Exception):
    """The message was not delivered. Try again later."""


class NoAddress(Exception):
    """The person has no address that may be used, so nothing can be sent."""


class Channel(Protocol):
    """One way to send messages."""

    at_once: int  # messages that may be on their way

    async def send(self, owner_id: int, told: list[Notification], message_id: int) -> None:
        """Return when the receiver has accepted the message. Raises NotSent, NoAddress.

        It ends within about a minute. The same message may be sent again.
        """
        ...


class Delivery:
    """Sends the messages of one channel."""

    def __init__(
        self,
        store: Store,
        name: str,
        channel: Channel,
        *,
        owners: Owners,
        settings: NotifySettings,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._name, self._channel = store, name, channel
        self._owners, self._settings = owners, settings
        self._clock, self._log = clock, log
        self._tidied = clock.monotonic()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._clock.sleep(self._settings.every_s)
            try:
                await self.once()
            except StoreFull:
                continue  # a message that was sent is not marked, and is sent again
            except StoreBroken:
                raise
            except StoreError as why:
                self._log("loop_failed", loop=f"delivery by {self._name}", error=str(why))

    async def once(self) -> None:
        """Send what is due to each person."""
        owners = await self._store.read(
            records.owners_due, self._name, self._clock.wall(), limit=OWNERS_TOGETHER
        )
        left = iter(owners)
        broken: list[StoreError] = []

        async def work() -> None:
            for owner_id in left:
                if broken:
                    return
                await self._guarded(owner_id, broken)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(len(owners), self._channel.at_once)):
                tasks.create_task(work())
        if broken:
            raise broken[0]
        await self._tidy()

    async def _guarded(self, owner_id: int, broken: list[StoreError]) -> None:
        try:
            await self._to_person(owner_id)
        except OF_ALL as why:
            broken.append(why)
        except StoreError as why:  # something of this person only
            self._log("loop_failed", loop=f"delivery to owner {owner_id}", error=str(why))

    async def _to_person(self, owner_id: int) -> None:
        until = self._clock.monotonic() + A_PERSON_S
        for _ in range(A_PERSON_MAX):
            if self._clock.monotonic() > until:
                return
            row = await self._next(owner_id)
            if row is None or not await self._send(row):
                return

    async def _next(self, owner_id: int) -> OutboxRow | None:
        """Return the message to send now: one that was begun, or a new one that the rate allows."""
        store, name, now = self._store, self._name, self._clock.wall()
        begun = await store.read(records.open_message, owner_id, name)
        if begun is not None:
            return begun if begun.due is not None and begun.due <= now else None
        rows = await store.read(records.pending, owner_id, name, limit=TOGETHER_MAX)
        if not rows:
            return None
        sent = await store.read(records.sent_times, owner_id, name, now - HOUR_S)
        size, wait_until = next_message(len(rows), sent, now, an_hour=self._settings.an_hour)
        if not size:
            await store.write(records.put_off, owner_id, name, wait_until)
            return None
        await store.write(records.begin_message, [one.notification_id for one in rows[:size]])
        return rows[0]

    async def _send(self, row: OutboxRow) -> bool:
        """Send one message. Return whether it was delivered."""
        told = await self._store.read(records.notifications_of, row.notification_id)
        try:
            await self._channel.send(row.owner_id, told, row.notification_id)
        except NoAddress as why:
            await self._store.write(records.drop_pending, row.owner_id, self._name, str(why))
            return False
        except NotSent as why:
            await self._failed(row, str(why)[:WHY_MAX])
            return False
        except Exception:  # a bug that one message shows: the others, and the central, go on
            self._log("loop_failed", loop=f"message {row.notification_id}", error=format_exc())
            await self._failed(row, "internal error: the central's log has it")
            return False
        await self._store.write(records.message_sent, row.notification_id, self._clock.wall())
        return True

    async def _failed(self, row: OutboxRow, why: str) -> None:
        tries = row.tries + 1
        gives_up = tries >= self._settings.tries
        pause_s = min(LONGEST_S, self._settings.retry_s * 2.0 ** min(tries - 1, 20))
        due = None if gives_up else self._clock.wall() + pause_s
        await self._store.write(records.message_failed, row, why=why, due=due)
        await self._owners.meet([row.owner_id])  # another process may have stored this one
        self._log(
            "not_notified",
            message=row.notification_id,
            owner=self._owners.by_id(row.owner_id),
            channel=self._name,
            tries=tries,
            why=why,
        )

    async def _tidy(self) -> None:
        now = self._clock.monotonic()
        if now - self._tidied >= TIDY_S:
            self._tidied = now
            await self._store.write(records.drop_old, self._clock.wall() - KEPT_S)
