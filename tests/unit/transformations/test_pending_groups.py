"""Of many inputs groups are found aside, kept until they have gone, and looked for seldom."""

import threading
from collections.abc import Sequence

import pytest

from pilotage.central.transformations.grouping import Group, GroupingSpec, WaitingInput
from pilotage.central.transformations.groupings import pending_groups
from pilotage.central.transformations.groupings.pending_groups import (
    GroupingCache,
    GroupingRequest,
    Regrouping,
)
from pilotage.central.transformations.groupings.rule_names import BUILT_IN
from pilotage.proto.documents.transformation import Grouping, InputSpec
from tests.fake_central import FakeClock as PlainClock


class FakeClock(PlainClock):
    """Stands until a test says what time it is."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def files(count: int) -> list[WaitingInput]:
    return [WaitingInput(n, 0, f"a:{n}", 1, {"k": n % 3}, (), float(n)) for n in range(count)]


class Rule:
    """Groups in pairs, takes two seconds for it, and says in which thread."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.threads = clock, list[int]()

    def __call__(
        self, files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool
    ) -> list[Group]:
        self.threads.append(threading.get_ident())
        self.clock.now += 2.0
        return [tuple(files[n : n + 2]) for n in range(0, len(files) - 1, 2)]


def asked(
    rule: object, some: list[WaitingInput], held: Sequence[WaitingInput] = (), **grouping: object
) -> GroupingRequest:
    plan = GroupingSpec(Grouping(**grouping), (InputSpec(),))  # type: ignore[arg-type]
    return GroupingRequest(rule, some, plan, frozenset(held), 100.0, False)  # type: ignore[arg-type]


async def test_many_are_grouped_on_a_thread_and_rest_then() -> None:
    clock = FakeClock()
    rule, kept = Rule(clock), GroupingCache()
    few = await Regrouping(clock).look(asked(rule, files(10)), kept)
    assert (rule.threads, kept.not_before) == ([threading.get_ident()], 0.0)
    many = await Regrouping(clock).look(asked(rule, files(pending_groups.ASIDE_FROM)), kept)

    assert (len(few.groups), len(many.groups)) == (5, pending_groups.ASIDE_FROM // 2)
    assert rule.threads[1] != threading.get_ident()
    assert Regrouping(clock).rest_s(kept) == 2.0 * pending_groups.IDLE_SHARE
    kept.groups = many.groups
    assert Regrouping(clock).rest_s(kept) == 0.0  # they go without another look


def test_groups_are_kept_for_the_inputs_in_which_they_were_found() -> None:
    pool, other = dict[int, WaitingInput](), dict[int, WaitingInput]()
    groups = [tuple(files(2))]

    assert GroupingCache(groups, pool).take(other) == []
    kept = GroupingCache(groups, pool)
    assert kept.take(pool) == groups
    assert kept.take(pool) == []


async def test_what_is_held_is_in_no_group_and_the_oldest_that_is_left_is_told() -> None:
    some = files(7)
    found = await Regrouping(FakeClock()).look(
        asked(BUILT_IN["count"], some, some[:1], size=4, partial="after", after_s=1_000.0),
        GroupingCache(),
    )

    assert found.groups == [tuple(some[1:5])]
    assert found.oldest == 5.0


@pytest.mark.parametrize("count", [9_999, 10_000, 10_001])
def test_a_group_by_bytes_has_no_more_files_than_a_job(count: int) -> None:
    plan = GroupingSpec(Grouping(rule="bytes", bytes_max=1_000_000), (InputSpec(),))
    groups = BUILT_IN["bytes"](files(count), plan, partial=False)

    assert [len(one) for one in groups] == ([10_000] if count >= 10_000 else [])
