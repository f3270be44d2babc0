"""Jobs that wait for other jobs: a large graph, and how soon a child is matched."""

import asyncio
import time
from array import array

from pilotage.central.client.client import AsyncClient
from pilotage.proto.documents.job import Job

from .asks import GIVEN, Given, Voice
from .fleet import enlist
from .line import Line
from .stage import Act

WIDTH = 100  # jobs in a layer of the graph
PARENTS = 3  # of each job, in the layer before
LOOK_S = 0.001  # between two asks for a child


async def submit_graph(act: Act, jobs: int) -> float:
    """Submit a graph, and return how many seconds that took. One last job waits for all others."""
    async with AsyncClient(act.url, act.token) as client:
        graph = client.graph()
        layer = [graph.add(Job(command=("true",))) for _ in range(WIDTH)]
        made = list(layer)
        while len(made) < jobs - 1:
            layer = [
                graph.add(
                    Job(command=("true",)),
                    after=[layer[(at + step) % WIDTH] for step in range(PARENTS)],
                )
                for at in range(min(WIDTH, jobs - 1 - len(made)))
            ]
            made += layer
        graph.add(Job(command=("true",)), after=layer)
        began = time.perf_counter()
        handle = await graph.submit()
        took_s = time.perf_counter() - began
        await handle.kill()
        return took_s


async def release_times_ms(act: Act, chains: int) -> "array[float]":
    """Return, for pairs of jobs, the times from the end of the first to the second's match."""
    (member,) = await enlist(act.url, act.token, 1, tls=act.tls)
    line, voice = await Line.open(act.url, array("d"), tls=act.tls), Voice(member, cores=1)
    took_ms = array("d")
    async with AsyncClient(act.url, act.token) as client:
        for _ in range(chains):
            graph = client.graph()
            graph.add(Job(command=("true",)), after=[graph.add(Job(command=("true",)))])
            await graph.submit()
            parent = await _given(line, voice)
            await line.ask(voice.started(parent))
            began = time.perf_counter()
            await line.ask(voice.ended(parent, b"", 0))
            child = await _given(line, voice)
            took_ms.append((time.perf_counter() - began) * 1_000)
            await line.ask(voice.started(child))
            await line.ask(voice.ended(child, b"", 0))
    await line.close()
    return took_ms


async def _given(line: Line, voice: Voice) -> list[Given]:
    """Ask until there is a job, and return it."""
    while True:
        given = GIVEN.findall(await line.ask(voice.ask(1)))
        if given:
            return given
        await asyncio.sleep(LOOK_S)
