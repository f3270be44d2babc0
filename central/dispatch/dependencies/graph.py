"""The jobs that wait for other jobs, and their parents, in the memory of the leader. Pure.

The states of parents come from two sources: changes that the leader hears, and rows that it reads
after it has begun to listen. A heard state is newer than a read one. All calls may be repeated.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from pilotage.proto.documents.job import When
from pilotage.proto.job_states import FINAL, JobState

from ...jobs.record_dependencies import Dependent, Ranges, Settlement, Verdict

BITS: Final = 10  # a bucket has the states of 1 024 consecutive jobs
SIZE: Final = 1 << BITS
MASK: Final = SIZE - 1
SHOWN_MAX: Final = 20  # open conditions in an answer

# The known states of a job. Removed jobs have ended long ago; they count as Done.
_UNKNOWN, _OPEN, _DONE, _REMOVED, _FAILED, _KILLED = range(6)
_CODES: Final = {JobState.DONE: _DONE, JobState.FAILED: _FAILED, JobState.KILLED: _KILLED}
_WORDS: Final = {_FAILED: JobState.FAILED.value, _KILLED: JobState.KILLED.value}
_WANTED: Final[dict[When, str]] = {
    "ok": "to end well",
    "any": "to end",
    "fail": "to end with a failure",
}


@dataclass(frozen=True)
class OpenCondition:
    """A range of parents whose condition is not met."""

    first: int
    count: int
    when: When
    ended: int
    broken: bool  # it cannot be met any more

    def __str__(self) -> str:
        one = self.count == 1
        its = f"job {self.first}" if one else f"jobs {self.first}-{self.first + self.count - 1}"
        so_far = "" if one else f" ({self.ended} of {self.count} have ended)"
        if self.broken:
            return f"it waited for {its} {_WANTED[self.when]}{so_far}, which is not possible now"
        return f"it waits for {its} {_WANTED[self.when]}{so_far}"


class _Bucket:
    """The known states of consecutive jobs, and the parents among them."""

    __slots__ = ("alone", "made", "ranges", "states")

    def __init__(self, made: int) -> None:
        self.made = made  # states that were read before are too old for it
        self.states = bytearray(SIZE)
        self.alone: dict[int, _Parents] = {}  # by job
        self.ranges: dict[_Parents, None] = {}


class _Parents:
    """Consecutive jobs that others wait for. Dependents with the same parents share it."""

    __slots__ = ("children", "count", "counts", "first")

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count
        self.counts = [0] * 6  # jobs by what is known of them
        self.children: dict[When, dict[int, _Child]] = {}

    def outcome(self, when: When) -> bool | None:
        """Return whether the condition is met; None: it is still open."""
        counts = self.counts
        if counts[_UNKNOWN]:
            return None
        failed = counts[_FAILED] + counts[_KILLED]
        if when == "ok" and failed:
            return False
        if counts[_OPEN]:
            return None
        return when != "fail" or failed > 0


class _Child:
    """A job that waits for its parents. All its conditions `fail` are met by one failure."""

    __slots__ = ("broken", "class_id", "edges", "fails", "missed", "open", "policy", "stopped")

    def __init__(self, class_id: int, policy: str, *, stopped: bool) -> None:
        self.class_id, self.policy = class_id, policy
        self.stopped = stopped  # by its parents
        self.edges: list[tuple[_Parents, When]] = []
        self.open = self.broken = 0  # ranges that are still open; those that cannot be met
        self.fails = self.missed = 0  # ranges with the condition `fail`; those without a failure

    def count(self, when: When, was: bool | None, now: bool | None) -> None:
        """Count a new outcome of one range of parents."""
        self.open += (now is None) - (was is None)
        if when == "fail":
            self.missed += (now is False) - (was is False)
        else:
            self.broken += (now is False) - (was is False)

    @property
    def is_broken(self) -> bool:
        return self.broken > 0 or self.missed == self.fails > 0

    @property
    def is_due(self) -> bool:
        return self.stopped or not self.open or self.is_broken


def _numbers(parents: _Parents) -> range:
    """Return the numbers of the buckets of a range of jobs."""
    return range(parents.first >> BITS, (parents.first + parents.count - 1 >> BITS) + 1)


def _part(parents: _Parents, number: int) -> range:
    """Return the part of a bucket that a range of jobs covers."""
    start = parents.first - (number << BITS)
    return range(max(start, 0), min(start + parents.count, SIZE))


class DependencyGraph:
    """All jobs that wait for other jobs.

    `unwatched` has the jobs whose parents are not watched yet, `unread` the parents whose states
    are to be read, and `due` the jobs whose verdict may have changed. `called` is called when one
    of them gets an entry.
    """

    def __init__(self) -> None:
        self.children: dict[int, _Child | Dependent] = {}  # a Dependent is not watched yet
        self.unwatched: deque[Dependent] = deque()
        self.due: dict[int, None] = {}
        self.unread: dict[tuple[int, int], None] = {}
        self.called: Callable[[], None] = lambda: None
        self._parents: dict[tuple[int, int], _Parents] = {}
        self._buckets: dict[int, _Bucket] = {}
        self.made = 0  # buckets so far

    # -- dependents -----------------------------------------------------------------------------

    def add(self, dependents: Iterable[Dependent]) -> None:
        """Keep these jobs out of the queue. Many can be added at once: `watch` does the rest."""
        for one in dependents:
            if one.job_id not in self.children:
                self.children[one.job_id] = one
                self.unwatched.append(one)
        if self.unwatched:
            self.called()

    def watch(self, most: int) -> None:
        """Begin to watch the parents of the next jobs, about `most` ranges of parents."""
        while self.unwatched and most > 0:
            one = self.unwatched.popleft()
            if self.children.get(one.job_id) is one:
                most -= 1 + len(one.parents)
                self._join(one)

    def _join(self, one: Dependent) -> None:
        child = _Child(one.class_id, one.policy, stopped=one.stopped)
        self.children[one.job_id] = child
        for first, count, when in dict.fromkeys(one.parents):
            parents = self._parents.get((first, count)) or self._watch(first, count)
            parents.children.setdefault(when, {})[one.job_id] = child
            child.edges.append((parents, when))
            child.fails += when == "fail"
            child.open += 1
            child.count(when, None, parents.outcome(when))
        if child.is_due:
            self.due[one.job_id] = None

    def _watch(self, first: int, count: int) -> _Parents:
        made = self._parents[first, count] = _Parents(first, count)
        for number in _numbers(made):
            if number not in self._buckets:
                self.made += 1
                self._buckets[number] = _Bucket(self.made)
            bucket = self._buckets[number]
            if count == 1:
                bucket.alone[first] = made
            else:
                bucket.ranges[made] = None
            part = _part(made, number)
            for code in range(6):
                made.counts[code] += bucket.states.count(code, part.start, part.stop)
        if made.counts[_UNKNOWN]:
            self.unread[first, count] = None
        return made

    def forget(self, job: int) -> None:
        """Let a job go: its parents do not matter any more."""
        child = self.children.pop(job, None)
        if not isinstance(child, _Child):
            return
        self.due.pop(job, None)
        for parents, when in child.edges:
            its = parents.children[when]
            its.pop(job, None)
            if not its:
                del parents.children[when]
                if not parents.children:
                    self._unwatch(parents)

    def _unwatch(self, parents: _Parents) -> None:
        del self._parents[parents.first, parents.count]
        self.unread.pop((parents.first, parents.count), None)
        for number in _numbers(parents):
            bucket = self._buckets[number]
            if parents.count == 1:
                del bucket.alone[parents.first]
            else:
                del bucket.ranges[parents]
            if not (bucket.alone or bucket.ranges):
                del self._buckets[number]

    # -- states of jobs -------------------------------------------------------------------------

    def heard(self, job: int, state: JobState) -> None:
        """Note the new state of a job, after its commit."""
        bucket = self._buckets.get(job >> BITS)
        if bucket is not None:
            self._learn(bucket, job, _CODES.get(state, _OPEN))
            if self.due:
                self.called()

    def moved(self, job: int, state: JobState) -> None:
        """Note that a dependent has moved. A person who releases a stopped one lets it run."""
        child = self.children.get(job)
        if child is None:
            return
        if state in FINAL or (state is JobState.WAITING and child.stopped):
            self.forget(job)
        elif state is JobState.WAITING and isinstance(child, _Child):
            self.due[job] = None
            self.called()

    def read(self, ranges: Ranges, states: Sequence[tuple[int, str]], made: int) -> None:
        """Take the states that were read for these ranges of jobs. Heard states are newer.

        `made` is the value of that attribute when the read began.
        """
        known = dict(states)
        for job in (job for first, count in ranges for job in range(first, first + count)):
            bucket = self._buckets.get(job >> BITS)
            if bucket is None or bucket.made > made or bucket.states[job & MASK] != _UNKNOWN:
                continue
            text = known.get(job)
            code = _REMOVED if text is None else _CODES.get(JobState(text), _OPEN)
            self._learn(bucket, job, code)
        if self.due:
            self.called()

    def _learn(self, bucket: _Bucket, job: int, code: int) -> None:
        old, bucket.states[job & MASK] = bucket.states[job & MASK], code
        if old == code:
            return
        if job in bucket.alone:
            self._changed(bucket.alone[job], old, code)
        for parents in bucket.ranges:
            if parents.first <= job < parents.first + parents.count:
                self._changed(parents, old, code)

    def _changed(self, parents: _Parents, old: int, code: int) -> None:
        before = [parents.outcome(when) for when in parents.children]
        parents.counts[old] -= 1
        parents.counts[code] += 1
        for was, (when, children) in zip(before, parents.children.items(), strict=True):
            now = parents.outcome(when)
            if now is was:
                continue
            for job, child in children.items():
                child.count(when, was, now)
                if child.is_due:
                    self.due[job] = None

    def stopped(self, job: int, *, is_stopped: bool) -> None:
        """Note whether the parents of a job stop it, before that move is followed."""
        child = self.children.get(job)
        if isinstance(child, _Child):
            child.stopped = is_stopped

    def set_class(self, job: int, class_id: int) -> None:
        """Note the new class of a job, whose needs have changed."""
        child = self.children.get(job)
        if isinstance(child, Dependent):
            self._join(structs.replace(child, class_id=class_id))
            self.called()
        elif child is not None:
            child.class_id = class_id

    def is_stopped(self, job: int) -> bool:
        """Return whether the parents of a job stop it."""
        child = self.children.get(job)
        return child is not None and child.stopped

    def again(self, jobs: Iterable[int]) -> None:
        """Let these jobs be due again."""
        self.due.update((job, None) for job in jobs if job in self.children)
        self.called()

    def classes(self, jobs: Iterable[int]) -> set[int]:
        """Return the classes of these jobs."""
        return {self.children[job].class_id for job in jobs if job in self.children}

    # -- verdicts -------------------------------------------------------------------------------

    def verdict(self, job: int) -> Verdict | None:
        """Return what the parents of a job mean for it now; None: they are not watched."""
        child = self.children.get(job)
        if not isinstance(child, _Child):
            return None
        if child.is_broken:
            policy = child.policy or ("hold" if child.broken else "skip")
            return Verdict.SKIP if policy == "skip" else Verdict.HOLD
        return Verdict.WAIT if child.open else Verdict.RUN

    def settlement(self, job: int) -> Settlement | None:
        """Return the verdict on a job in the form that the store applies."""
        child, verdict = self.children.get(job), self.verdict(job)
        if verdict is None or not isinstance(child, _Child):
            return None
        edges = child.edges
        stops = verdict in (Verdict.HOLD, Verdict.SKIP)
        return Settlement(
            job_id=job,
            verdict=verdict,
            reason=self._reason(edges) if stops else "",
            # The failed parent of a stopped job may be the one that was removed.
            resumes=not any(parents.counts[_REMOVED] for parents, _ in edges),
        )

    def _reason(self, edges: Sequence[tuple[_Parents, When]]) -> str:
        for parents, when in edges:
            if when == "ok" and parents.outcome(when) is False:
                return f"{self._failed(parents)}, and this job runs only after it ended well"
        fails = [parents for parents, when in edges if when == "fail"]
        if len(fails) == fails[0].count == 1:
            return f"job {fails[0].first} is Done, and this job runs only after its failure"
        return "none of the jobs before it has failed, and this job runs only after a failure"

    def _failed(self, parents: _Parents) -> str:
        """Return the first failed parent and its state in words."""
        for number in _numbers(parents):
            states = self._buckets[number].states
            for at in _part(parents, number):
                if states[at] in _WORDS:
                    return f"job {(number << BITS) + at} is {_WORDS[states[at]]}"
        raise AssertionError("no parent has failed")

    def open_conditions(self, job: int) -> tuple[list[OpenCondition], int]:
        """Return the first conditions that a job still waits for, and the number of all."""
        child = self.children.get(job)
        if child is None:
            return [], 0
        if isinstance(child, Dependent):
            some = [OpenCondition(*one, 0, broken=False) for one in child.parents[:SHOWN_MAX]]
            return some, len(child.parents)
        found: list[OpenCondition] = []
        for parents, when in child.edges:
            outcome = parents.outcome(when)
            is_open = outcome is None or (outcome is False and child.is_broken)
            if is_open and len(found) < SHOWN_MAX:
                ended = parents.count - parents.counts[_UNKNOWN] - parents.counts[_OPEN]
                one = OpenCondition(parents.first, parents.count, when, ended, outcome is False)
                found.append(one)
        return found, child.open + child.broken + (child.missed if child.is_broken else 0)
