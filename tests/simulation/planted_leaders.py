"""Bugs of leads and take-overs, to be found in worlds of two centrals. See `planted.py`."""

import asyncio
from typing import Any

from pilotage.central.dispatch import record_arrivals as arrival_records
from pilotage.central.dispatch.service import Dispatch
from pilotage.central.dispatch.submissions.remote_arrivals import LOOK_S, ArrivalPoller
from pilotage.central.leadership import LEASE_S, RENEW_EVERY_S, LeaderLease
from pilotage.central.operate import leadership as lead
from pilotage.central.store.errors import StoreError
from pilotage.pilot.mind import brain
from pilotage.pilot.talk.requests import Requests

from . import database, leaders
from .cluster import Cluster
from .member import SharedWall
from .planted import PLANTED, Changes, Planted, Prepare
from .world import World

FOR_LONG_S = 900.0


def _database(name: str, value: bool) -> Prepare:
    """Return what turns a switch of the database."""

    def prepare(world: World) -> None:
        if isinstance(world.central, Cluster):
            setattr(world.central.database, name, value)

    return prepare


def _stale_acks(changes: Changes) -> None:
    """It goes on until the database says that another one leads, as the model has it."""

    async def keep(leaders: Any, held: Any, *, clock: Any, log: Any, lost: Any) -> None:
        while True:
            await clock.sleep(RENEW_EVERY_S)
            sent = held.standing.now()
            try:
                async with asyncio.timeout(lead.RENEWAL_S):
                    if not await leaders.renew_lead(held.lead, LEASE_S):
                        lost("another process leads now")
                        return
            except (StoreError, TimeoutError):
                continue
            held.standing.granted(sent)

    changes.set(Dispatch, "_lead", _nothing)
    changes.set(lead, "_keep", keep)


def _stale_acks_for_long(changes: Changes) -> None:
    """As `_stale_acks`; nor does a database that says nothing end it, as it else does in a minute.

    That is sooner than a lease of an attempt is over, so that the bug alone has no time to hurt.
    Pilots heed a newer term as soon as they hear of it, and a new leader calls them: what is left
    to hurt are those that hear the old one alone, so that worlds with a plot have that one.
    """
    _stale_acks(changes)
    changes.set(leaders, "PLOTS", leaders.PLOTS[:2])
    changes.set(database, "COMMAND_S", FOR_LONG_S)


def _from_the_answer(changes: Changes) -> None:
    plain = LeaderLease.granted

    def granted(self: LeaderLease, sent: float) -> None:
        plain(self, self.now())

    changes.set(LeaderLease, "granted", granted)


def _sleeping_clock(changes: Changes) -> None:
    def boottime(self: SharedWall) -> float:
        return self.monotonic()

    changes.set(SharedWall, "boottime", boottime)


def _old_terms(changes: Changes) -> None:
    _stale_acks(changes)

    def stands(self: brain.Brain, term: int) -> bool:
        return True

    changes.set(brain.Brain, "_term_stands", stands)


def _files_stay(changes: Changes) -> None:
    plain = Requests._go

    def go(self: Requests, lane: Any, url: str) -> bool:
        return False if lane.aside else plain(self, lane, url)

    changes.set(Requests, "_go", go)


def _late_moment(changes: Changes) -> None:
    plain = ArrivalPoller.run

    async def run(self: Any) -> None:
        await self._begun.wait()
        await self._clock.sleep(LOOK_S)
        _, self._moment = await self._store.read(arrival_records.arrivals, self._moment)
        await plain(self)

    changes.set(ArrivalPoller, "run", run)


def _nothing(self: Dispatch) -> None:
    """Look at nothing."""


LEADING: dict[str, Planted] = {
    "stale_acks": Planted(
        "beats are answered without a look at the own lease", _stale_acks_for_long
    ),
    "no_fence": Planted(
        "who writes does not look at the leader row", lambda changes: _database("fences", False)
    ),
    "fence_apart": Planted(
        "the row is looked at before a transaction, and may change within it",
        lambda changes: _database("locks", False),
    ),
    "takes_early": Planted(
        "who takes over does not look at the end of the row",
        lambda changes: _database("ends_early", True),
    ),
    "from_the_answer": Planted("a lease counts from the answer to a renewal", _from_the_answer),
    "sleeping_clock": Planted(
        "a lease is measured on a clock that stands while the machine is suspended",
        _sleeping_clock,
    ),
    "files_stay": Planted(
        "a pilot sends files to its first address alone, as release 0.1 did", _files_stay
    ),
    "old_terms": Planted("a leader that was replaced answers, and pilots heed it", _old_terms),
    "late_moment": Planted(
        "a new leader looks only for submissions from a second after its take-over on", _late_moment
    ),
}
# Bugs that only worlds with an api process show. For all others no world has one.
OF_APIS = frozenset({"late_moment"})
# The variants of the protocol's model, all of which are of those who lead or of their pilots.
_VARIANTS = """
    retry_counts no_ask_key one_last_ack give_back_unheld will_is_death resched_now bind_at_wake
    grace_30 no_guard monotonic stale_acks no_ask_again bus_stop_only old_deadline forget_on_fail
    late_start kill_final_now
"""
OF_THE_MODEL = frozenset(_VARIANTS.split())
WITH_LEADERS: dict[str, Planted] = {
    **{name: bug for name, bug in PLANTED.items() if name in OF_THE_MODEL},
    **LEADING,
}
