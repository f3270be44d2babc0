"""How many jobs stand where."""

from pilotage.central.accounts.counters import Counters
from pilotage.central.identity.scope import CountKey
from pilotage.proto.job_states import JobState as S

MC, DL1 = CountKey("ctao", "mc", "ada", "User"), CountKey("ctao", "dl1", "bob", "User")


def kinds(counters: Counters) -> set[CountKey]:
    return set(counters._counts)


def test_jobs_are_counted_where_they_are_and_a_kind_goes_with_its_last_job() -> None:
    counters = Counters()
    counters.add(MC, "", S.WAITING, 2)
    counters.add(DL1, "", S.WAITING)
    counters.move(MC, ("", S.WAITING), ("PIC", S.RUNNING))
    assert sorted(counters.rows()) == [
        (DL1, "", S.WAITING, 1),
        (MC, "", S.WAITING, 1),
        (MC, "PIC", S.RUNNING, 1),
    ]

    counters.add(MC, "PIC", S.RUNNING, -1)
    assert kinds(counters) == {MC, DL1}
    counters.add(MC, "", S.WAITING, -1)
    assert kinds(counters) == {DL1}


def test_what_comes_into_view_only_after_it_has_moved_leaves_nothing_either() -> None:
    counters = Counters()
    counters.move(MC, ("", S.WAITING), ("PIC", S.DONE))  # of another process: seen later
    counters.add(MC, "PIC", S.DONE, -1)
    assert list(counters.rows()) == [(MC, "", S.WAITING, -1)]
    counters.add(MC, "", S.WAITING)
    assert kinds(counters) == set()

    counters.add(DL1, "", S.KILLED, -1)
    counters.add(DL1, "", S.WAITING)
    counters.move(DL1, ("", S.WAITING), ("", S.KILLED))
    assert kinds(counters) == set()
    counters.add(DL1, "", S.WAITING, 0)
    assert kinds(counters) == set()
