"""What reports and silence mean for a job: stories that can be checked without Python."""

import dataclasses

import msgspec
import pytest

from pilotage.central.jobs import verdicts
from pilotage.central.jobs.leases import LeasePhase
from pilotage.central.received_messages import hear
from pilotage.matcher.types import Grant
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import CHECKPOINT_FILE, How, Output, Report, Usage, Why
from tests.builders import a_lease, an_ended

LIMITS = verdicts.Losses(lost_max=5, matched_max=100)

# An attempt whose lease is over:
#  started  wanted      losses before   →  state    closed  counts as lost
SILENCE = """
   yes      -           0                  Waiting  no      yes
   no       -           0                  Waiting  no      no
   yes      -           4                  Held     yes     yes
   no       -           4                  Waiting  no      no
   yes      kill        0                  Killed   yes     no
   no       kill        0                  Killed   yes     no
   yes      hold        0                  Held     yes     no
   yes      reschedule  4                  Waiting  yes     no
"""


@pytest.mark.parametrize("line", SILENCE.strip().splitlines())
def test_the_end_of_a_lease_moves_the_job_as_the_table_says(line: str) -> None:
    started, wanted, losses, state, closed, lost = line.split()
    lease = a_lease(
        started=started == "yes",
        wanted=None if wanted == "-" else Why(wanted),
        losses=int(losses),
    )

    change = verdicts.lease_over(lease, at=1.0, silent_s=121.0, limits=LIMITS)

    assert change.new is JobState(state)
    assert change.close is (closed == "yes")
    assert change.lost is (lost == "yes")
    assert change.wanted is lease.wanted


# A warned payload ended by itself:
#  left a checkpoint  epoch  →  a stretch that costs no retry
STRETCHES = """
   yes                1         yes
   yes                99        yes
   yes                100       no
   no                 1         no
"""


@pytest.mark.parametrize("line", STRETCHES.strip().splitlines())
def test_a_warned_end_costs_no_retry_where_it_left_a_checkpoint_and_so_often(line: str) -> None:
    came, epoch, free = line.split()
    outputs = (Output(CHECKPOINT_FILE, "ab" * 32, 10_240),) if came == "yes" else ()
    report = dataclasses.replace(an_ended(how=How.CHECKPOINTED, exit_code=3), outputs=outputs)

    assert verdicts.goes_on(a_lease(epoch=int(epoch)), report, LIMITS) is (free == "yes")


def test_the_end_of_a_stretch_puts_the_job_back_without_a_loss_or_a_failure() -> None:
    report = an_ended(how=How.CHECKPOINTED, exit_code=3, detail="was warned")
    lease = a_lease(losses=4)
    change = verdicts.without_result(lease, report, at=1.0, limits=LIMITS)

    assert (change.new, change.lost, change.close) == (JobState.WAITING, False, True)
    assert change.reason == "was warned"


def test_a_job_whose_outputs_no_storage_takes_is_held_even_if_its_start_was_not_reported() -> None:
    ended = an_ended(how=How.STORAGE, exit_code=0, detail="disk: no space is left")
    found = [
        verdicts.without_result(a_lease(started=False, losses=losses), ended, at=1.0, limits=LIMITS)
        for losses in (0, LIMITS.lost_max - 1)
    ]

    assert [(one.new, one.lost) for one in found] == [
        (JobState.WAITING, True),
        (JobState.HELD, True),
    ]


def test_a_job_that_no_pilot_lives_to_start_is_held_in_the_end() -> None:
    lost = [
        verdicts.lease_over(a_lease(epoch=epoch), at=1.0, silent_s=121.0, limits=LIMITS)
        for epoch in (99, 100)
    ]

    assert [change.new for change in lost] == [JobState.WAITING, JobState.HELD]
    assert (
        lost[1].reason == "lost_too_often: matched 100 times; the last end: no heartbeat for 121 s"
    )


# What a pilot says of an attempt that had not started:
#  how        matched  →  state    and when it had started, but was never lost before
UNSTARTED = """
   lost       99          Waiting  Waiting
   lost       100         Held     Held
   input      100         Held     Held
   storage    100         Held     Held
   drained    100         Waiting  Waiting
   declined   100         Waiting  Waiting
   killed     100         Waiting  Waiting
"""


