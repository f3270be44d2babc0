"""Files of attempts, in a process that does not keep their leases."""

from collections.abc import AsyncIterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pilotage.central.accounts.counters import Counters
from pilotage.central.accounts.disk_room import DiskRoom, NoDisk
from pilotage.central.accounts.holdings import Holdings
from pilotage.central.accounts.quotas import Quotas
from pilotage.central.dispatch import record as turn_records
from pilotage.central.dispatch.submissions.api_process import StoredAttempts
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import AttemptCaller
from pilotage.central.identity.scope import Owners
from pilotage.central.jobs.blobs.sandbox import Sandbox
from pilotage.central.observe.events import no_log
from pilotage.central.settings import QuotaSettings, SandboxSettings
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code
from tests.contract.store.rows import a_requeue, an_end, matched, waiting_jobs
from tests.fake_central import FakeBlobs, FakeClock
from tests.memory_store import MemoryStore

CONTENT = b"a shower"
NAME = sha256(CONTENT).hexdigest()


async def content() -> AsyncIterator[bytes]:
    yield CONTENT


def beside(store: MemoryStore) -> Sandbox:
    """Return the files of a process beside the leader."""
    clock, blobs, owners = FakeClock(), FakeBlobs(), Owners(store, "local")
    memory = cast(Any, SimpleNamespace(owners=owners, counters=Counters()))
    quotas = Quotas(store, memory, clock, no_log, QuotaSettings(), local_issuer="local")
    holdings = Holdings(store, blobs, clock, owners, quotas)
    room = DiskRoom(NoDisk(), clock, no_log, reserve_mb=0.0)
    return Sandbox(blobs, StoredAttempts(store, owners), holdings, room, SandboxSettings())


async def uses(sandbox: Sandbox, caller: AttemptCaller) -> list[str]:
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
    store = MemoryStore(clock_wall=lambda: 1_000.0)
    sandbox = beside(store)
    (job,) = await waiting_jobs(store, 1)
    attempt = await matched(store, job)
    fields = {"job": job, "epoch": 1, "attempt_id": attempt, "community": "ctao"}
    caller = AttemptCaller(**fields)  # type: ignore[arg-type]
    assert await uses(sandbox, caller) == []
    if end == "ended":
        await store.write(turn_records.turn, [an_end(attempt, job)], [])
    if end == "held":  # the job goes on some day, this attempt does not
        await store.write(
            turn_records.turn, [a_requeue(attempt, job, new=JobState.HELD, close=True)], []
        )
    other = {"another epoch": {"epoch": 2}, "another job": {"job": job + 1}}.get(end, {})
    refused = await uses(sandbox, AttemptCaller(**{**fields, **other}))  # type: ignore[arg-type]

    denied = [f"put: {Code.FORBIDDEN}", f"read: {Code.FORBIDDEN}"]
    assert refused == (denied if end else [])
