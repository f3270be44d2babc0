"""What goes wrong by itself in a simulated world, at random times."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from .central import CentralHost
from .pilots import Life, Node
from .thief import Thief

if TYPE_CHECKING:
    from .world import World

UNTIL_PILOT_S = 60.0
CUT_S = (5.0, 250.0)


class Troubles:
    """One loop for each kind. They end with `calm`."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        self._thefts: set[asyncio.Task[None]] = set()

    @property
    def are_over(self) -> bool:
        """Whether nothing goes wrong any more."""
        return self.over.is_set()

    def begin(self) -> None:
        """The central has answered for the first time: from now on things may go wrong."""
        self._world.is_calm = False
        self.begun.set()

    def all(self) -> list[Coroutine[Any, Any, None]]:
        """Return all loops; none ends before the world does."""
        world = self._world
        loops: list[Coroutine[Any, Any, None]] = [
            self._calm(),
            self._central(),
            *(self.again(member) for member in world.central.members),
            self._network(),
            self._bus(),
            self._disk(),
            self._wall(),
        ]
        loops += [self._pilot(number) for number in range(world.swarm.pilots)]
        return loops

    async def _calm(self) -> None:
        """After a time nothing goes wrong any more, and what is broken is mended."""
        world = self._world
        await self.begun.wait()
        await asyncio.sleep(world.faults_s)
        if world.outages is not None:
            await world.outages.over.wait()
        world.say("calm")
        world.is_calm, world.calm_since = True, world.loop.now
        self.over.set()
        world.network.heal()
        world.broker.begin()
        world.central.disk.full, world.central.disk.stalled_until = False, 0.0
        for process in world.processes():
            if not process.dead:
                process.fuse = -1
                process.go_on()
        for node in world.nodes:
            world.loop.wake(node.host)
            node.journal.full = node.folders.full = False
        await asyncio.get_running_loop().create_future()

    async def _often(self, low_s: float, high_s: float) -> bool:
        """Wait for the next time of a loop; False once all is calm, for ever."""
        await self.begun.wait()
        await asyncio.sleep(self._world.chance.uniform(low_s, high_s))
        if self._world.is_calm:
            await asyncio.get_running_loop().create_future()
        return True

    # -- the central ------------------------------------------------------------------------------

    async def _central(self) -> None:
        world, chance = self._world, self._world.chance
        while await self._often(40, 500):
            central = world.central
            if not central.is_up or central.process is None:
                continue
            able = [
                fault
                for fault in (
                    "central_killed",
                    "central_power",
                    "central_stopped",
                    "central_ended",
                    "central_any_step",
                )
                if world.has(fault)
            ]
            if not able:
                continue
            fault = chance.choice(able)
            world.say(f"trouble: {fault}")
            if fault == "central_stopped":
                process = central.process
                process.stop()
                await asyncio.sleep(chance.choice((2.0, 30.0, 200.0)) * chance.uniform(0.5, 1.0))
                process.go_on()
            elif fault == "central_ended":
                await central.end()
            elif fault == "central_any_step":
                central.process.fuse = chance.randint(0, 300)
            else:
                central.kill(power=fault == "central_power")

    async def again(self, central: CentralHost) -> None:
        """Start the central again when it is dead, as its service manager does."""
        world, chance = self._world, self._world.chance
        await self.begun.wait()
        while True:
            await central.went_down.wait()
            central.went_down.clear()
            down_s = chance.choice((0.5, 0.5, 5.0, 30.0, 150.0))
            await asyncio.sleep(0.5 if world.is_calm else down_s)
            if world.outages is not None:
                await world.outages.until_it_may_start()
            world.say(f"the {central.host.name} starts")
            central.start()
            world.aimed.restarts()

    async def _wall(self) -> None:
        world, chance = self._world, self._world.chance
        while await self._often(50, 500):
            if world.has("wall_jumps"):
                jump_s = chance.choice((-3_600.0, -30.0, 30.0, 3_600.0, 86_400.0))
                world.say(f"trouble: the central's wall clock jumps by {jump_s:.0f} s")
                world.central.host.wall_jump_s += jump_s

    # -- network and bus --------------------------------------------------------------------------

    async def _network(self) -> None:
        world, chance = self._world, self._world.chance
        pairs = {"cuts": "central", "bus_cuts": "bus", "one_way_cuts": "central"}
        while await self._often(20, 250):
            able = [name for name in (*pairs, "central_bus_cuts") if world.has(name)]
            if not able or not world.nodes:
                continue
            name, seconds = chance.choice(able), chance.uniform(*CUT_S)
            if name == "central_bus_cuts":
                one, other = chance.choice((("bus", "central"), ("central", "bus")))
            else:
                one, other = chance.choice(world.nodes).host.name, pairs[name]
                if name == "one_way_cuts":
                    if chance.random() < 0.5:
                        other = "bus"
                    one, other = chance.choice(((one, other), (other, one)))
            both = name != "one_way_cuts" and chance.random() < 0.8
            world.say(f"trouble: nothing from {one} to {other} for {seconds:.0f} s, both: {both}")
            for source in world.central.named(one):
                for target in world.central.named(other):
                    world.network.cut(source, target, seconds, both=both)

    async def _bus(self) -> None:
        world, chance = self._world, self._world.chance
        while await self._often(50, 400):
            if world.has("links_cut") and world.broker.links:
                link = world.broker.links[chance.choice(sorted(world.broker.links))]
                world.say(f"trouble: the bus ends the connection of {link.user}")
                world.broker.close(link)
            if world.has("bus_down"):
                world.say("trouble: the bus is down")
                world.broker.crash()
                await asyncio.sleep(chance.choice((1.0, 60.0, 400.0)))
                world.broker.begin()

    # -- disks ------------------------------------------------------------------------------------

    async def _disk(self) -> None:
        world, chance = self._world, self._world.chance
        while await self._often(50, 300):
            disk = world.central.disk
            if world.has("store_full"):
                world.say("trouble: the store is full")
                disk.full = True
                await asyncio.sleep(chance.uniform(1, 90))
                disk.full = False
            if world.has("store_stalls"):
                seconds = chance.choice((1.0, 10.0, 50.0))
                world.say(f"trouble: the disk of the central stalls for {seconds:.0f} s")
                disk.stalled_until = world.loop.now + seconds
            if world.has("nodes_full") and world.nodes:
                node = chance.choice(world.nodes)
                world.say(f"trouble: the disk of {node.host.name} is full")
                node.journal.full = node.folders.full = True
                await asyncio.sleep(chance.uniform(1, 60))
                node.journal.full = node.folders.full = False

    # -- pilots -----------------------------------------------------------------------------------

    async def _pilot(self, number: int) -> None:
        """One slot of a site: a pilot after the other, on the same node or on another one."""
        world, chance = self._world, self._world.chance
        from .world import SITES

        site = SITES[number % len(SITES)]
        await self.begun.wait()
        node, secret = self._node(), await world.story.secret(site)
        life = world.pilots.live(node, secret, site)
        while True:
            await self._wait_or_hurt(life)
            world.say(f"{life.pilot.name} has ended")
            life.pilot.kill()
            await asyncio.sleep(1.0 if world.is_calm else chance.uniform(1, UNTIL_PILOT_S))
            same = not life.ended_well and chance.random() < 0.6
            if not same:
                node, secret = self._node(), await world.story.secret(site)
            life = world.pilots.live(node, secret, site)

    def _node(self) -> Node:
        world = self._world
        node = world.pilots.node(f"wn{len(world.nodes) + 1}")
        world.nodes.append(node)
        return node

    async def _wait_or_hurt(self, life: Life) -> None:
        world, chance = self._world, self._world.chance
        while not life.is_over:
            if world.is_calm:
                await life.over.wait()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(20, 300)):
                    await life.over.wait()
            if not life.is_over and not world.is_calm:
                await self._hurt(life)

    async def _hurt(self, life: Life) -> None:
        world, chance = self._world, self._world.chance
        able = [
            fault
            for fault in (
                "pilots_killed",
                "pilots_stopped",
                "pilots_any_step",
                "pilots_ended",
                "guards_killed",
                "guards_stopped",
                "nodes_off",
                "nodes_suspended",
                "clones",
                "thieves",
            )
            if world.has(fault)
        ]
        if not able:
            return
        fault, seconds = chance.choice(able), chance.uniform(5, 250)
        world.say(f"trouble: {fault} of {life.pilot.name}")
        if fault == "pilots_killed":
            life.pilot.kill()
        elif fault == "pilots_any_step":
            chance.choice((life.pilot, life.keeper)).fuse = chance.randint(0, 100)
        elif fault == "pilots_ended":
            life.pilot.soon(life.agent.drain, "told by the batch system")
        elif fault == "guards_killed":
            life.keeper.kill()
        elif fault == "nodes_off":
            life.node.power_off(chance)
        elif fault == "clones":
            self._clone(life)
        elif fault == "thieves":
            self._rob(life)
        elif fault == "nodes_suspended":
            world.loop.suspend(life.node.host)
            await asyncio.sleep(seconds)
            world.loop.wake(life.node.host)
        else:
            process = life.pilot if fault == "pilots_stopped" else life.keeper
            process.stop()
            if process is life.keeper:
                life.guard.unheld()
            await asyncio.sleep(seconds)
            process.go_on()

    def _clone(self, life: Life) -> None:
        """The batch system starts the slot again elsewhere, while it lives, on a shared folder."""
        node = self._node()
        self._world.invariants.copied.add(life.secret)
        node.journal = life.node.journal.copy()
        self._world.pilots.live(node, life.secret, life.site)

    def _rob(self, life: Life) -> None:
        """Somebody reads the journal of a pilot."""
        self._world.invariants.copied.add(life.secret)
        thief = Thief(self._world, life)
        self._thefts.add(asyncio.get_running_loop().create_task(thief.act()))