@pytest.mark.parametrize("line", UNSTARTED.strip().splitlines())
def test_a_job_that_ends_its_pilots_is_held_in_the_end_and_no_other(line: str) -> None:
    how, epoch, *states = line.split()
    ended = an_ended(how=How(how), exit_code=None)
    found = [
        verdicts.without_result(
            a_lease(epoch=int(epoch), started=started), ended, at=1.0, limits=LIMITS
        )
        for started in (False, True)
    ]

    assert [change.new.value for change in found] == states
    assert all(change.close for change in found)


# A report `ended` that brings a result:
#  how        code  retries  failures  wanted      phase  →  state
RESULTS = """
   exited     0     0        0         -           live      Done
   exited     3     0        0         -           live      Failed
   exited     3     2        0         -           live      Waiting
   exited     3     2        2         -           live      Failed
   signalled  -     0        0         -           live      Failed
   wall       -     1        0         -           live      Waiting
   output     0     0        0         -           live      Failed
   no_start   -     0        0         -           live      Failed
   exited     0     0        0         hold        live      Done
   exited     0     0        0         reschedule  live      Done
   exited     1     1        0         hold        live      Held
   exited     1     1        0         reschedule  live      Waiting
   exited     0     0        0         -           open      Done
   exited     1     0        0         -           open      Failed
   exited     1     1        0         -           open      Waiting
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_a_result_moves_the_job_as_the_table_says(line: str) -> None:
    how, code, retries, failures, wanted, phase, state = line.split()
    lease = a_lease(
        retries=int(retries),
        failures=int(failures),
        wanted=None if wanted == "-" else Why(wanted),
        phase=LeasePhase(phase),
    )
    report = an_ended(how=How(how), exit_code=None if code == "-" else int(code))

    change = verdicts.result(lease, report, at=1.0)

    assert change.new is JobState(state)
    assert change.failed is (state != "Done")


@pytest.mark.parametrize(
    ("how", "code", "state"),
    [
        (How.EXITED, 75, JobState.WAITING),
        (How.EXITED, 3, JobState.FAILED),
        (How.SIGNALLED, None, JobState.FAILED),
        (How.WALL, None, JobState.FAILED),
    ],
)
def test_a_job_with_retry_codes_is_retried_after_these_alone(
    how: How, code: int | None, state: JobState
) -> None:
    lease = a_lease(retries=1)
    lease.retry_codes = (75, 76)

    assert verdicts.result(lease, an_ended(how=how, exit_code=code), at=1.0).new is state


# A report `ended` without a result costs no retry:
#  how       started  losses  wanted  →  state    lost
WITHOUT = """
   declined  no       0       -          Waiting  no
   lost      yes      0       -          Waiting  yes
   lost      yes      4       -          Held     yes
   drained   yes      4       -          Waiting  no
   killed    yes      0       kill       Killed   no
   killed    no       0       kill       Killed   no
   killed    yes      0       hold       Held     no
   killed    yes      0       reschedule Waiting  no
   input     no       0       -          Waiting  yes
   input     no       4       -          Held     yes
   input     no       4       kill       Killed   no
   lost      no       4       -          Waiting  no
   stale     yes      0       -          Waiting  yes
"""


@pytest.mark.parametrize("line", WITHOUT.strip().splitlines())
def test_an_end_without_result_closes_the_attempt(line: str) -> None:
    how, started, losses, wanted, state, lost = line.split()
    lease = a_lease(
        started=started == "yes",
        losses=int(losses),
        wanted=None if wanted == "-" else Why(wanted),
    )

    change = verdicts.without_result(lease, an_ended(how=How(how)), at=1.0, limits=LIMITS)

    assert change.new is JobState(state)
    assert change.lost is (lost == "yes")
    assert change.close


#  how       detail       wanted_reason  →  reason
REASONS = """
   killed    signal_15    not_needed        not_needed
   killed    signal_15    -
   lost      gone         not_needed        not_needed
   lost      gone         -                 gone
