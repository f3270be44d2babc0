"""What a report of a production quotes of jobs that failed, on fakes."""

import asyncio
from collections import Counter

import msgspec

from pilotage.proto.claims import Role
from pilotage.proto.messages import Assignment
from pilotage.proto.transformation_states import TaskState as T
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .test_productions import chain, submitted, tale, until


def test_a_report_quotes_of_each_cause_what_an_example_wrote_last_to_who_may_read_it() -> None:
    """The newest example that still tells of it: what did well since has other words."""
    tried: Counter[str] = Counter()

    def script(assignment: Assignment) -> Script:
        what = assignment.body.command[0]
        tried[what] += 1
        if what == "merge":
            return Script(duration_s=5.0, exit_code=127, stderr=b"merge: no such program\n")
        if what == "pair" and tried[what] == 1:
            return Script(duration_s=5.0, exit_code=2, stderr=b"reading\nno such run:\t17\n\n")
        return Script(duration_s=5.0, stderr=b"all is well\n")

    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=chain())
        await until(world, lambda view: view.steps[2].tasks.get(T.FAILED, 0) > 0)
        await asyncio.sleep(30.0)  # they are counted now and then
        service = world.central.services.productions
        report = await service.report(world.user(), "chain")

        make, pair, merge = report.steps
        assert make.failures == []
        assert [(one.failure.value, one.stderr) for one in pair.failures] == [
            ("payload", "no such run: 17")
        ]
        (failed,) = merge.failures
        assert (failed.failure.value, failed.stderr) == ("config", "merge: no such program")
        assert failed.examples[0] == max(failed.examples)

        reader = msgspec.structs.replace(world.user(), role=Role.READER)
        told = await service.report(reader, "chain")
        assert [one.examples for one in told.steps[2].failures] == [failed.examples]
        assert {one.stderr for step in told.steps for one in step.failures} == {""}

    tale(tell, script=script)
