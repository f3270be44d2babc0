"""Which events are due, from the counts of jobs."""

import pytest

from pilotage.central.notifications.standing import Standing, due, of_jobs
from pilotage.proto.api.notifications import NotifyEvent as E

ALL = frozenset(E)

#   total  jobs by state               part  failed  over
STANDINGS = """
    4      Waiting=4                   0.00  -       -
    4      Waiting=2,Done=2            0.50  -       -
    4      Waiting=3,Failed=1          0.25  failed  -
    4      Done=3,Failed=1             1.00  failed  over
    4      Done=2,Held=2               0.50  -       over
    4      Held=4                      0.00  -       -
    4      Waiting=1,Held=2,Killed=1   0.25  -       -
    4      Completing=1,Done=3         0.75  -       -
    4      Done=3                      1.00  -       over
    4      -                           1.00  -       over
"""


@pytest.mark.parametrize("row", STANDINGS.strip().splitlines())
def test_the_standing_of_a_submission_follows_from_its_counts(row: str) -> None:
    total, jobs, part, failed, over = row.split()
    counts = {} if jobs == "-" else dict(one.split("=") for one in jobs.split(","))

    found = of_jobs(int(total), {state: int(number) for state, number in counts.items()})

    assert (found.part, found.failed, found.is_over) == (
        float(part),
        failed == "failed",
        over == "over",
    )
    assert sum(found.counts.values()) == int(total)


#   wanted         part  failed  over   now       left
DUE = """
    end,fail,half  0.2   -       -      -         end,fail,half
    end,fail,half  0.2   failed  -      fail      end,half
    end,fail,half  0.5   failed  -      fail,half end
    end,half       0.9   failed  -      half      end
    end,fail,half  1.0   failed  over   end       -
    fail           1.0   failed  over   fail      -
    fail           1.0   -       over   -         -
    half           1.0   -       over   half      -
    end            0.5   failed  -      -         end
"""


@pytest.mark.parametrize("row", DUE.strip().splitlines())
def test_each_event_is_due_once_and_the_end_is_the_last(row: str) -> None:
    wanted, part, failed, over, now, left = row.split()
    standing = Standing(
        part=float(part), failed=failed == "failed", is_over=over == "over", counts={}
    )

    found, rest = due(events(wanted), standing)

    assert (frozenset(found), rest) == (events(now), events(left))


def events(words: str) -> frozenset[E]:
    return frozenset() if words == "-" else frozenset(map(E, words.split(",")))
