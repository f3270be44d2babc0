"""The table of attempts in memory."""

import sys

from pilotage.central.jobs.leases import (
    EPOCH_BITS,
    Lease,
    LeasePhase,
    LeaseTable,
    PendingEnd,
    overdue,
)
from pilotage.proto.messages import Why
from tests.builders import a_lease


def over(table: LeaseTable, now: float) -> list[Lease]:
    return overdue(table.candidates(now), now)


def test_overdue_leases_come_longest_overdue_first() -> None:
    leases = [a_lease(job=job, deadline=deadline) for job, deadline in ((1, 30), (2, 10), (3, 99))]

    assert [lease.job for lease in overdue(leases, now=50.0)] == [2, 1]


def test_a_lease_whose_end_is_being_written_is_not_overdue_again() -> None:
    lease = a_lease(deadline=10.0)
    lease.settling = PendingEnd.RESULT

    assert overdue([lease], now=50.0) == []


def test_a_newer_attempt_of_a_job_replaces_the_older_one() -> None:
    table = LeaseTable()
    old, new = a_lease(epoch=1, pilot="p1", phase=LeasePhase.OPEN), a_lease(epoch=2, pilot="p2")
    table.put(old)
    table.put(new)

    assert table.find(7, 1) is None
    assert table.find(7, 2) is new
    assert table.of_pilot("p1") == []
    assert old.phase is LeasePhase.GONE


def test_a_pilot_has_attempts_that_it_does_not_know_of() -> None:
    table = LeaseTable()
    leases = [a_lease(job=job, epoch=2, pilot="p1") for job in (1, 2, 3)]
    for lease in leases:
        table.put(lease)

    assert table.unknown("p1", _names((1, 2), (2, 2), (3, 2), (9, 1))) == []
    assert table.unknown("p1", _names((1, 2), (2, 1), (3, 2))) == [leases[1]]
    assert table.unknown("p1", frozenset()) == leases
    assert table.unknown("p2", _names((1, 2))) == []


def _names(*attempts: tuple[int, int]) -> set[int]:
    return {job << EPOCH_BITS | epoch for job, epoch in attempts}


def test_what_is_wanted_of_attempts_is_known_until_they_are_gone() -> None:
    table = LeaseTable()
    killed, other = a_lease(job=1, pilot="p1"), a_lease(job=2, pilot="p1", wanted=Why.HOLD)
    table.put(killed)
    table.put(other)
    table.note_wanted(killed)

    assert table.wanted("p1") == [other, killed] and table.wanted("p2") == []
    table.forget(other)
    assert table.wanted("p1") == [killed]
    table.put(a_lease(job=1, epoch=killed.epoch + 1, pilot="p2"))
    assert table.wanted("p1") == []


def test_a_loop_that_slept_moves_every_deadline() -> None:
    table = LeaseTable()
    table.put(a_lease(deadline=100.0))
    table.shift(50.0)

    assert [lease.deadline for lease in table.live()] == [150.0]


def test_leases_are_due_when_their_deadline_has_passed_and_until_somebody_ends_them() -> None:
    table = LeaseTable()
    first, second = a_lease(job=1, deadline=10.0), a_lease(job=2, deadline=20.0)
    table.put(first)
    table.put(second)
    passes = [over(table, now) for now in (9.0, 10.0, 20.0)]
    table.forget(first)
    passes.append(over(table, 21.0))

    assert [[lease.job for lease in one] for one in passes] == [[], [1], [1, 2], [2]]


def test_a_renewed_lease_is_due_by_its_later_deadline() -> None:
    table, lease = LeaseTable(), a_lease(deadline=10.0)
    table.put(lease)
    lease.deadline = 15.0
    passes = [over(table, now) for now in (10.0, 14.0, 15.0)]

    assert passes == [[], [], [lease]]


def test_a_lease_that_was_over_and_is_taken_back_is_due_again() -> None:
    table, lease = LeaseTable(), a_lease(deadline=10.0)
    lease.renewed = 0.0
    table.put(lease)
    found = over(table, 10.0)
    lease.phase = LeasePhase.OPEN
    meanwhile = over(table, 12.0)
    lease.phase, lease.renewed, lease.deadline = LeasePhase.LIVE, 15.0, 25.0
    passes = [over(table, now) for now in (20.0, 24.0, 25.0, 26.0)]

    assert (found, meanwhile) == ([lease], [])
    assert passes == [[], [], [lease], [lease]]


def test_an_attempt_that_is_taken_back_is_due_in_time_also_after_the_central_has_slept() -> None:
    table, lease = LeaseTable(), a_lease(deadline=10.0)
    lease.renewed = 0.0
    table.put(lease)
    table.shift(100.0)
    found = over(table, 110.0)
    lease.phase = LeasePhase.OPEN
    meanwhile = over(table, 112.0)
    lease.phase, lease.renewed, lease.deadline = LeasePhase.LIVE, 113.0, 123.0

    assert (found, meanwhile) == ([lease], [])
    assert over(table, 123.0) == [lease]


def test_only_what_may_be_over_is_looked_at() -> None:
    table = LeaseTable()
    leases = [a_lease(job=job, deadline=10.0 * job) for job in range(1, 100)]
    for lease in leases:
        table.put(lease)
    leases[0].deadline = 500.0  # renewed meanwhile

    assert [[lease.job for lease in table.candidates(now)] for now in (9.0, 25.0, 25.0)] == [
        [],
        [2],
        [2],
    ]


def test_an_attempt_that_has_ended_is_kept_by_nothing() -> None:
    table, lease = LeaseTable(), a_lease(deadline=10.0)
    before = sys.getrefcount(lease)
    table.put(lease)
    table.candidates(12.0)  # it is to be looked at again
    table.forget(lease)

    assert sys.getrefcount(lease) == before
    assert table.candidates(99.0) == []
