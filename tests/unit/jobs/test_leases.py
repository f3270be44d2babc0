"""The table of attempts in memory."""

from pilotage.central.jobs.leases import LeaseTable, Phase, Settling, overdue
from tests.builders import a_lease


def test_overdue_leases_come_longest_overdue_first() -> None:
    leases = [a_lease(job=job, deadline=deadline) for job, deadline in ((1, 30), (2, 10), (3, 99))]

    assert [lease.job for lease in overdue(leases, now=50.0)] == [2, 1]


def test_a_lease_whose_end_is_being_written_is_not_overdue_again() -> None:
    lease = a_lease(deadline=10.0)
    lease.settling = Settling.RESULT

    assert overdue([lease], now=50.0) == []


def test_a_newer_attempt_of_a_job_replaces_the_older_one() -> None:
    table = LeaseTable()
    old, new = a_lease(epoch=1, pilot="p1", phase=Phase.OPEN), a_lease(epoch=2, pilot="p2")
    table.put(old)
    table.put(new)

    assert table.find(7, 1) is None
    assert table.find(7, 2) is new
    assert table.of_pilot("p1") == []
    assert old.phase is Phase.GONE


def test_a_loop_that_slept_moves_every_deadline() -> None:
    table = LeaseTable()
    table.put(a_lease(deadline=100.0))
    table.shift(50.0)

    assert [lease.deadline for lease in table.live()] == [150.0]
