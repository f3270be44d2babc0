"""What is made of the processes of a payload: CPU, memory, idleness, and the lines of its curve."""

import pytest

from pilotage.pilot.guard.limits import PayloadLimits
from pilotage.pilot.guard.processes import TICKS_S, Process, descendants
from pilotage.pilot.guard.sampling import PAGE_MB, UNWEIGHED_S, WEIGHED_MAX, PayloadUsage


def process(
    pid: int,
    *,
    parent: int = 1,
    state: str = "R",
    own_s: float = 0.0,
    children_s: float = 0.0,
    mb: float = 0.0,
    started: int = 7,
) -> Process:
    """Return a process as /proc/PID/stat would say it."""
    words = [b"0"] * 50
    words[0], words[1], words[17] = state.encode(), b"%d" % parent, b"1"
    words[11], words[13] = b"%d" % (own_s * TICKS_S), b"%d" % (children_s * TICKS_S)
    words[19], words[21] = b"%d" % started, b"%d" % round(mb / PAGE_MB)
    return Process(pid, words)


def account(**given: float) -> PayloadUsage:
    return PayloadUsage(PayloadLimits(dict(given)), 0.0)


def test_cpu_is_summed_over_the_living_and_what_they_have_waited_for() -> None:
    mine = account()
    mine.look([process(5, own_s=1.0, children_s=2.0), process(6, own_s=0.5)], set(), 1.0)

    assert mine.use.cpu_s == 3.5


def test_cpu_of_the_dead_counts_whether_or_not_their_parent_waits() -> None:
    waits, ignores = account(), account()
    for mine, handed_on_s in ((waits, 3.0), (ignores, 0.0)):
        mine.look([process(5), process(6, own_s=3.0)], set(), 1.0)
        mine.look([process(5, children_s=handed_on_s)], set(), 2.0)
        mine.look([process(5, children_s=handed_on_s), process(7, own_s=2.0)], set(), 3.0)

    assert waits.use.cpu_s == ignores.use.cpu_s == 5.0


def test_another_process_with_the_same_number_is_another() -> None:
    mine = account()
    mine.look([process(6, own_s=3.0, started=1)], set(), 1.0)
    mine.look([process(6, own_s=2.0, started=2)], set(), 2.0)

    assert mine.use.cpu_s == 5.0


def test_orphans_that_the_guard_has_reaped_count() -> None:
    mine = account()
    mine.reaped(4.0, 0.0)
    mine.look([process(5, own_s=1.0)], set(), 1.0)

    assert mine.use.cpu_s == 5.0


def test_idle_is_who_uses_no_cpu_and_not_who_was_frozen() -> None:
    mine = account()
    mine.look([process(5, own_s=1.0)], set(), 10.0)
    mine.look([process(5, own_s=1.0)], set(), 60.0)
    idle_s = mine.use.idle_s
    mine.moved(500.0)
    mine.look([process(5, own_s=1.0)], set(), 510.0)

    assert (idle_s, mine.use.idle_s) == (50.0, 10.0)


def test_what_only_isolates_a_payload_is_not_counted_but_for_its_cpu() -> None:
    mine = account()
    mine.look([process(5, mb=30, children_s=1.0), process(6, mb=100)], {5}, 1.0)

    assert (mine.use.processes, round(mine.use.memory_mb), mine.use.cpu_s) == (1, 100, 1.0)


def test_several_processes_are_weighed_before_they_are_judged() -> None:
    mine = account(memory_mb=300)
    two = [process(5, mb=200), process(6, mb=200)]
    mine.look(two, set(), 1.0)
    doubtful_mb, asked = mine.use.memory_mb, list(mine.to_weigh)
    mine.weighed(210.0)
    mine.look(two, set(), 2.0)

    assert (doubtful_mb, asked) == (300.0, [5, 6])
    assert mine.use.memory_mb == pytest.approx(210.0)
    assert mine.memory_peak_mb == pytest.approx(210.0)


