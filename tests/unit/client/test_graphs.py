"""Graphs of jobs: their order, and how their edges are sent."""

from typing import Any

import pytest

from pilotage.central.client.client import AsyncClient
from pilotage.central.client.graphs import AsyncJobGraph, GraphJob
from pilotage.central.client.submissions.submission_bodies import whole_body
from pilotage.proto.api.jobs import Submission, Submitted
from pilotage.proto.documents.job import Dependency, Job


class Client:
    """Keeps the jobs that are submitted."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def submit(self, jobs: list[Job], **named: object) -> None:
        self.jobs = jobs


def job(name: str) -> Job:
    return Job(command=("true",), name=name)


async def sent(graph: AsyncJobGraph, client: Client) -> dict[str, list[tuple[int, int, str]]]:
    await graph.submit()
    return {one.name: [(its.index, its.last, its.when) for its in one.after] for one in client.jobs}


def new_graph() -> tuple[AsyncJobGraph, Client]:
    client: Any = Client()
    return AsyncJobGraph(client), client


async def test_parents_become_places_and_neighbours_a_range() -> None:
    graph, client = new_graph()
    parts = [graph.add(job(f"p{n}")) for n in range(5)]
    graph.add(job("merge"), after=parts)
    some = graph.add(job("some"), after=[parts[0], parts[2], parts[3], parts[0]], when="any")
    graph.link(some, [parts[4]])

    found = await sent(graph, client)
    assert found["merge"] == [(1, 5, "ok")]
    assert found["some"] == [(1, 0, "any"), (3, 4, "any"), (5, 0, "ok")]


async def test_jobs_are_sent_after_their_parents() -> None:
    graph, client = new_graph()
    first = graph.add(job("first"))
    second = graph.add(job("second"))
    graph.link(first, [second])

    assert list((await sent(graph, client)).items()) == [("second", []), ("first", [(1, 0, "ok")])]


async def test_a_circle_is_refused_with_the_names_of_its_jobs() -> None:
    graph, _ = new_graph()
    first = graph.add(job("first"))
    second = graph.add(job(""), after=[first])
    graph.link(first, [second])

    with pytest.raises(
        ValueError, match="these jobs wait for each other: 'first' -> 'number 2' ->"
    ):
        await graph.submit()


def test_a_job_of_another_graph_is_refused() -> None:
    graph, _ = new_graph()
    other = GraphJob(job("other"), 0)

    with pytest.raises(ValueError, match="job 'other' is not of this graph"):
        graph.add(job("child"), after=[other])


def test_handles_become_dependencies() -> None:
    from pilotage.central.client.handles import AsyncJobHandle, AsyncSubmissionHandle

    client: AsyncClient = None  # type: ignore[assignment]
    several = AsyncSubmissionHandle(client, Submitted(submission=7, count=1, ids=[]))
    after: Any = [AsyncJobHandle(client, 12), several, Dependency(job=3, when="any")]
    body = whole_body(Submission(key="k"), [Job(command=("true",), after=after)])

    assert b'"after":[{"job":12},{"submission":7},{"job":3,"when":"any"}]' in body