"""


@pytest.mark.parametrize("line", REASONS.strip().splitlines())
def test_why_a_person_wanted_the_end_is_the_reason_of_the_job(line: str) -> None:
    how, detail, wanted_reason, *reason = line.split()
    lease = a_lease(wanted=Why.KILL)
    lease.wanted_reason = wanted_reason.strip("-")
    report = an_ended(how=How(how), detail=detail)

    change = verdicts.without_result(lease, report, at=1.0, limits=LIMITS)

    assert [change.reason] == (reason or [""])
    silent = verdicts.lease_over(lease, at=1.0, silent_s=121.0, limits=LIMITS)
    assert silent.reason == (lease.wanted_reason or "no heartbeat for 121 s")


def test_a_payload_that_ran_too_long_is_told_its_limit() -> None:
    change = verdicts.result(a_lease(), an_ended(how=How.WALL, detail="wall"), at=1.0)

    assert change.reason == "wall: ran longer than its wall_s of 600 s"


# What an attempt of 4 cores with a wall time of 100 s has used at second 1 000:
#  started  at    reported wall  frozen  →  core seconds
USED = """
   no       -     -              -          0
   yes      970   -              -          120
   yes      800   -              -          400
   yes      -     -              -          unknown
   yes      970   25             0          100
   yes      970   25             10         140
   no       -     25             0          100
"""


@pytest.mark.parametrize("line", USED.strip().splitlines())
def test_an_attempt_has_used_its_cores_for_as_long_as_it_held_them(line: str) -> None:
    started, at, wall_s, frozen_s, core_s = line.split()
    lease = a_lease(started=started == "yes", grant=Grant(4, 1_000, 0, 100.0))
    lease.started_at = None if at == "-" else float(at)
    usage = None if wall_s == "-" else Usage(wall_s=float(wall_s), frozen_s=float(frozen_s))

    used = verdicts.used_core_s(lease, usage, 1_000.0)

    assert used == (None if core_s == "unknown" else float(core_s))


# lived_s  ago_s  wall_s  frozen_s  cpu_s → ago_s  wall_s  frozen_s  cpu_s
BELIEVED = """
  100       5     90        0          80  → 5    90       0        80
  100       5     70       30         100  → 5    70      30       100
  100       0    104        0           0  → 0   104       0         0
  100     999      0        0           0  → 100   0       0         0
  100       0    3e8      3e8        1e13  → 0   104       0    106496
  100       0     50      3e8           0  → 0    50      54         0
    0     3e8    3e8        0           0  → 0     2       0         0
"""


@pytest.mark.parametrize("line", BELIEVED.strip().splitlines())
@pytest.mark.parametrize("heard", [False, True], ids=["as sent", "as heard"])
def test_nothing_of_an_attempt_is_older_or_longer_than_the_attempt(line: str, heard: bool) -> None:
    said, kept = (list(map(float, half.split())) for half in line.split("→"))
    lived_s, ago_s, wall_s, frozen_s, cpu_s = said
    usage = Usage(wall_s=wall_s, frozen_s=frozen_s, cpu_s=cpu_s, bytes_in=3)
    report = dataclasses.replace(an_ended(), usage=usage, ago_s=ago_s)
    if heard:
        report = hear(msgspec.json.encode(report), Report)
    believed = verdicts.believed(report, lived_s=lived_s, cores=1)

    got = believed.usage
    assert got is not None and got.bytes_in == 3
    assert [believed.ago_s, got.wall_s, got.frozen_s, got.cpu_s] == kept
    assert (believed is report) is (said[1:] == kept)


def test_no_pilot_has_moved_more_bytes_than_a_wire_carries() -> None:
    usage = Usage(wall_s=1.0, bytes_in=2**53, bytes_out=10**9)
    believed = verdicts.believed(
        dataclasses.replace(an_ended(), usage=usage), lived_s=100.0, cores=1
    )

    assert believed.usage is not None
    assert believed.usage.bytes_in == 104 * verdicts.BYTES_A_SECOND_MAX
    assert believed.usage.bytes_out == 10**9
