"""Users test their own programs against a central and a pilot."""

import time

from pilotage.proto.api.jobs import JobFilter
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.testing import local_site

from ..running import processes_of


def test_a_test_gets_a_central_with_slots_and_leaves_nothing() -> None:
    began = time.monotonic()
    with local_site(slots=3) as site:
        started_s = time.monotonic() - began
        nap = Job(command=("sleep", "0.3"))
        assert site.client.submit([nap] * 3).wait(60) == {JobState.DONE: 3}
        assert {one.site for one in site.client.search(JobFilter())} == {"local"}
    print(f"started in {started_s:.2f} s")

    assert not site.data.exists()
    assert not processes_of(site.data)
