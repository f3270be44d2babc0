"""What the beacons of a campaign tell: when each attempt ran, by its own words.

A payload that writes is a payload that runs, whatever the central believes; so this is what proves
that no two attempts of a job ran at the same time.
"""

import atexit
import sys
from dataclasses import dataclass
from pathlib import Path

from pilotage.proto.documents.job import Job, Need

PAYLOAD = Path(__file__).with_name("payloads") / "beacon.py"


@dataclass(frozen=True)
class Attempt:
    """One attempt: from its first word to its last."""

    job: int
    epoch: int
    began: float
    last: float
    ended: bool


def outside_tmp(file: Path) -> Path:
    """Return another path for a file in /tmp. Payloads in namespaces have a private /tmp."""
    elsewhere = Path.home() / f".pilotage-test{str(file).replace('/', '-')}"
    elsewhere.unlink(missing_ok=True)
    atexit.register(elsewhere.unlink, missing_ok=True)
    return elsewhere


@dataclass(frozen=True)
class Beacons:
    """The file that all payloads of a story write to."""

    file: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", outside_tmp(self.file))

    def job(
        self, seconds: float, later_s: float | None = None, *, sites: tuple[str, ...] = ()
    ) -> Job:
        """Return a job that runs for `seconds`, and `later_s` in every attempt after its first."""
        words = [str(seconds)] if later_s is None else [str(seconds), str(later_s)]
        return Job(
            command=(sys.executable, "-I", "-S", str(PAYLOAD), str(self.file), *words),
            needs=(Need(sites=sites, wall_s=600),),
        )

    def attempts(self) -> dict[tuple[int, int], Attempt]:
        """Return every attempt that has said something, by job and epoch."""
        found: dict[tuple[int, int], Attempt] = {}
        text = self.file.read_text() if self.file.exists() else ""
        for line in text.splitlines(keepends=True):
            if not line.endswith("\n"):
                break
            job, epoch, word, at = line.split()
            key, moment = (int(job), int(epoch)), float(at)
            before = found.get(key)
            assert before is None or word != "starts", f"attempt {key} was started twice"
            began = moment if before is None else before.began
            found[key] = Attempt(*key, began, moment, word == "ends")
        return found

    def of(self, job: int) -> list[Attempt]:
        """Return the attempts of a job in their order."""
        found = self.attempts()
        return [found[key] for key in sorted(found) if key[0] == job]

    def running(self, job: int) -> bool:
        """Whether the job has begun and not ended."""
        attempts = self.of(job)
        return bool(attempts) and not attempts[-1].ended

    def overlaps(self) -> list[tuple[Attempt, Attempt]]:
        """Return neighbouring attempts of one job of which the later began before the earlier
        had said its last word."""
        attempts = [one for _, one in sorted(self.attempts().items())]
        return [
            (one, next_one)
            for one, next_one in zip(attempts, attempts[1:], strict=False)
            if one.job == next_one.job and next_one.began <= one.last
        ]
