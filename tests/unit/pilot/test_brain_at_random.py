"""Hundreds of random histories: whatever the world does, the mind keeps its promises."""

import math
import random

import pytest

from pilotage.pilot.mind import commands as c
from pilotage.proto.limits import check
from pilotage.proto.messages import Beat, Turn, What

from .stories import JOBS, Story

SEEDS = 40
STEPS = 150


class Watch:
    """Looks at every command and remembers what must not happen twice, or too early."""

    def __init__(self, cores: int = 2) -> None:
        self.story, self.cores = Story(idle_s=5_000, cores=cores), cores
        self.kept: set[int] = set()
        self.ended: set[int] = set()
        self.alive: set[int] = set()
        self.collecting: set[int] = set()
        self.staging: set[int] = set()
        self.asked = 0
        self.beats: list[int] = []
        self.exits: list[int] = []

    def happen(self, words: list[str], now: float) -> None:
        for command in self.story.happen(words, now):
            assert not self.exits, "nothing comes after the end"
            self._look(command)

    def _look(self, command: c.Command) -> None:
        if isinstance(command, (c.SendTurn, c.SendBeat, c.PublishBeat)):
            check(command.turn if isinstance(command, c.SendTurn) else command.beat)
        if isinstance(command, (c.SendTurn, c.SendBeat)):
            assert self.story.flying is None, "one request at a time"
            self.story.flying = command.turn if isinstance(command, c.SendTurn) else command.beat
        if isinstance(command, c.SendTurn):
            self._look_at_turn(command.turn)
        elif isinstance(command, c.KeepAssignment):
            self.kept.add(command.assignment.attempt_id)
        elif isinstance(command, c.Stage):
            self.staging.add(command.assignment.attempt_id)
        elif isinstance(command, c.StartPayload):
            attempt_id = command.assignment.attempt_id
            assert attempt_id in self.kept, "the journal comes first"
            self.staging.discard(attempt_id)
            self.alive.add(attempt_id)
            assert len(self.alive) <= self.cores, "one payload a core"
        elif isinstance(command, c.Collect):
            self.collecting.add(command.assignment.attempt_id)
        elif isinstance(command, c.KeepEnded):
            self.ended.add(command.report.attempt_id)
            self.collecting.discard(command.report.attempt_id)
            self.staging.discard(command.report.attempt_id)
        elif isinstance(command, c.Forget):
            self.kept.discard(command.attempt_id)
            self.ended.discard(command.attempt_id)
        elif isinstance(command, c.Exit):
            self.exits.append(command.code)

    def _look_at_turn(self, turn: Turn) -> None:
        for report in turn.reports:
            assert report.what is not What.ENDED or report.attempt_id in self.ended
        if turn.ask is not None:
            assert turn.ask.n in (self.asked, self.asked + 1), "numbers leave none out"
            assert turn.ask.n == self.asked or turn.ask.offer.cores_free > 0
            self.asked = turn.ask.n

    def choices(self, chance: random.Random) -> list[list[str]]:
        """Return what may happen next."""
        job = chance.choice(JOBS)
        may = [["tick"], ["bus", chance.choice(["up", "down"])], ["down", "stop", job]]
        may.append(["disk", str(chance.randint(0, 200_000))])
        may.append(["down", "wake", str(chance.randint(0, 5))])
        may.append(["down", "beat", str(chance.randint(1, 9)), *_words(chance, "stale stop")])
        if isinstance(self.story.flying, Beat):
            may += [["got", *_words(chance, "stale stop")]] * 5
        elif self.story.flying is not None:
            news = chance.sample(JOBS, chance.randint(0, 2))
            parked = ["parked"] if chance.random() < 0.5 else []
            answer = chance.choice(["ok", "ok", "ok", "missing", "stale", "already", "none"])
            may += [["got", *news, *parked, f"answer={answer}", *_words(chance, "stop")]] * 8
        if self.story.flying is not None:
            may += [["http", chance.choice(["0", "503", "422", "401"])]] * 2
        for attempt_id in self.alive:
            name = JOBS[attempt_id - 1]
            may += [["started", name], ["gone", name, "0"], ["gone", name, "signal", "killed"]]
        may += [["collected", JOBS[one - 1]] for one in self.collecting]
        may += [["staged", JOBS[one - 1]] for one in self.staging]
        may += [["uploaded", JOBS[one - 1]] for one in self.ended]
        return may


def _words(chance: random.Random, words: str) -> list[str]:
    return [f"{word}={chance.choice(JOBS)}" for word in words.split() if chance.random() < 0.2]


@pytest.mark.parametrize("block", range(10))
def test_promises_hold_in_random_histories(block: int) -> None:
    for seed in range(block * SEEDS, (block + 1) * SEEDS):
        _play(Watch(), seed)


def test_the_central_can_read_whatever_the_pilot_of_a_wide_node_says() -> None:
    """`check` is the central's own rule; a turn that it refuses would be refused for ever."""
    for seed in range(SEEDS):
        _play(Watch(cores=300), seed)


def _play(watch: Watch, seed: int) -> None:
    chance, now = random.Random(seed), 0.0
    for _ in range(STEPS):
        words = chance.choice(watch.choices(chance))
        now += chance.choice([0.0, 0.01, 1.0, 10.0])
        if words[0] in ("got", "http"):
            watch.story.flying = watch.story.flying if words[0] == "got" else None
        if words[0] == "gone":
            watch.alive.discard(JOBS.index(words[1]) + 1)
        try:
            watch.happen(words, now)
        except AssertionError as why:
            raise AssertionError(f"seed {seed}: {words} at {now}: {why}") from why
        if watch.exits:
            break
    if not watch.exits:
        _comes_to_rest(watch, now, seed)


def _comes_to_rest(watch: Watch, now: float, seed: int) -> None:
    """With a central that answers again, the pilot drains and ends."""
    watch.happen(["drain"], now)
    for _ in range(2_000):
        if watch.exits:
            return
        for attempt_id in sorted(watch.alive):
            watch.alive.discard(attempt_id)
            watch.happen(["gone", JOBS[attempt_id - 1], "0"], now)
        for kind, word in ((watch.collecting, "collected"), (watch.staging, "staging-failed")):
            for attempt_id in sorted(kind):
                watch.happen([word, JOBS[attempt_id - 1]], now)
        for attempt_id in sorted(watch.ended):
            watch.happen(["uploaded", JOBS[attempt_id - 1]], now)
        if watch.exits:
            return
        if watch.story.flying is not None:
            watch.happen(["got"], now)
        else:
            due = watch.story.brain.due()
            assert due < math.inf, f"seed {seed}: it waits for nothing"
            now = max(now, due)
            watch.happen(["tick"], now)
    raise AssertionError(f"seed {seed}: it never ended")
