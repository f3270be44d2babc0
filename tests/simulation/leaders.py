"""What goes wrong where two centrals share a database: faults of the one that leads.

They are drawn apart, so that all else of a world stays as it was. Some are aimed: at a take-over,
at a transaction, at a beat, as the old one still believes that it leads.
"""

import asyncio
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from .api_process import ApiTroubles
from .central import CentralHost
from .leading import LeadingInvariants
from .member import url_of
from .processes import Process

if TYPE_CHECKING:
    from .cluster import Cluster
    from .world import World

RANDOM = (
    "leader_killed",
    "leader_stopped",
    "leader_suspended",
    "leader_slow",
    "db_cut",
    "db_one_way_cut",
    "leader_alone",
    "standby_hurt",
    "db_locked",
)
AIMED = (
    "stop_in_transaction",
    "cut_in_transaction",
    "cut_at_match",
    "stop_at_beat",
    "kill_new",
    "with_the_old",
    "bus_with_the_old",
    "cut_pilots_at_takeover",
)
# What has to come together; two of three worlds have one of these.
PLOTS = (
    {"db_cut", "with_the_old", "bus_with_the_old"},
    {"db_cut", "with_the_old"},
    {"leader_stopped", "bus_with_the_old"},
    {"db_one_way_cut", "stop_in_transaction"},
    {"cut_in_transaction", "kill_new"},
    {"leader_slow", "cut_at_match"},
    {"leader_suspended", "stop_at_beat"},
    {"stop_at_beat", "with_the_old"},
    {"leader_killed", "cut_pilots_at_takeover"},
    {"leader_slow", "db_locked"},
)
HOMES = 0.4  # of all worlds
LONG_S = 250.0  # longer than a lease of an attempt


