"""The guard dies: what has not been started never will be."""

from pilotage.pilot.mind import commands as c
from pilotage.proto.messages import How

from .test_data_in_mind import READS, Rig


def test_an_attempt_whose_inputs_are_fetched_is_declined_at_once() -> None:
    rig = Rig(READS)

    said = rig.brain.guard_gone(frozenset(), 1.0)

    assert any(isinstance(one, c.Abandon) for one in said)
    report = rig.last(said)
    assert (report.how, report.detail) == (How.DECLINED, "the guard of the pilot has died")
    assert not rig.brain.staged(70, 1.1), "it was already on its way"
