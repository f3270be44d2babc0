"""Jobs that require isolation, among pilots of one user of which not all have it."""

from pathlib import Path

import pytest

from pilotage.pilot.outfit import isolation
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState

from .running import running_central


@pytest.mark.long
@pytest.mark.skipif(isolation.best_rung() == isolation.SESSION, reason="no namespaces here")
def test_a_job_that_requires_isolation_runs_on_pilots_that_offer_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTAGE_PILOT__REGISTER", str(tmp_path))  # other tests have pilots, too
    with running_central(tmp_path / "run") as central:
        apart = central.pilot("PIC", cores=1)
        bare = central.pilot("CSCS", cores=1, isolation="session")
        needs = (Need(isolation="namespaces", wall_s=600),)
        jobs = [Job(command=("true",), needs=needs) for _ in range(4)]
        ids = list(central.client.submit(jobs).ids())
        for job in ids:
            assert central.client.job(job).wait(60).state is JobState.DONE
        ran_on = {central.client.detail(job).view.pilot for job in ids}
        offered = {one.id: one.namespaces for one in central.client.pilots()}
        listed = central.type("pilot", "list")

    assert ran_on == {apart.id}
    assert offered == {apart.id: True, bare.id: False}
    assert "session (open)" in listed
