"""Which jobs go when: a table."""

import pytest

from pilotage.central.accounts.record_series import DAY_S
from pilotage.central.dispatch.retention import shortest_s, to_prune
from pilotage.central.jobs.blobs.removal import HashFilter
from pilotage.central.jobs.record_types import EndedJob
from pilotage.central.settings import KeptDays, RetentionSettings
from pilotage.proto.job_states import JobState

NOW = 1_000 * DAY_S
SETTINGS = RetentionSettings(
    done_days=10,
    failed_days=0,
    killed_days=2,
    deleted_days=1,
    communities={"lhcb": KeptDays(done_days=0, failed_days=3, killed_days=3, deleted_days=5)},
)

#    community  state   deleted  ended days ago   goes
TABLE = """
     ctao       Done    -        9.9              -
     ctao       Done    -        10.1             goes
     ctao       Failed  -        999              -
     ctao       Killed  -        2.1              goes
     ctao       Done    deleted  1.1              goes
     ctao       Done    deleted  0.9              -
     ctao       Failed  deleted  1.1              goes
     lhcb       Done    -        999              -
     lhcb       Failed  -        3.1              goes
     lhcb       Failed  deleted  3.1              goes
     lhcb       Failed  deleted  2.9              -
     lhcb       Done    deleted  5.1              goes
"""


def job(community: str, state: str, deleted: str, ago: str) -> EndedJob:
    return EndedJob(
        job_id=1,
        class_id=1,
        community=community,
        group="g",
        owner_id=1,
        type="User",
        site="PIC",
        state=JobState(state),
        ended_at=NOW - float(ago) * DAY_S,
        deleted=deleted == "deleted",
    )


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_a_job_goes_when_its_days_are_over(line: str) -> None:
    community, state, deleted, ago, goes = line.split()
    found = to_prune([job(community, state, deleted, ago)], SETTINGS, NOW)

    assert bool(found) == (goes == "goes")


def test_nobody_looks_for_jobs_that_never_go() -> None:
    never = KeptDays(done_days=0, failed_days=0, killed_days=0, deleted_days=0)

    assert shortest_s(SETTINGS) == DAY_S
    assert shortest_s(RetentionSettings(done_days=0, failed_days=0, killed_days=0, deleted_days=0,
                                        communities={"ctao": never})) == 0.0  # fmt: skip


def test_the_filter_of_names_forgets_none_and_lets_few_others_pass() -> None:
    named = HashFilter(size_bytes=1 << 12)
    known = [f"{i:x}".rjust(4, "0") * 16 for i in range(1_000)]
    spread = [f"{(i * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**256:064x}" for i in range(3_000)]
    for one in known + spread[:1_000]:
        named.add(one)

    assert all(one in named for one in known + spread[:1_000])
    assert sum(one in named for one in spread[1_000:]) < 200
