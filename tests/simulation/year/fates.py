"""What the jobs of prod6 leave, and how long they take: as examples/prod6/standin.py, in memory."""

import asyncio
import fnmatch
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from pilotage.proto.messages import Assignment, How
from pilotage.proto.storages import Published

from .pilots import Fate
from .troubles import BAD_EXIT, FAILS_S, HOLE_EXIT, End, Troubles

CRASHES: Final = 0.01  # of all attempts
SPLITS: Final = {
    "gamma-diffuse": ("train_en", "train_cl", "test"),
    "proton": ("train_cl", "test"),
}
MOONS: Final = (("dark", 1), ("half", 5))
GB: Final = 10**9
# hours on the median, spread of their logarithm, bytes of each file that is made
KINDS: Final = {
    "simulate": (45.0, 0.4, 4.4 * GB),
    "process": (10.0, 0.5, 0.55 * GB),
    "merge": (2.0, 0.5, 6.0 * GB),
    "train": (30.0, 0.3, 1.0 * GB),
    "apply": (8.0, 0.4, 60.0 * GB),
    "irf": (1.0, 0.2, 0.1 * GB),
}


class PassingCrashes:
    """Attempts crash at random, but no task does so twice.

    A task that crashes on two hosts has inputs that cannot be worked on: the rules of failover
    look for the bad one among them.
    """

    def __init__(self, troubles: Troubles, begun: float) -> None:
        self._troubles, self._begun = troubles, begun
        self._crashed: set[tuple[object, ...]] = set()

    def fate(self, given: Assignment, at_hole: bool, chance: random.Random) -> Fate:
        """Return what becomes of an attempt that begins now. An hour takes a second."""
        troubles, now = self._troubles, asyncio.get_running_loop().time() - self._begun
        if at_hole:
            return Fate(FAILS_S, End(How.EXITED, HOLE_EXIT))
        unread = troubles.not_fetched(given, now)
        if unread:
            troubles.count("not fetched")
            return Fate(FAILS_S, End(How.INPUT, detail=unread))
        command = given.body.command
        words = list(command[command.index("standin.py") + 1 :])
        hours, spread, size = KINDS[words[0]]
        lasts_s = chance.lognormvariate(0.0, spread) * hours
        inputs = given.data.inputs if given.data is not None else ()
        if troubles.has_bad_input(given):
            return Fate(lasts_s * chance.random(), End(How.EXITED, BAD_EXIT))
        task = (*command, *[one.did for one in inputs]) if inputs else (given.job,)
        if chance.random() < CRASHES and task not in self._crashed:
            self._crashed.add(task)
            return Fate(lasts_s * chance.random(), End(How.SIGNALLED, 11))
        made: list[Published] = []
        for name, said in _made(given, words):
            one = self._published(given, name, said, int(size), now + lasts_s)
            if one is None:
                troubles.count("not stored")
                return Fate(lasts_s, End(How.STORAGE, detail=f"{name}: each storage says 503"))
            made.append(one)
        return Fate(lasts_s, made=made)

    def _published(
        self, given: Assignment, name: str, said: str, size: int, at_s: float
    ) -> Published | None:
        """Return a file as a storage has taken it; None: no storage does."""
        assert given.data is not None
        patterns = [one.pattern for one in given.data.outputs]
        rule = next(n for n, one in enumerate(patterns) if fnmatch.fnmatch(name, one))
        storage = self._troubles.taken_by(given, rule, at_s)
        if storage is None:
            return None
        sums = hashlib.sha256(f"{given.attempt_id} {name}".encode()).hexdigest()
        size = size if not name.endswith(".tar") else 10**7
        path = f"{given.data.folder}/{name}"
        return Published(rule, name, storage, path, size, sums[:8], sums, said)


def _made(given: Assignment, words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each file, and what its program says of it."""
    inputs = given.data.inputs if given.data is not None else ()
    names = [PurePosixPath(one.path).name for one in inputs]
    match words:
        case ["simulate", particle, run]:
            number, splits = int(run), SPLITS.get(particle, ("test",))
            for which, (moon, nsb) in enumerate(MOONS):
                split = splits[(len(MOONS) * (number - 1) + which) % len(splits)]
                said = {"runNumber": number, "nsb": nsb, "split": split}
                yield f"{particle}_run{number:06d}_{moon}.simtel.zst", json.dumps(said)
            yield f"{particle}_run{number:06d}.log_hist.tar", ""
        case ["process", level, *_]:
            for name in names:
                yield f"{name.split('.')[0]}.{level}.h5", ""
        case ["merge", task, *_]:
            yield f"merged_{int(task):06d}.DL2.h5", ""
        case ["train", model, *_]:
            yield f"{model}.pkl", ""
        case ["apply", *_]:
            for name in names:
                if not name.endswith(".pkl"):
                    yield f"applied_{name}", ""
        case _:
            yield "irf.fits.gz", ""
