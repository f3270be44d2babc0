"""Jobs that wait for other jobs, against a real central and a real pilot."""

import io
import sys
from pathlib import Path

import pytest

from pilotage.central.client.errors import Refused
from pilotage.proto.api.jobs import JobFilter
from pilotage.proto.documents.job import Dependency, Job
from pilotage.proto.job_states import JobState

from ..faces.conftest import Site
from ..faces.test_command_line import Shell

ENDS_S = 30.0


@pytest.fixture
def shell(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("PILOTAGE_DATA", str(site.data))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return Shell()


def test_a_chain_stops_at_a_failure_and_goes_on_after_a_reschedule(
    shell: Shell, site: Site
) -> None:
    client = site.client
    second_try = ("sh", "-c", "[ $PILOTAGE_EPOCH -gt 1 ]")
    first = client.submit(Job(command=second_try)).handles()[0]
    after = Job(command=("true",), after=[first])  # type: ignore[arg-type]
    held = client.submit(after).handles()[0]
    shell.type("submit", "--after", f"{first.id}:fail", "--after-failed", "skip", "--", "true")
    last = shell.type("submit", "--after", str(held.id), "--", "true").split()[-1]

    assert first.wait(ENDS_S).state is JobState.FAILED
    with pytest.raises(Exception, match=f"job {first.id} is Failed"):
        held.wait(ENDS_S)
    assert f"it waits for job {held.id} to end well" in shell.type("explain", last)
    assert f"{held.id}:ok" in shell.type("show", last)

    first.reschedule()
    assert shell.type("wait", "--timeout", "30s", str(held.id), last) == "2 Done\n"


def test_a_graph_runs_in_its_order_and_a_circle_is_refused(site: Site) -> None:
    client = site.client
    graph = client.graph()
    parts = [graph.add(Job(command=("true",), name=f"part-{n}")) for n in range(3)]
    merge = graph.add(Job(command=("true",), name="merge"), after=parts)
    graph.add(Job(command=("true",), name="clean"), after=[merge], when="fail")
    graph.link(parts[0], [parts[2]])  # which was added later
    handle = graph.submit()
    states = handle.wait(ENDS_S)

    assert states == {JobState.DONE: 4, JobState.KILLED: 1}
    began = {view.name: view for view in handle.views()}
    assert began["part-2"].ended_at <= began["part-0"].started_at
    assert max(began[f"part-{n}"].ended_at for n in range(3)) <= began["merge"].started_at

    graph.link(parts[2], [merge])
    with pytest.raises(ValueError, match="wait for each other: 'part-0' -> 'merge' -> 'part-2'"):
        graph.submit()


def test_an_array_waits_job_by_job(shell: Shell, site: Site) -> None:
    command = ("sh", "-c", "test {index} = 2")
    first = shell.type("submit", "--array", "1-3", "--", *command)
    number = first.split()[1].rstrip(":")
    words = ("--after-each", f"submission:{number}", "--after-failed", "skip", "--wait")
    shell.type("submit", "--array", "1-3", *words, "--", "true", code=1)
    job = Job(command=("true",), after=(Dependency(submission=int(number), each=True),))

    views = site.client.search(JobFilter(submission=int(number) + 1))
    states = [view.state for view in views]
    assert states == [JobState.KILLED, JobState.DONE, JobState.KILLED]
    with pytest.raises(Refused, match=f"submission {number} has 3 jobs, and this one has 1"):
        site.client.submit(job)


REFUSED = {
    "job=99999": (Dependency(job=99_999), "jobs[1].after[0].job: there is no job 99999"),
    "submission": (Dependency(submission=99_999), "there is no submission 99999"),
    "itself": (Dependency(index=2), "jobs[1].after[0].index: found 2, expected the place of an"),
    "nothing": (Dependency(), "jobs[1].after[0]: found none of them, expected one of job,"),
    "each": (Dependency(job=1, each=True), "jobs[1].after[0].each: it needs a submission"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_parents_are_refused_by_name(site: Site, case: str) -> None:
    after, why = REFUSED[case]
    jobs = [Job(command=("true",)), Job(command=("true",), after=(after,))]

    with pytest.raises(Refused) as caught:
        site.client.submit(jobs)
    assert why in str(caught.value)
