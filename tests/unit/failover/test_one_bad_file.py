"""One bad file among few: it is found by the rules, without anybody's action. Pure.

Each story plays the tasks of a step with the functions that judge its tasks in a central.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import pytest

from pilotage.central.failover.rules import RuleVerb, default_rules
from pilotage.central.failover.task_ends import judged
from pilotage.central.transformations.input_moves import consequences
from pilotage.central.transformations.record import EndInput, TaskEnd
from pilotage.central.transformations.scouts import too_many_failed
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.failures import Evidence
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How
from pilotage.proto.transformation_states import InputEvent, InputState, TaskState

RULES = default_rules()
TEMPLATE = Transformation(name="t", job=Job(command=("run",)))
ERRORS_MAX, FAILED_MAX = TEMPLATE.errors_max, TEMPLATE.pause_when_failed
FILES_MAX = 25
HOSTS = (1, 2, 4)


class Story:
    """The end of a group with a bad file."""

    def __init__(self, size: int, bad: int, hosts: int) -> None:
        self.size, self.bad, self.hosts = size, bad, hosts
        self.states = dict.fromkeys(range(size), InputState.ASSIGNED)
        self.errors = dict.fromkeys(range(size), 0)
        self.judged: list[TaskState] = []  # ends that the brake counts
        self.failed = 0
        self.past: list[list[Evidence]] = []  # of the bad file

    def play(self) -> "Story":
        waiting = [tuple(range(self.size))]
        while waiting:
            files = waiting.pop(0)
            if self.bad not in files:
                self.states.update(dict.fromkeys(files, InputState.PROCESSED))
                self.judged.append(TaskState.DONE)
            else:
                waiting += self._fail(files)
        return self

    def _fail(self, files: tuple[int, ...]) -> Sequence[tuple[int, ...]]:
        self.failed += 1
        host = f"n{self.failed % self.hosts}"
        self.past.append([Evidence(how=How.EXITED, exit_code=3, host=host, fingerprint="block")])
        verdict = judged(RULES, self.past, inputs=len(files))
        assert verdict is not None
        made = verdict.find(RuleVerb.PROBLEMATIC, RuleVerb.GIVE_UP)
        event = InputEvent.BAD_DATA
        if made is not None and made.do is RuleVerb.GIVE_UP:
            event = InputEvent.TASK_FAILED_LAST
        close = consequences(
            self._end(files), at=1.0, errors_max=lambda one: ERRORS_MAX,
            bad={} if made is None else dict.fromkeys(files, event),
            is_split=verdict.splits(files), is_retried=made is None,
        )  # fmt: skip
        for move in close.inputs:
            self.states[move.file_id] = move.new
            self.errors[move.file_id] += move.error
        if not close.is_retried:
            self.judged.append(close.state)
        again = tuple(one for one in files if self.states[one] is InputState.UNUSED)
        return verdict.parts(again) if again else []

    def _end(self, files: tuple[int, ...]) -> TaskEnd:
        inputs = tuple(
            EndInput(
                transformation_id=1,
                file_id=one,
                input_no=0,
                errors=self.errors[one],
                has_heir=False,
            )
            for one in files
        )
        return TaskEnd(
            task_id=self.failed, transformation_id=1, number=1, job_id=1, state=JobState.FAILED,
            inputs=inputs,
        )  # fmt: skip


@cache
def played(size: int, bad: int, hosts: int) -> Story:
    return Story(size, bad, hosts).play()


def stories() -> Iterator[tuple[int, Story]]:
    """Yield the number of the other groups, and the group with the bad file."""
    for hosts in HOSTS:
        for size in range(1, FILES_MAX + 1):
            for group in range(1, size + 1):
                for bad in range(size):
                    start = bad - bad % group
                    mine = min(group, size - start)
                    yield -(-size // group) - 1, played(mine, bad - start, hosts)


def test_it_is_problematic_and_no_other_file_is_given_up() -> None:
    for _, story in stories():
        bad = story.states[story.bad]
        others = {state for one, state in story.states.items() if one != story.bad}

        assert bad is InputState.PROBLEMATIC, (story.size, story.bad, story.hosts)
        assert others <= {InputState.PROCESSED}, (story.size, story.bad, story.hosts)


@pytest.mark.parametrize("first", ["the bad one", "the others"])
def test_the_step_is_never_paused_whatever_ends_first(first: str) -> None:
    for others, story in stories():
        good = [TaskState.DONE] * others
        ends = [*story.judged, *good] if first == "the bad one" else [*good, *story.judged]
        for count in range(1, len(ends) + 1):
            assert not too_many_failed(ends[:count], FAILED_MAX), (others, story.size, story.bad)
