"""Waiting jobs for a bench: in row order, or so that neighbours in the queue are none on the disk.

*Row order* is one owner's jobs of one class: they are matched as their rows lie. *Scattered* is
many owners of equal shares, each with a short run of rows of a class of its own: fair shares serve
one owner after another, so that each match, start and end is in another place of the store.
"""

import asyncio
import hashlib
import random
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

import msgspec

from .wire import head, request, run_errands

A_SUBMISSION = 100_000
OWNERS = 1_000
SEED = 4
GROUPS = ("production", "users", "calibration", "analysis")
SETTINGS = {  # shares and limits at work: neither ever binds
    "community.groups": "[production, users, calibration, analysis]",
    "matcher.shares": "{local/production: 2, local/users: 2}",
    "matcher.running": "[{where: PIC, by: group, value: users, most: 10000000}, "
    "{where: CSCS, by: type, value: Production, most: 10000000}]",
    "matcher.starts": "[{where: DESY, by: type, value: Production, per_s: 1000000.0, "
    "burst: 1000000}]",
}

CONTENT = b"some output"
Errand = tuple[bytes, Callable[[bytes], None]]


class _Issued(msgspec.Struct):
    token: str


async def in_row_order(url: str, token: str, jobs: int) -> None:
    """Submit one owner's jobs of one class. The owner holds already what they will write."""
    await run_errands(url, [_content(token)], connections=1)
    starts = range(0, jobs, A_SUBMISSION)
    await run_errands(
        url,
        (_submission(token, min(A_SUBMISSION, jobs - start), 3_600) for start in starts),
        connections=1,
    )


async def scattered(url: str, token: str, jobs: int, *, owners: int = OWNERS) -> None:
    """Submit the jobs of many owners, each of them in one piece.

    Each owner holds already what the jobs will write: a pilot brings that for the first job alone.
    """
    rolls = random.Random(SEED)
    tokens: list[str] = []

    def take(body: bytes) -> None:
        tokens.append(msgspec.json.decode(body, type=_Issued).token)

    await run_errands(url, (_token(token, at, take) for at in range(owners)))
    await run_errands(url, map(_content, tokens))
    await run_errands(url, _runs(tokens, jobs, rolls))


@asynccontextmanager
async def bulks(url: str, token: str, jobs: int) -> AsyncGenerator[None]:
    """Submit so many jobs in one request, again and again, while the context lasts."""
    is_over = False

    def endless() -> Iterator[Errand]:
        while not is_over:
            yield _submission(token, jobs, 3_600)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_errands(url, endless(), connections=1))
        try:
            yield
        finally:
            is_over = True


def _runs(tokens: list[str], jobs: int, rolls: random.Random) -> Iterator[Errand]:
    """Yield one submission for each owner."""
    owners = len(tokens)
    for at, token in enumerate(tokens):
        count = jobs // owners + (at < jobs % owners)
        if count:
            yield _submission(token, count, 600 + rolls.randrange(30_000))


def _token(token: str, at: int, take: Callable[[bytes], None]) -> Errand:
    body = {"subject": f"owner{at}", "community": "local", "groups": [GROUPS[at % len(GROUPS)]]}
    return request(head("/v1/tokens", token), msgspec.json.encode(body)), take


def _content(token: str) -> Errand:
    """Return the upload of the content that all jobs of a bench write."""
    name = hashlib.sha256(CONTENT).hexdigest()
    media = "application/octet-stream"
    return request(head(f"/v1/blobs/{name}", token, method="PUT", media=media), CONTENT), _taken


def _submission(token: str, count: int, wall_s: int) -> Errand:
    body = {
        "key": uuid.uuid4().hex,
        "template": {
            "command": ["simtel-production", "--run={run}", "--zenith=20", "--azimuth=180"],
            "environment": {"CORSIKA_SEED": "{run}"},
            "outputs": [{"pattern": "*.simtel.zst"}],
            "type": "Production",
            "needs": [{"memory_mb": 2_000, "wall_s": wall_s, "tags": "cvmfs"}],
        },
        "parameters": [{"run": run} for run in range(count)],
    }
    return request(head("/v1/submissions", token), msgspec.json.encode(body)), _taken


def _taken(_: bytes) -> None:
    """Nothing of the answer is needed."""
