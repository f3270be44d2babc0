"""Random walks over logs of pilots: the store in memory and one of a driver keep the same."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Final, TypeVar

from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pilotage.central.pilots import record_logs as log_records
from pilotage.central.pilots.record_logs import LogLine, LogSearch, LogSource
from pilotage.central.store import audit as check
from pilotage.central.store.engine import Store
from pilotage.central.store.sqlite import check as file_check
from pilotage.proto.ids import ID_MAX
from tests.memory_store import MemoryStore

from .conftest import Grounds, opened

T = TypeVar("T")

SOURCES = [
    LogSource(pilot=pilot, community=community, site=site, element="e", host=host, batch_id=batch)
    for pilot, community, site, host, batch in (
        ("p1", "ctao", "PIC", "wn1", "1"),
        ("p2", "ctao", "CSCS", "wn1", "1"),
        ("p3", "lhcb", "PIC", "wn2", ""),
    )
]
searches = st.builds(
    LogSearch,
    community=st.sampled_from([None, None, "ctao", "lhcb"]),
    pilot=st.sampled_from(["", "", "p1", "p3"]),
    site=st.sampled_from(["", "", "PIC"]),
    host=st.sampled_from(["", "", "wn1"]),
    batch_id=st.sampled_from(["", "", "1"]),
    job=st.sampled_from([0, 0, 1, 2]),
    since=st.sampled_from([0.0, 0.0, 5.0, 20.0]),
)


class Logs(RuleBasedStateMachine):
    """Two stores side by side, both reopened now and then. Time goes on."""

    def __init__(self, grounds: Grounds) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.ground = self.stack.enter_context(grounds())
        self.runner = asyncio.Runner()
        self.memory = MemoryStore()
        self.real: Store = self.runner.run(opened(self.ground))
        self.at = 1.0

    def teardown(self) -> None:
        self.runner.run(self.real.close())
        self.runner.close()
        if self.ground.path is not None:
            with file_check.reading(self.ground.path) as session:
                assert [text for _, texts in check.differences(session) for text in texts] == []
        self.stack.close()

    def both(self, call: Callable[[Store], Coroutine[None, None, T]]) -> T:
        ours, theirs = self.runner.run(call(self.memory)), self.runner.run(call(self.real))
        assert theirs == ours
        return ours

    @rule(
        which=st.integers(0, 2),
        numbers=st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True).map(sorted),
        jobs=st.lists(st.integers(0, 2), min_size=4, max_size=4),
        bytes_max=st.sampled_from([1, 10**9, 10**9]),  # sizes differ: one keeps all, or the newest
    )
    def keep(self, which: int, numbers: list[int], jobs: list[int], bytes_max: int) -> None:
        self.at += 1.0
        lines = [
            LogLine(n=n, at=self.at, event="ended", text=f"é{n}", warning=n % 2 == 0, job=job)
            for n, job in zip(numbers, jobs, strict=False)
        ]
        self.both(
            lambda store: store.write(
                log_records.keep_pilot_log, SOURCES[which], lines, at=self.at, bytes_max=bytes_max
            )
        )

    @rule(before=st.sampled_from([3.0, 8.0, 99.0]), limit=st.integers(1, 5))
    def prune(self, before: float, limit: int) -> None:
        self.both(lambda store: store.write(log_records.prune_pilot_log, before, limit=limit))

    @rule()
    def reopen(self) -> None:
        self.memory = self.memory.reopened()
        self.runner.run(self.real.close())
        self.real = self.runner.run(opened(self.ground))

    @rule(search=searches, place=st.integers(0, 10), limit=st.integers(1, 4))
    def search(self, search: LogSearch, place: int, limit: int) -> None:
        self.both(lambda store: store.read(log_records.pilot_log, search, after=place, limit=limit))
        self.both(
            lambda store: store.read(log_records.pilot_log_back, search, before=place, limit=limit)
        )

    @invariant()
    def everything_that_can_be_read_is_the_same(self) -> None:
        every = LogSearch()
        found = self.both(
            lambda store: store.read(log_records.pilot_log, every, after=0, limit=1_000)
        )
        back = self.both(
            lambda store: store.read(log_records.pilot_log_back, every, before=ID_MAX, limit=1_000)
        )
        assert back == found[::-1]
        assert self.both(lambda store: store.read(log_records.pilot_log_end)) >= len(found)


WALKS: Final = settings(max_examples=12, stateful_step_count=25, deadline=None)


def test_a_real_store_and_the_one_in_memory_find_and_forget_the_same(grounds: Grounds) -> None:
    class OnThisDriver(Logs):
        def __init__(self) -> None:
            super().__init__(grounds)

    run_state_machine_as_test(OnThisDriver, settings=WALKS)