def test_of_very_many_processes_some_are_weighed_and_stand_for_all() -> None:
    mine = account(memory_mb=1_000_000)
    many = [process(pid, mb=1) for pid in range(1, 2 * WEIGHED_MAX + 1)]
    mine.look(many, set(), 1.0)
    asked = list(mine.to_weigh)
    mine.weighed(WEIGHED_MAX / 4)

    assert asked == list(range(1, WEIGHED_MAX + 1))
    assert mine.use.memory_mb == pytest.approx(WEIGHED_MAX / 2)
    mine.look(many[: len(many) // 2], set(), 2.0)
    assert mine.use.memory_mb == pytest.approx(WEIGHED_MAX / 4, rel=0.01)


def test_what_weighs_too_much_is_said_at_once() -> None:
    mine = account(memory_mb=300)
    mine.look([process(5, mb=200), process(6, mb=200)], set(), 1.0)
    mine.weighed(390.0)

    assert mine.use.memory_mb == 390.0


def test_what_nobody_weighs_for_a_minute_is_what_it_seems_to_be() -> None:
    mine = account(memory_mb=300)
    two = [process(5, mb=200), process(6, mb=200)]
    mine.look(two, set(), 1.0)
    mine.look(two, set(), UNWEIGHED_S)
    in_time_mb = mine.use.memory_mb
    mine.look(two, set(), UNWEIGHED_S + 1.0)

    assert in_time_mb == 300.0
    assert mine.use.memory_mb == pytest.approx(400.0, rel=0.01)


def test_a_child_that_still_has_its_parents_memory_counts_once() -> None:
    mine = account(memory_mb=300)
    mine.look([process(5, mb=200, state="D"), process(6, mb=200, parent=5)], set(), 1.0)

    assert mine.use.memory_mb == pytest.approx(200.0, rel=0.01)
    assert mine.to_weigh == []


@pytest.mark.parametrize(("days", "most"), [(1, 650), (7, 800), (365, 1_120)])
def test_a_curve_never_has_many_lines(days: int, most: int) -> None:
    mine, now, lines = account(), 0.0, 0
    while now < days * 86_400:
        now += max(1.0, now / 2000)
        mine.look([process(5)], set(), now)
        lines += mine.line(now) is not None

    assert 0.8 * most < lines <= most


def test_a_line_has_the_peaks_since_the_line_before() -> None:
    mine = account()
    for now, mb in ((0.5, 10), (0.7, 90), (0.9, 20)):
        mine.look([process(5, mb=mb, own_s=now)], set(), now)
        mine.note_peaks()
    first = mine.line(0.9)
    mine.look([process(5, mb=30, own_s=1.0)], set(), 1.0)
    mine.note_peaks()

    assert first is not None
    assert [round(one, 1) for one in first] == [0.9, 0.9, 90.0, 1]
    assert mine.line(1.5) is None
    last = mine.line(1.5, last=True)
    assert last is not None
    assert round(last[2]) == 30


def test_what_ended_before_the_first_look_has_no_curve() -> None:
    assert account().line(0.05, last=True) is None


def test_who_descends_from_the_top_but_not_through_us_is_foreign() -> None:
    table = {
        one.pid: one
        for one in (
            *(process(1, parent=0), process(2, parent=0), process(10, parent=1)),
            *(process(50, parent=10), process(60, parent=50), process(70, parent=60)),
            process(80, parent=99),  # its parent has just died: nobody knows whose it is
        )
    }

    assert descendants(table, [1, 2], without=50) == {1, 2, 10}


@pytest.mark.parametrize(
    ("age_s", "is_young"), [(-1.0, False), (0.0, True), (0.15, True), (0.25, False), (60.0, False)]
)
def test_a_process_is_young_just_after_its_fork(age_s: float, is_young: bool) -> None:
    """A negative age means that its clock is not ours: it is then judged as an old one."""
    forked = process(5, started=round(100 * TICKS_S))

    assert forked.is_young(100.0 + age_s) is is_young
