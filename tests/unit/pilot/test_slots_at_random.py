"""Random histories of a node that is booked: whatever a central hands out, it is never overfull.

The central of these histories has no manners. It gives what does not fit, more than was asked for,
jobs longer than the time that is left; answers come late, limits and the disk move. The node checks
every start by its own books, which know nothing of those of the pilot.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from pilotage.pilot.mind import commands as c
from pilotage.pilot.mind.brain import Brain, Reply
from pilotage.pilot.mind.pace import (
    WALL_LATE_S,
    WALL_MIN_S,
    FailedRequest,
    PilotDeadlines,
    PilotSession,
)
from pilotage.pilot.ports import Ended
from pilotage.proto.messages import (
    Answer,
    AskAnswer,
    Assignment,
    Beat,
    BeatAnswer,
    Body,
    Grant,
    InputFile,
    Offer,
    ReportAnswer,
    Turn,
    TurnReply,
    Usage,
)

SEEDS, STEPS = 30, 120
MARGIN_S = 60.0
INPUT = InputFile("in", "0" * 64, 1)
WHAT = ("cores", "memory_mb", "scratch_mb", "gpus")


@dataclass(repr=False)
class Node:
    """What a node has, what runs on it, and what its pilot has on the way."""

    has: Grant  # `wall_s`: until when payloads may run
    chance: random.Random
    now: float = 0.0
    granted: dict[int, Grant] = field(default_factory=dict[int, Grant])  # of all that were given
    staging: set[int] = field(default_factory=set[int])
    running: dict[int, Grant] = field(default_factory=dict[int, Grant])
    written_mb: dict[int, int] = field(default_factory=dict[int, int])
    stopped: set[int] = field(default_factory=set[int])
    collecting: set[int] = field(default_factory=set[int])
    flying: Turn | Beat | None = None
    offered: tuple[int, ...] = ()  # last, in the order of WHAT
    started: int = 0
    over: bool = False

    def __post_init__(self) -> None:
        has = self.has
        self.stop_at = has.wall_s
        offer = Offer(
            cores=has.cores,
            cores_free=has.cores,
            memory_mb=has.memory_mb,
            memory_free_mb=has.memory_mb,
            wall_left_s=has.wall_s,
            scratch_free_mb=has.scratch_mb,
            gpus=has.gpus,
            gpus_free=has.gpus,
            amounts=has.amounts,
            amounts_free=has.amounts,
        )
        bounds = PilotDeadlines(self.stop_at, self.stop_at + MARGIN_S)
        self.brain = Brain(PilotSession("g", 1, 40.0), offer, bounds, self.chance.uniform, now=0.0)

    # -- what the pilot does --------------------------------------------------------------------

    def carry_out(self, commands: list[c.Command]) -> None:
        for command in commands:
            if isinstance(command, c.SendTurn):
                self.flying = command.turn
                self._look_at_offer(command.turn)
            elif isinstance(command, c.SendBeat):
                self.flying = command.beat
            elif isinstance(command, c.Stage):
                self.staging.add(command.assignment.attempt_id)
            elif isinstance(command, c.StartPayload):
                self._start(command.assignment)
            elif isinstance(command, c.StopPayload):
                self.stopped.add(command.attempt_id)
            elif isinstance(command, c.Collect):
                self.collecting.add(command.assignment.attempt_id)
            elif isinstance(command, c.Exit):
                self.over = True

    def _start(self, assignment: Assignment) -> None:
        attempt_id, grant = assignment.attempt_id, assignment.grant
        self.staging.discard(attempt_id)
        assert attempt_id not in self.running, "it runs already"
        assert self.now < self.stop_at, "its time is over"
        assert grant.wall_s <= self.stop_at - self.now + WALL_LATE_S, "it cannot end in time"
        self.running[attempt_id], self.written_mb[attempt_id] = grant, 0
        taken = sum(one.amounts.get("net", 0) for one in self.running.values())
        assert taken <= self.has.amounts["net"], "more of a named amount than was offered"
        self.started += 1
        for what in WHAT:
            used = self._used(what)
            assert used <= getattr(self.has, what), f"{used} {what} are given"

    def _used(self, what: str) -> int:
        return sum(getattr(grant, what) for grant in self.running.values())

    def _look_at_offer(self, turn: Turn) -> None:
        if turn.ask is None:
            return
        offer = turn.ask.offer
        free = (offer.cores_free, offer.memory_free_mb, offer.scratch_free_mb, offer.gpus_free)
        for what, count in zip(WHAT, free, strict=True):
            most = getattr(self.has, what) - self._used(what)
            assert 0 <= count <= most, f"{count} {what} are offered, {most} are free"
        assert turn.ask.jobs_max <= offer.cores_free
        self.offered = free

    def come_to_rest(self) -> None:
        """Let all end, look at the disk, and give nothing more."""
        for act, left in (
            (self._staged, self.staging),
            (self._gone, self.running),
            (self._collected, self.collecting),
        ):
            while left:
                self.carry_out(act())
        self.carry_out(self._disk())
        for _ in range(10):
            if isinstance(self.flying, Turn):
                self.carry_out(self._answered(most=0))
            elif self.flying is not None:
                self.carry_out(self._beat_answered())
            else:
                self.now = max(self.now, self.brain.due())
                self.carry_out(self.brain.tick(self.now))

    # -- what happens to it ---------------------------------------------------------------------

    def happen(self) -> None:
        self.now += self.chance.choice([0.0, 0.01, 1.0, 10.0])
        self.carry_out(self.chance.choice(self._choices())())

    def _choices(self) -> list[Callable[[], list[c.Command]]]:
        may: list[Callable[[], list[c.Command]]] = [
            lambda: self.brain.tick(self.now),
            self._disk,
            self._limit,
        ]
        if isinstance(self.flying, Turn):
            may += [self._answered] * 12
        if self.flying is not None:
            may += [lambda: self._reply(FailedRequest(503)), self._beat_answered]
        may += [self._staged] * len(self.staging)
        may += [self._gone] * len(self.running)
        may += [self._collected] * 2 * len(self.collecting)
        return may

    def _reply(self, reply: Reply) -> list[c.Command]:
        self.flying = None
        return self.brain.replied(reply, self.now)

    def _answered(self, most: int = 99) -> list[c.Command]:
        turn = self.flying
        assert isinstance(turn, Turn)
        reports = tuple(
            ReportAnswer(one.job, one.epoch, one.n, Answer.OK, ()) for one in turn.reports
        )
        ask = None
        if turn.ask is not None:
            count = self.chance.randint(0, min(most, 1 + turn.ask.jobs_max))
            given = tuple(self._given(turn.ask.offer) for _ in range(count))
            ask = AskAnswer(turn.ask.n, given, parked=not given)
        return self._reply(TurnReply(term=1, reports=reports, ask=ask))

    def _given(self, offer: Offer) -> Assignment:
        attempt_id, chance = len(self.granted) + 1, self.chance
        parts = chance.choice([1, 2, 4, 8])  # of what there is, and more
        given = {what: chance.randint(0, 2 * getattr(self.has, what) // parts) for what in WHAT[1:]}
        most = 2 * self.has.amounts["net"] // parts
        grant = Grant(
            memory_mb=given["memory_mb"],
            scratch_mb=given["scratch_mb"],
            gpus=given["gpus"],
            amounts=chance.choice([{}, {"net": chance.randint(0, most)}]),
            cores=chance.randint(1, 1 + 2 * self.has.cores // parts),
            wall_s=chance.uniform(0.2, 1.1) * offer.wall_left_s,
        )
        self.granted[attempt_id] = grant
        inputs = (INPUT,) if chance.random() < 0.3 else ()
        body = Body(command=("true",), inputs=inputs)
        return Assignment(attempt_id, 1, attempt_id, 120.0, "t", grant, body)

    def _beat_answered(self) -> list[c.Command]:
        if isinstance(self.flying, Beat):
            return self._reply(BeatAnswer(self.flying.n, 1))
        return self._reply(FailedRequest(0))

    def _staged(self) -> list[c.Command]:
        attempt_id = self.chance.choice(sorted(self.staging))
        self.staging.discard(attempt_id)
        return self.brain.staged(attempt_id, self.now)

    def _gone(self) -> list[c.Command]:
        attempt_id = self.chance.choice(sorted(self.running))
        del self.running[attempt_id], self.written_mb[attempt_id]
        usage = Usage(wall_s=1.0, cpu_s=1.0, memory_peak_mb=1.0)
        return self.brain.gone(Ended(attempt_id, 0, None, 0.0, usage), self.now)

    def _collected(self) -> list[c.Command]:
        attempt_id = self.chance.choice(sorted(self.collecting))
        self.collecting.discard(attempt_id)
        return self.brain.collected(attempt_id, (), self.now)

    def _disk(self) -> list[c.Command]:
        """Payloads write what they were granted of the disk, and it is looked at."""
        for attempt_id, grant in self.running.items():
            self.written_mb[attempt_id] = self.chance.randint(0, grant.scratch_mb)
        free_mb = self.has.scratch_mb - sum(self.written_mb.values())
        return self.brain.scratch_changed(free_mb, self.now)

    def _limit(self) -> list[c.Command]:
        if self.chance.random() < 0.9:
            return self.brain.tick(self.now)
        self.stop_at = max(self.now + WALL_MIN_S, self.stop_at * self.chance.uniform(0.7, 1.2))
        bounds = PilotDeadlines(self.stop_at, self.stop_at + MARGIN_S)
        return self.brain.bounds_changed(bounds, self.now)


def play(seed: int) -> Node:
    chance = random.Random(seed)
    node = Node(
        Grant(
            cores=chance.choice([1, 2, 8, 64]),
            memory_mb=chance.choice([2_000, 64_000]),
            wall_s=chance.choice([300.0, 3_600.0, 1e6]),
            scratch_mb=chance.choice([0, 10_000, 1_000_000]),
            gpus=chance.choice([0, 1, 4]),
            amounts={"net": chance.choice([0, 10])},
        ),
        chance,
    )
    for step in range(STEPS):
        try:
            node.happen()
        except AssertionError as why:
            raise AssertionError(f"seed {seed}, step {step}, at {node.now}: {why}") from why
        if node.over:
            break
        if node.now >= node.stop_at:
            node.carry_out(node.brain.tick(node.now))
            left = set(node.running) - node.stopped
            assert not left, f"seed {seed}: {left} run on at {node.now}, after {node.stop_at}"
    return node


@pytest.mark.parametrize("block", range(10))
def test_nothing_of_a_node_is_given_twice_and_nothing_starts_that_cannot_end_in_time(
    block: int,
) -> None:
    nodes = [play(seed) for seed in range(block * SEEDS, (block + 1) * SEEDS)]

    assert sum(node.started for node in nodes) > 100, "it was put to the test"


def test_what_was_booked_is_offered_again_to_the_last_megabyte() -> None:
    seen = 0
    for seed in range(SEEDS):
        node = play(seed)
        node.come_to_rest()
        if node.now < node.stop_at - WALL_MIN_S:
            seen += 1
            assert node.offered == tuple(getattr(node.has, what) for what in WHAT), f"seed {seed}"

    assert seen > SEEDS / 3, "it was put to the test"
