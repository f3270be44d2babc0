"""What is Kubernetes' own, against an emulated API server."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import pytest_asyncio

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.drivers import Tools, element
from pilotage.central.factory.element import ComputeElement, PilotRequest, SlotState
from pilotage.central.factory.errors import (
    BadOptions,
    Denied,
    ElementOperation,
    ElementTrouble,
    ElementUnreachable,
)
from pilotage.central.operate.clocks import SystemClock
from tests.services.kubernetes import Kubernetes

from .rig import Token
from .rigs.kubernetes import page_role, started

pytestmark = pytest.mark.asyncio(loop_scope="package")
LONG = b"#!/bin/sh\necho begun\nsleep 300\n"
LONG_SAYS = b"begun\n"
PATIENCE_S = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kubernetes]:
    async with started(tmp_path_factory.mktemp("kubernetes")) as found:
        yield found


class Make(Protocol):
    """Makes a driver for the cluster."""

    def __call__(
        self,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        token: str | None = None,
        **options: Any,
    ) -> ComputeElement: ...


@pytest.fixture
def driver(cluster: Kubernetes, commands: Commands, tmp_path: Path) -> Make:
    def make(
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        token: str | None = None,
        **options: Any,
    ) -> ComputeElement:
        source = Token(cluster.token if token is None else token)
        tools = Tools(commands, SystemClock(), tmp_path, source, transport)
        return element("kubernetes", {**cluster.options, **options}, tools)

    return make


def kept(cluster: Kubernetes, stamp: str) -> dict[str, int]:
    """Return how many objects of each kind a pilot has there."""
    return {
        kind: sum(
            one["metadata"]["labels"]["pilotage/stamp"] == stamp for one in cluster.of_kind(kind)
        )
        for kind in ("jobs", "secrets", "pods")
    }


async def until(wanted: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not wanted():
        assert time.monotonic() < end, "it does not come about"
        await asyncio.sleep(0.02)


async def test_lists_are_read_to_their_end_also_when_they_run_out(
    cluster: Kubernetes, driver: Make, stamp: str
) -> None:
    kubernetes = driver(queue="nobody-lets-them-go")
    stamps = [f"{stamp}-{n}" for n in range(7)]
    slots = list((await kubernetes.submit([PilotRequest(one, LONG) for one in stamps])).slots)
    cluster.runs_out = 2

    found = await kubernetes.find(stamps)

    assert sorted(found) == stamps
    assert cluster.runs_out == 0
    cluster.runs_out = 3
    with pytest.raises(ElementUnreachable, match="expire before they are read"):
        await kubernetes.find(stamps)
    cluster.runs_out = 0
    await kubernetes.forget(slots)


class Losing(httpx.AsyncBaseTransport):
    """Loses the answer to one kind of request, which is carried out all the same."""

    def __init__(self, cluster: Kubernetes, lost: str) -> None:
        self._real, self._lost = httpx.AsyncHTTPTransport(verify=cluster.trusting()), lost

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await self._real.handle_async_request(request)
        await reply.aread()
        resource = re.search("/namespaces/[^/]+/([a-z]+)", request.url.path)
        assert resource is not None
        if f"{request.method} {resource[1]}" == self._lost:
            raise httpx.ReadTimeout("the line was cut", request=request)
        return reply

    async def aclose(self) -> None:
        await self._real.aclose()


@pytest.mark.parametrize("lost", ["POST jobs", "POST secrets", "PATCH jobs"])
async def test_a_submission_that_was_cut_short_is_found_and_can_be_done_again(
    cluster: Kubernetes, driver: Make, stamp: str, lost: str
) -> None:
    kubernetes, request = driver(), PilotRequest(stamp, LONG)

    with pytest.raises(ElementUnreachable):
        await driver(transport=Losing(cluster, lost)).submit([request])
    slot = (await kubernetes.find([stamp]))[stamp]
    state = (await kubernetes.states([slot]))[slot].state

    went = lost == "PATCH jobs"  # that one let it go
    assert state in ((SlotState.QUEUED, SlotState.RUNNING) if went else (SlotState.HELD,))
    assert kept(cluster, stamp)["jobs"] == 1
    assert (await kubernetes.submit([request])).slots == {stamp: slot}
    await until(lambda: kept(cluster, stamp) == {"jobs": 1, "secrets": 1, "pods": 1})
    await kubernetes.forget([slot])
    await until(lambda: kept(cluster, stamp) == {"jobs": 0, "secrets": 0, "pods": 0})


async def test_a_job_of_this_name_that_is_not_ours_is_left_alone(
    cluster: Kubernetes, driver: Make, stamp: str
) -> None:
    kubernetes = driver()
    await driver(queue="q").submit([PilotRequest(stamp, LONG)])
    cluster.objects["jobs", stamp]["metadata"]["annotations"] = {}

    with pytest.raises(ElementTrouble, match="already that is not ours"):
        await kubernetes.submit([PilotRequest(stamp, LONG)])

    assert await kubernetes.find([stamp]) == {}
    assert kept(cluster, stamp)["jobs"] == 1
    await kubernetes.forget([stamp])


async def test_what_a_pilot_said_before_it_was_ended_is_there_until_it_is_forgotten(
    cluster: Kubernetes, driver: Make, stamp: str
) -> None:
    kubernetes = driver()
    slot = (await kubernetes.submit([PilotRequest(stamp, LONG, wall_s=3_600)])).slots[stamp]
    await until(lambda: cluster.printed(stamp) == LONG_SAYS)

    await kubernetes.cancel([slot])
    await kubernetes.cancel([slot])  # while it ends
    await until(lambda: "conditions" in cluster.objects["jobs", stamp]["status"])
    await kubernetes.cancel([slot])  # after that
    said = (await kubernetes.states([slot]))[slot]
    output = await kubernetes.output(slot)
    await kubernetes.forget([slot])

    assert said.state is SlotState.ENDED
    assert said.why.startswith("DeadlineExceeded")
    assert output.stdout == LONG_SAYS
    assert kept(cluster, stamp) == {"jobs": 0, "secrets": 0, "pods": 0}


async def test_a_pilot_that_waits_is_removed_when_it_is_cancelled(
    cluster: Kubernetes, driver: Make, stamp: str
) -> None:
    kubernetes = driver()
    cluster.starts_pods = False
    slot = (await kubernetes.submit([PilotRequest(stamp, LONG)])).slots[stamp]
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    cluster.say(stamp, phase="Pending", conditions=[condition])
    waits = (await kubernetes.states([slot]))[slot]

    await kubernetes.cancel([slot])
    cluster.starts_pods = True

    assert (waits.state, waits.why) == (SlotState.QUEUED, "Unschedulable")
    assert kept(cluster, stamp) == {"jobs": 0, "secrets": 0, "pods": 0}


async def test_a_pilot_whose_secret_may_not_be_made_leaves_nothing_behind(
    cluster: Kubernetes, driver: Make, stamp: str
) -> None:
    cluster.rules = [one for one in page_role() if one["resources"] != ["secrets"]]

    with pytest.raises(Denied, match=r"cannot create resource .secrets.") as told:
        await driver().submit([PilotRequest(stamp, LONG)])
    cluster.rules = page_role()

    assert told.value.step is ElementOperation.AUTHORISE
    assert kept(cluster, stamp) == {"jobs": 0, "secrets": 0, "pods": 0}


async def test_where_pods_may_not_be_ended_their_job_is_removed(
    cluster: Kubernetes, driver: Make, stamp: str
) -> None:
    kubernetes = driver()
    slot = (await kubernetes.submit([PilotRequest(stamp, LONG)])).slots[stamp]
    await until(lambda: cluster.printed(stamp) == LONG_SAYS)
    cluster.rules = [
        {**one, "verbs": ["list"]} if one["resources"] == ["pods"] else one for one in page_role()
    ]

    await kubernetes.cancel([slot])
    cluster.rules = page_role()

    await until(lambda: kept(cluster, stamp) == {"jobs": 0, "secrets": 0, "pods": 0})


async def test_who_may_not_come_in_is_told(driver: Make) -> None:
    with pytest.raises(Denied, match="authorise: 401: Unauthorized: the token has expired"):
        await driver(token="of-another-cluster").reach()
    with pytest.raises(Denied, match='authorise: 403: .* in the namespace "other"'):
        await driver(namespace="other").reach()
    with pytest.raises(Denied, match="the token contains invalid characters"):
        await driver(token="tökén").reach()
    with pytest.raises(Denied, match="ca_file: /nowhere/ca.pem: "):
        await driver(ca_file="/nowhere/ca.pem").reach()


async def test_an_element_without_a_token_is_refused_by_name(
    commands: Commands, cluster: Kubernetes, tmp_path: Path
) -> None:
    with pytest.raises(BadOptions, match="credential: is required"):
        element("kubernetes", cluster.options, Tools(commands, SystemClock(), tmp_path))


ANSWERS: dict[str, tuple[int, str, type[ElementTrouble], str]] = {
    "too full": (403, 'exceeded quota: jobs, used: "5"', Denied, "submit: 403: exceeded quota"),
    "no field of that name": (400, "strict decoding error", Denied, "submit: 400: strict"),
    "no value of that form": (422, 'Job "x" is invalid', Denied, 'submit: 422: Job "x" is'),
    "no such namespace": (404, 'namespaces "p" not found', Denied, "submit: 404: namespaces"),
    "too often": (429, "too many requests", ElementUnreachable, "429: too many .* asks too often"),
    "in trouble": (500, "etcdserver: leader changed", ElementUnreachable, "500: etcdserver"),
    "behind a proxy": (504, "", ElementUnreachable, "submit: 504"),
    "moved": (302, "", ElementUnreachable, "submit: 302"),
    "of another kind": (201, "made", ElementUnreachable, "Invalid enum value 'Status'"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_each_no_has_its_meaning(driver: Make, stamp: str, name: str) -> None:
    code, message, raised, told = ANSWERS[name]
    status = {"kind": "Status", "message": message, "code": code}
    saying = httpx.MockTransport(lambda request: httpx.Response(code, json=status))

    with pytest.raises(raised, match=told):
        await driver(transport=saying).submit([PilotRequest(stamp, LONG)])


@pytest.mark.parametrize(
    "page",
    [
        b'{"kind":"JobList","items":[{"metadata":{"name":7}}]}',
        b'{"kind":"JobList","items":' + b"[" * 100_000,
        b'{"kind":"JobList","items":{}}',
        b'{"kind":"PodList","items":[]}',
        b'{"items":[]}',
        b"{}",
        b'{"kind":"JobList","metadata":{"continue":"again"},"items":[]}',
        b"\xff",
    ],
)
async def test_strange_lists_are_no_answer(driver: Make, page: bytes) -> None:
    saying = httpx.MockTransport(lambda request: httpx.Response(200, content=page))

    with pytest.raises(ElementUnreachable):
        await driver(transport=saying).states(["t-anything"])


async def test_a_list_of_nothing_is_a_list(driver: Make) -> None:
    def say(request: httpx.Request) -> httpx.Response:
        kind = "JobList" if request.url.path.endswith("/jobs") else "PodList"
        return httpx.Response(200, json={"kind": kind, "items": None})

    said = await driver(transport=httpx.MockTransport(say)).states(["t-anything"])

    assert said["t-anything"].state is SlotState.GONE
