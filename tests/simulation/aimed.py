"""Faults that are aimed: at the moment when they hurt most.

Some bugs are not found in hundreds of worlds by chance alone: a pilot has to be cut off just as it
starts a payload, an answer has to be lost just after its commit, an old request has to come again.
"""

import random
from typing import TYPE_CHECKING, Any

from pilotage.central.jobs.record_types import AttemptResult, NewAttempt, Requeue
from pilotage.proto.messages import Assignment

if TYPE_CHECKING:
    from .pilots import Life
    from .world import World

LONG_S = 250.0  # longer than a lease
LATE_ACTIONS = 0.15  # of all worlds
LATE_S = (20.0, 400.0)
SHORT_S = (15.0, 65.0)  # so that the answer comes to the second or third try


class Aimed:
    """Each aim hits as often as the world has drawn."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._again: set[str] = set()  # hosts that are cut off once more as they start a payload
        # Drawn apart: all else of a world stays as it was.
        self._proxy = random.Random(f"proxy of world {world.seed}")
        self.has_late_actions = self._proxy.random() < LATE_ACTIONS
        world.network.late = self._late

    def _hits(self, fault: str) -> bool:
        return self._world.has(fault) and self._world.chance.random() < self._world.swarm.aim

    def _cut(self, host: str, seconds: float, why: str) -> None:
        world = self._world
        world.say(f"aimed: {host} is cut off for {seconds:.0f} s {why}")
        world.network.cut(host, "*", seconds)

    def _late(self, path: str) -> float:
        """Return how late a copy of a request comes; 0: none comes."""
        if not self.has_late_actions or path != "/v1/jobs/actions" or self._world.is_calm:
            return 0.0
        return self._proxy.uniform(*LATE_S) if self._proxy.random() < 0.7 else 0.0

    def starts(self, life: "Life", assignment: Assignment, now: float) -> None:
        """A guard starts a payload."""
        world, host = self._world, life.node.host
        if host.name in self._again:
            self._again.discard(host.name)
            self._cut(host.name, LONG_S, "for the second time, as it starts a payload")
        elif self._hits("cut_at_start"):
            self._cut(host.name, LONG_S, "as it starts a payload")
        if self._hits("suspend_at_start"):
            seconds = world.chance.uniform(60.0, 300.0)
            delay_s = world.chance.choice((0.0, world.chance.uniform(0.0, 60.0)))
            world.say(f"aimed: {host.name} is suspended for {seconds:.0f} s")
            world.loop.at(now + delay_s, None, world.loop.suspend, host)
            world.loop.at(now + delay_s + seconds, None, world.loop.wake, host)

    def queued(self, verb: str, args: tuple[Any, ...]) -> None:
        """The central wants to write something."""
        world = self._world
        if verb == "turn" and not args[1] and any(isinstance(one, Requeue) for one in args[0]):
            if self._hits("stall_at_requeue"):
                seconds = world.chance.uniform(1.0, 15.0)
                world.say(f"aimed: a requeue takes {seconds:.0f} s, and all cuts are healed")
                world.central.disk.stalled_until = world.loop.now + seconds
                world.network.mend()

    def committed(self, verb: str, args: tuple[Any, ...], result: Any) -> None:
        """The store of the central has carried something out."""
        if verb == "turn":
            changes, attempts = args[:2]
            written, bodies = result
            for attempt, body in zip(attempts, bodies, strict=True):
                if body is not None:
                    self._matched(attempt)
            if any(
                isinstance(one, AttemptResult) and done
                for one, done in zip(changes, written, strict=True)
            ):
                self._result(changes)
        elif verb == "submit" and self._hits("kill_at_submit"):
            self._kill("at a submission")

    def _matched(self, attempt: NewAttempt) -> None:
        world = self._world
        host = attempt.host
        if self._hits("cut_at_match"):
            self._cut(
                host,
                world.chance.choice((LONG_S, world.chance.uniform(*SHORT_S))),
                "as a match for it is written",
            )
        elif self._hits("cut_twice"):
            self._cut(host, world.chance.uniform(*SHORT_S), "before it has the answer")
            self._again.add(host)
        if self._hits("kill_at_match"):
            self._kill("at a match")
        if attempt.epoch > 1:
            if self._hits("cut_at_takeover"):
                self._cut(host, LONG_S, "as it takes a job over")
            if self._hits("heal_at_takeover"):
                world.say("aimed: all cuts are healed as a job is taken over")
                world.network.mend()

    def _result(self, changes: Any) -> None:
        world = self._world
        if self._hits("kill_at_result"):
            self._kill("at a result")
        if self._hits("cut_at_result") and world.nodes:
            for life in world.pilots.lives[-len(world.nodes) :]:
                if not life.is_over and world.chance.random() < 0.5:
                    self._cut(life.node.host.name, world.chance.uniform(*SHORT_S), "at a result")

    def restarts(self) -> None:
        """The central starts again."""
        world = self._world
        if self._hits("cut_at_restart"):
            for life in world.pilots.lives:
                if not life.is_over:
                    self._cut(life.node.host.name, LONG_S, "as the central starts again")
                    return

    def _kill(self, when: str) -> None:
        """Kill the central within its next steps: before or after it has answered."""
        world = self._world
        process = world.central.process
        if process is not None and not process.dead:
            world.say(f"aimed: the central is killed {when}")
            process.fuse = world.chance.randint(0, 12)