class LeaderTroubles:
    """The faults of one world."""

    def __init__(self, world: "World", cluster: "Cluster") -> None:
        self._world, self._cluster = world, cluster
        self._chance = chance = random.Random(f"leaders of world {world.seed}")
        share = chance.choice((0.0, 0.1, 0.25, 0.5))
        drawn = {fault for fault in (*RANDOM, *AIMED) if chance.random() < share}
        if chance.random() < 0.67:
            drawn |= PLOTS[chance.randrange(len(PLOTS))]
        self.faults = frozenset(drawn)
        self.aim = chance.choice((0.2, 0.5, 0.8))
        self.holds = LeadingInvariants(world, cluster)
        cluster.database.taken = self.taken
        self._api = ApiTroubles(world, cluster, cluster.api) if cluster.api is not None else None
        self._draw_homes()

    def _draw_homes(self) -> None:
        """In some worlds pilots begin at one central, and those that wait name the leader."""
        world, members = self._world, self._cluster.members
        chance = random.Random(f"homes of world {world.seed}")
        if chance.random() > HOMES:
            return
        addresses = (self._cluster.host, *(member.host for member in members))
        world.pilots.hosts = {url_of(member.host): member.host for member in members}
        world.pilots.home = lambda number: chance.choice(addresses)
        for member in members:
            member.names_leader = True

    def all(self) -> list[Coroutine[Any, Any, None]]:
        """Return all loops; none ends before the world does."""
        return [self._often(), self._calm(), *(self._api.all() if self._api is not None else ())]

    def has(self, fault: str) -> bool:
        """Whether a fault may happen now."""
        return not self._world.is_calm and fault in self.faults

    def _hits(self, fault: str, aim: float = 1.0) -> bool:
        return self.has(fault) and self._chance.random() < self.aim * aim

    async def _calm(self) -> None:
        await self._world.troubles.over.wait()
        self._cluster.database.slow_s.clear()
        for member in self._cluster.members:
            self._world.loop.wake(member.host)
        await asyncio.get_running_loop().create_future()

    async def _often(self) -> None:
        world, chance = self._world, self._chance
        await world.troubles.begun.wait()
        while True:
            await asyncio.sleep(chance.uniform(20.0, 200.0))
            able = [fault for fault in RANDOM if self.has(fault)]
            leader = self._cluster.leader
            if able and leader is not None and leader.process is not None:
                self._hurt(chance.choice(able), leader, leader.process)

    def _hurt(self, fault: str, leader: CentralHost, process: Process) -> None:
        world, chance = self._world, self._chance
        seconds = chance.choice((3.0, 8.0, 60.0, LONG_S)) * chance.uniform(0.5, 1.0)
        name, db = leader.host.name, self._cluster.database.host.name
        if fault == "db_cut" and self.has("with_the_old"):
            seconds = 1.5 * LONG_S  # until the new one has given the jobs to others
        if fault == "standby_hurt":
            others = [one for one in self._cluster.members if one is not leader]
            waiting = chance.choice(others)
            if waiting.process is not None and chance.random() < 0.5:
                world.say(f"trouble: {waiting.host.name} is killed")
                waiting.kill()
            else:
                world.say(f"trouble: {waiting.host.name} is cut from the database")
                world.network.cut(waiting.host.name, db, seconds)
            return
        world.say(f"trouble: {fault} of {name} for {seconds:.1f} s")
        if fault == "leader_killed":
            leader.kill()
        elif fault == "leader_stopped":
            self._stop(process, seconds)
        elif fault == "leader_suspended":
            self._suspend(leader, seconds)
        elif fault == "leader_slow":
            slow = self._cluster.database.slow_s
            slow[name] = chance.choice((0.3, 1.5, 4.0))
            world.loop.at(world.loop.now + seconds, None, slow.pop, name, None)
        elif fault == "db_cut":
            world.network.cut(name, db, seconds)
        elif fault == "db_one_way_cut":
            one, other = chance.choice(((name, db), (db, name)))
            world.network.cut(one, other, seconds, both=False)
        elif fault == "leader_alone":
            world.network.cut(name, "*", seconds)
        elif fault == "db_locked":
            self._cluster.database.stalled_until = world.loop.now + min(seconds, 20.0)

    def _stop(self, process: Process, seconds: float) -> None:
        process.stop()
        self._world.loop.at(self._world.loop.now + seconds, None, process.go_on)

    def _suspend(self, member: CentralHost, seconds: float) -> None:
        loop = self._world.loop
        loop.suspend(member.host)
        loop.at(loop.now + seconds, None, loop.wake, member.host)

    # -- aimed ------------------------------------------------------------------------------------

    def point(self, process: Process, name: str) -> None:
        """A central is at a point where it may be hurt."""
        chance, world = self._chance, self._world
        if name == "within a transaction":
            if self._hits("stop_in_transaction", 0.1):
                seconds = chance.choice((3.0, 8.0, 30.0, LONG_S)) * chance.uniform(0.5, 1.0)
                world.say(f"aimed: {process.name} stops for {seconds:.1f} s in a transaction")
                self._stop(process, seconds)
            elif self._hits("cut_in_transaction", 0.1):
                self._cut_from_database(process, "in a transaction")

    def committed(self, verb: str) -> None:
        """Something was written."""
        self.holds.committed(verb)
        writer = self._cluster.database.writer
        if self._api is not None and writer is not None and verb == "submit":
            self._api.submitted(writer)

    def matched(self) -> None:
        """A match is being written."""
        leader = self._cluster.leader
        if leader is not None and leader.process is not None and self._hits("cut_at_match", 0.5):
            self._cut_from_database(leader.process, "at a match")

    def _cut_from_database(self, process: Process, when: str) -> None:
        world, chance = self._world, self._chance
        seconds = chance.choice((3.0, 8.0, 30.0, LONG_S)) * chance.uniform(0.5, 1.0)
        world.say(f"aimed: {process.name} is cut from the database for {seconds:.1f} s {when}")
        world.network.cut(process.host.name, self._cluster.database.host.name, seconds)

    def beat_came(self, process: Process) -> None:
        """A central has a beat before it."""
        if self._hits("stop_at_beat", 0.15):
            seconds = self._chance.choice((3.0, 8.0, 30.0, LONG_S))
            self._world.say(f"aimed: {process.name} stops for {seconds:.0f} s at a beat")
            self._stop(process, seconds)

    def taken(self) -> None:
        """Another one leads. The one before may believe that it does."""
        world, chance = self._world, self._chance
        self.holds.taken()
        new = self._cluster.leader
        if new is None:  # it has died while it took the lead
            return
        name = new.host.name
        world.say(f"{name} leads, term {self._cluster.database.row.term}")
        if self._hits("kill_new", 0.5) and new.process is not None:
            world.say(f"aimed: {name} is killed as it takes over")
            new.process.fuse = chance.randint(0, 200)
        if self._hits("with_the_old"):
            for node in world.nodes[-world.swarm.pilots :]:
                if chance.random() < 0.6:
                    world.say(f"aimed: nothing between {node.host.name} and {name}")
                    world.network.cut(node.host.name, name, LONG_S)
        if self._hits("bus_with_the_old"):
            world.say(f"aimed: nothing between the bus and {name}")
            world.network.cut("bus", name, LONG_S)
        if self._hits("cut_pilots_at_takeover", 0.5):
            for node in world.nodes[-world.swarm.pilots :]:
                world.network.cut(node.host.name, "*", chance.uniform(5.0, LONG_S))
