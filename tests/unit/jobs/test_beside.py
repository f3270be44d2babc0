"""Files of attempts, in a process that does not keep their leases."""

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from pilotage.central.auth.callers import AttemptCaller
from pilotage.central.errors import Refused
from pilotage.central.jobs.beside import SandboxBeside
from pilotage.central.settings import SandboxSettings
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code
from tests.contract.store.rows import a_requeue, an_end, matched, waiting_jobs
from tests.fake_central import FakeBlobs
from tests.fake_store import FakeStore

CONTENT = b"a shower"
NAME = sha256(CONTENT).hexdigest()


async def content() -> AsyncIterator[bytes]:
    yield CONTENT


async def uses(sandbox: SandboxBeside, caller: AttemptCaller) -> list[str]:
    """Return what an attempt may not do, with the code of the refusal."""
    refused: list[str] = []
    try:
        await sandbox.put(caller, NAME, content(), len(CONTENT))
    except Refused as why:
        refused.append(f"put: {why.code}")
    try:
        await sandbox.read(caller, NAME)
    except Refused as why:
        refused.append(f"read: {why.code}")
    return refused


@pytest.mark.parametrize("end", ["", "ended", "held", "another epoch", "another job"])
async def test_only_an_attempt_whose_result_can_count_brings_and_fetches_files(end: str) -> None:
    store = FakeStore(clock_wall=lambda: 1_000.0)
    sandbox = SandboxBeside(FakeBlobs(), store, SandboxSettings())
    (job,) = await waiting_jobs(store, 1)
    attempt = await matched(store, job)
    fields = {"job": job, "epoch": 1, "attempt_id": attempt, "community": "ctao"}
    caller = AttemptCaller(**fields)  # type: ignore[arg-type]
    assert await uses(sandbox, caller) == []
    if end == "ended":
        await store.turn([an_end(attempt, job)], [])
    if end == "held":  # the job goes on some day, this attempt does not
        await store.turn([a_requeue(attempt, job, new=JobState.HELD, close=True)], [])
    other = {"another epoch": {"epoch": 2}, "another job": {"job": job + 1}}.get(end, {})
    refused = await uses(sandbox, AttemptCaller(**{**fields, **other}))  # type: ignore[arg-type]

    denied = [f"put: {Code.FORBIDDEN}", f"read: {Code.FORBIDDEN}"]
    assert refused == (denied if end else [])
