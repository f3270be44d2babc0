"""The lead of one of several processes on a database: wait for it, keep it, end if it is lost.

While a process waits, it answers on its port that it does not lead, so that a load balancer avoids
it. It has read its settings and loaded all modules, so it can take over within a second.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from ..leadership import LEASE_S, RENEW_EVERY_S, STAND_S, TAKE_EVERY_S, LeaderLease
from ..observe.events import Log
from ..ports import Clock
from ..store.errors import StoreBroken, StoreError, StoreLate, WrongRelease
from ..store.leaders import SHARD, Lead, Leaders
from .clocks import boottime

LOOK_S: Final = 2.0  # for one read of the row; then use a new connection
RENEWAL_S: Final = 1.0  # for one renewal: if two fail, the third is still in time
AGAIN_S: Final = 0.1  # pause after a failed renewal


@dataclass(frozen=True)
class HeldLead:
    """The lead, while this process holds it."""

    lead: Lead
    standing: LeaderLease


class KnownLeader:
    """The leader, as the waiting process last read it."""

    def __init__(self) -> None:
        self.lead: Lead | None = None

    def url(self) -> str | None:
        return None if self.lead is None else self.lead.url


async def wait_for_lead(
    leaders: Leaders,
    holder: str,
    url: str,
    *,
    seen: KnownLeader,
    patient: bool,
    clock: Clock,
    log: Log,
    now: Callable[[], float] = boottime,
) -> HeldLead:
    """Wait until this process leads. Also wait for a database that does not answer.

    If not `patient`, fail when the first read fails; a read that is only slow is repeated in any
    case. Raises StoreError. `now` must also run while the machine is suspended.
    """
    logged = ""
    while True:
        sent, why = now(), ""
        try:
            async with asyncio.timeout(LOOK_S):
                taken = await leaders.take_lead(SHARD, holder, url, LEASE_S)
                seen.lead = taken or await leaders.lead(SHARD)
        except WrongRelease:  # the leader has a newer release
            raise
        except (StoreError, TimeoutError) as error:
            taken, seen.lead = None, None
            is_late = leaders.answered and isinstance(error, (StoreLate, TimeoutError))
            why = str(error) or f"the database does not answer within {LOOK_S} s"
            if not (patient or is_late):
                raise StoreBroken(why) from error
        patient = True
        if taken is not None:
            standing = LeaderLease(taken.term, url, now)
            standing.granted(sent)
            log("lead_taken", term=taken.term)
            return HeldLead(taken, standing)
        if why and why != logged:
            log("lead_unknown", why=why)
        logged = why
        await clock.sleep(TAKE_EVERY_S)


@asynccontextmanager
async def kept(
    leaders: Leaders, held: HeldLead, *, clock: Clock, log: Log, lost: Callable[[str], None]
) -> AsyncGenerator[None]:
    """Renew the lead inside the block, then give it up. `lost` must end the process."""
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(_keep(leaders, held, clock=clock, log=log, lost=lost))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(RENEWAL_S):
                    await leaders.give_up_lead(held.lead)


async def _keep(
    leaders: Leaders, held: HeldLead, *, clock: Clock, log: Log, lost: Callable[[str], None]
) -> None:
    standing, pause_s = held.standing, RENEW_EVERY_S
    while True:
        await clock.sleep(min(pause_s, max(0.0, standing.left_s())))
        sent, left_s = standing.now(), standing.left_s()
        if left_s <= 0:
            lost(f"the lead was not renewed for {STAND_S} s")
            return
        try:
            async with asyncio.timeout(min(RENEWAL_S, left_s)):
                is_ours = await leaders.renew_lead(held.lead, LEASE_S)
        except (StoreError, TimeoutError) as why:
            log("lead_unknown", why=str(why) or "the database does not answer")
            pause_s = AGAIN_S
            continue
        pause_s = RENEW_EVERY_S
        if not is_ours:
            lost("another process leads now")
            return
        standing.granted(sent)
