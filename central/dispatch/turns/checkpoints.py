"""Finds the checkpoint that an attempt begins with: the newest of earlier attempts in its round.

The files of an attempt are stored together with its end, by a write that its lease guards. So a
late checkpoint of an attempt that no longer counts is never used.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from pilotage.proto.messages import CHECKPOINT_FILE, InputFile, Output

from ...jobs import record as job_records
from ...jobs.leases import Lease
from ...jobs.record_types import AttemptRow
from ...observe.events import Log
from ...ports import Blobs
from ...received_messages import altered
from ...sent_messages import Assignment
from ...store.engine import Store

_INPUTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class CheckpointOrders:
    """Adds checkpoints to assignments."""

    def __init__(self, store: Store, blobs: Blobs, log: Log) -> None:
        self._store, self._blobs, self._log = store, blobs, log

    async def given(self, lease: Lease, assignment: Assignment) -> Assignment:
        """Return the assignment with the checkpoint that it continues from, if there is one."""
        if not lease.checkpoint or lease.epoch == 1:
            return assignment
        attempts = await self._store.read(job_records.attempts, lease.job)
        for kept in left(attempts, lease.epoch):
            if not await self._blobs.missing([kept.sha256]):
                file = InputFile(CHECKPOINT_FILE, kept.sha256, kept.size_bytes, unpack=True)
                return altered(assignment, body=with_input(assignment.body, file))
            self._log("checkpoint_gone", job=lease.job, epoch=lease.epoch, sha256=kept.sha256)
        return assignment


def left(attempts: Sequence[AttemptRow], epoch: int) -> list[Output]:
    """Return the checkpoints that earlier attempts of the same round left, the newest first."""
    rounds = [one.round for one in attempts if one.epoch == epoch]
    return [
        out
        for one in sorted(attempts, key=lambda one: one.epoch, reverse=True)
        if one.epoch < epoch and one.round in rounds
        for out in one.outputs
        if out.name == CHECKPOINT_FILE
    ]


def with_input(body: object, file: InputFile) -> msgspec.Raw:
    """Return the JSON of a body with one more input. It is the last, so it overwrites others."""
    assert isinstance(body, msgspec.Raw)
    fields = _FIELDS.decode(body)
    inputs = _INPUTS.decode(fields["inputs"])
    inputs.append(msgspec.Raw(msgspec.json.encode(file)))
    fields["inputs"] = msgspec.Raw(msgspec.json.encode(inputs))
    return msgspec.Raw(msgspec.json.encode(fields))
