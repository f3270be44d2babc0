"""Attempts with data in the mind of a pilot: when they are brought, stored and told."""

import pytest

from pilotage.pilot.mind import commands as c
from pilotage.pilot.mind.brain import Brain
from pilotage.pilot.mind.pace import PilotDeadlines, PilotSession
from pilotage.pilot.mind.reports import ReportOutbox
from pilotage.pilot.ports import Ended
from pilotage.proto.messages import (
    AskAnswer,
    Assignment,
    Body,
    Grant,
    How,
    Offer,
    Report,
    TurnReply,
    Usage,
)
from pilotage.proto.storages import (
    BadCopy,
    DataBody,
    DataFile,
    DataRule,
    Published,
    Removal,
    Removed,
)
from pilotage.proto.wire import decode, encode

STORED = Published(0, "a.h5", "web", "local/7/1/a.h5", 3, "00000001", "0" * 64, '{"run":7}')
BAD = BadCopy("ctao:run1", "pic", "p/1", "its adler32 is …")
READS = DataBody("local/7/1", inputs=(DataFile("ctao:run1", "run1", 3, "00000001", ""),))
SWEEPS = DataBody(removals=(Removal(3, "ctao/3"), Removal(4, "ctao/4")))
WRITES = DataBody("local/7/1", outputs=(DataRule("*.h5"),))


class Rig:
    """A brain that has been given one attempt."""

    def __init__(self, data: DataBody) -> None:
        offer = Offer(2, 2, 4_000, 4_000, 1e6, scratch_free_mb=100_000)
        self.brain = Brain(
            PilotSession("g", 3, 40.0), offer, PilotDeadlines(), lambda low, high: low, now=0.0
        )
        self.brain.tick(0.0)
        body = Body(("true",))
        assignment = Assignment(7, 1, 70, 120.0, "t", Grant(1, 1_000, 600.0), body, data=data)
        answer = AskAnswer(n=1, assignments=(assignment,))
        self.said = self.brain.replied(TurnReply(term=1, ask=answer), 0.1)

    def of(self, kind: type) -> list[c.Command]:
        return [one for one in self.said if isinstance(one, kind)]

    def ends(self, code: int) -> c.Collect:
        """Let the payload end; return what is to be collected."""
        self.brain.started(70, 0.2)
        self.said = self.brain.gone(Ended(70, code, None, 0.0, Usage(wall_s=1.0)), 1.0)
        (collect,) = self.of(c.Collect)
        assert isinstance(collect, c.Collect)
        return collect

    def last(self, said: list[c.Command]) -> Report:
        (kept,) = (one for one in said if isinstance(one, c.KeepEnded))
        return kept.report


def test_data_are_brought_before_the_start() -> None:
    rig = Rig(READS)
    assert rig.of(c.Stage) and not rig.of(c.StartPayload)

    rig.said = rig.brain.staged(70, 0.2)
    assert rig.of(c.StartPayload)


def test_without_input_nothing_is_waited_for() -> None:
    rig = Rig(WRITES)

    assert rig.of(c.StartPayload) and not rig.of(c.Stage)


@pytest.mark.parametrize(("code", "data"), [(0, True), (3, False)])
def test_only_a_good_payload_has_data_to_store(code: int, data: bool) -> None:
    assert Rig(WRITES).ends(code).data is data

    reads = Rig(READS)
    reads.brain.staged(70, 0.2)
    assert reads.ends(code).data is False


def test_what_is_stored_is_told_with_the_end_and_survives_a_restart() -> None:
    rig = Rig(WRITES)
    rig.ends(0)
    report = rig.last(rig.brain.collected(70, (), 1.5, published=(STORED,), bytes_out=3))

    assert (report.how, report.published) == (How.EXITED, (STORED,))
    assert decode(Report, encode(report)) == report

    reports = ReportOutbox()
    reports.put(decode(Report, encode(report)), at=1.5, due=1.5)
    assert [one.published for one in reports.due(2.0, 9)] == [(STORED,)]
    assert reports.simplify(70) is not None
    assert [(one.how, one.published) for one in reports.due(2.0, 9)] == [
        (How.UNREADABLE_REPORT, ())
    ]


def test_what_was_removed_is_told_with_a_good_end_alone() -> None:
    removed = (Removed(3), Removed(4, "no right"))
    good, bad = Rig(SWEEPS), Rig(SWEEPS)
    assert good.ends(0).data and not bad.ends(3).data
    told = good.last(good.brain.collected(70, (), 1.5, removed=removed))
    failed = bad.last(bad.brain.collected(70, (), 1.5, removed=removed, failure="no"))

    assert (told.how, told.removed, failed.removed) == (How.EXITED, removed, ())
    assert decode(Report, encode(told)) == told


@pytest.mark.parametrize("how", [How.STORAGE, How.OUTPUT])
def test_what_could_not_be_stored_is_no_result(how: How) -> None:
    rig = Rig(WRITES)
    rig.ends(0)
    said = rig.brain.collected(
        70, (), 1.5, failure="a.h5: web: full", failed_as=how, published=(STORED,)
    )

    report = rig.last(said)
    assert (report.how, report.detail, report.published) == (how, "a.h5: web: full", ())


def test_a_bad_copy_is_told_with_the_end_whatever_that_is() -> None:
    good, bad = Rig(READS), Rig(READS)
    for rig in (good, bad):
        rig.brain.found_bad(70, (BAD,))
    good.brain.staged(70, 0.2)
    good.ends(0)
    told = good.last(good.brain.collected(70, (), 1.5))
    failed = bad.last(bad.brain.staging_failed(70, "all are bad", 0.3, How.NO_START))

    assert (told.how, told.bad_copies) == (How.EXITED, (BAD,))
    assert (failed.how, failed.bad_copies) == (How.NO_START, (BAD,))
