"""When a production will be complete: against campaigns of which the end is known."""

import heapq
import itertools
import random

import pytest
from hypothesis import given, strategies as st

from pilotage.central.productions.eta import SAMPLES_MAX, Estimate, ProgressPoint, estimate, kept

TASK_S = 650.0


def campaign(
    seed: int, *, tasks: int = 1_000, cores: int = 40
) -> tuple[list[ProgressPoint], float]:
    """Return how far a steady campaign with noise was, each minute, and when it ended."""
    rng = random.Random(seed)
    running = [rng.uniform(0, 120) for _ in range(cores)]  # pilots come one after the other
    heapq.heapify(running)
    ends: list[float] = []
    for _ in range(tasks):
        start = heapq.heappop(running)
        end = start + 600.0 * rng.lognormvariate(0.0, 0.4)
        heapq.heappush(running, end)
        ends.append(end)
    ends.sort()
    over = ends[-1]
    done, samples = 0, [ProgressPoint(0.0, 0.0)]
    for minute in range(1, int(over // 60) + 1):
        while done < tasks and ends[done] <= minute * 60:
            done += 1
        samples = kept(samples, ProgressPoint(minute * 60.0, done / tasks))
    return samples, over


def seen(samples: list[ProgressPoint], now: float) -> Estimate | None:
    return estimate([one for one in samples if one.at <= now], now, task_s=TASK_S)


@pytest.mark.parametrize("seed", range(8))
def test_in_its_second_half_the_end_of_a_steady_campaign_is_known(seed: int) -> None:
    samples, over = campaign(seed)
    found: list[tuple[float, Estimate]] = []
    for part in range(50, 91, 2):
        now = over * part / 100
        guess = seen(samples, now)
        assert guess is not None
        found.append((now, guess))

    for now, guess in found:
        # How long the very last task runs nobody can know: half a task is within all bounds.
        assert abs(guess.at - over) <= 0.3 * (over - now) + TASK_S / 2, (seed, now / over)
        assert guess.low <= guess.at <= guess.high
    held = sum(guess.low <= over <= guess.high for _, guess in found)
    assert held >= 0.7 * len(found), (seed, held, len(found))


def test_more_work_moves_the_end_and_does_not_spoil_the_speed() -> None:
    steady = [ProgressPoint(60.0 * n, n / 200) for n in range(101)]
    before = estimate(steady, 6_000.0)
    after = estimate([*steady, ProgressPoint(6_060.0, 0.25)], 6_060.0)

    assert before is not None and before.at == pytest.approx(12_000.0, rel=0.02)
    assert after is not None and after.at == pytest.approx(24_000.0, rel=0.05)


def test_of_what_has_not_begun_stands_or_is_over_nothing_is_said() -> None:
    steady = [ProgressPoint(60.0 * n, n / 100) for n in range(51)]

    assert estimate([], 0.0) is None
    assert estimate([ProgressPoint(60.0 * n, 0.0) for n in range(50)], 3_000.0) is None
    assert estimate(steady[:3], 180.0) is None
    assert estimate(steady, 3_000.0) is not None
    assert estimate(steady, 3_600.0) is None, "for ten minutes nothing has moved"
    assert estimate([*steady, ProgressPoint(3_060.0, 1.0)], 3_060.0) is None


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 1)), max_size=60, unique_by=lambda one: one[0]
    ),
    st.floats(0, 1e5),
)
def test_whatever_was_seen_the_likely_end_lies_ahead_and_within_its_interval(
    pairs: list[tuple[float, float]], later: float
) -> None:
    samples = [ProgressPoint(at, progress) for at, progress in sorted(pairs)]
    now = (samples[-1].at if samples else 0.0) + later
    found = estimate(samples, now)

    assert found is None or now <= found.low <= found.at <= found.high


def test_speed_that_is_only_rounding_gives_no_end() -> None:
    # Work was added at the end, so that progress seems to stand still in the time before.
    seen_at = [
        (1800001004.2742171, 0.0),
        (1800001006.2856095, 0.0),
        (1800001016.1406877, 0.25),
        (1800001018.1104722, 0.5),
        (1800001159.1914134, 0.75),
        (1800001173.9670212, 0.5),
        (1800001321.0376682, 0.49915060553932405),
    ]
    samples = [ProgressPoint(at, progress) for at, progress in seen_at]

    assert estimate(samples, 1800001326.2699738, task_s=95.5) is None


def test_many_samples_are_thinned_and_the_newest_stay() -> None:
    samples: list[ProgressPoint] = []
    for n in range(5 * SAMPLES_MAX):
        samples = kept(samples, ProgressPoint(float(n), 0.0))

        assert len(samples) <= SAMPLES_MAX
        assert (samples[0].at, samples[-1].at) == (0.0, float(n))
        gaps = [after.at - before.at for before, after in itertools.pairwise(samples)]
        assert all(gap >= 1.0 for gap in gaps), "in the order of their time, each once"
        assert set(gaps[len(gaps) // 2 :]) <= {1.0}, "of the later half none has gone"
    assert len(samples) > SAMPLES_MAX // 2, "no more go than have to"
