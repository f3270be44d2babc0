"""A store that plays what pilots publish: their outputs come with the ends of their jobs."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import msgspec

from pilotage.central.catalogue import record_registration as registration
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.dispatch import record as turn_records
from pilotage.central.dispatch.record import Room
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import AttemptChange, AttemptResult, NewAttempt
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.missing_outputs import MISSING_KEY
from pilotage.proto.catalogue import Did
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from tests.memory_store import MemoryStore, way

from .tasks import all_tasks


class PublishingStore(MemoryStore):
    """Publishes a file of each job that is Done, with its end, as the central does for pilots."""

    chance: random.Random | None = None

    @way(turn_records.turn)
    async def turn(
        self,
        plain: Any,
        changes: Sequence[AttemptChange],
        attempts: Sequence[NewAttempt],
        room: Room | None = None,
    ) -> Any:
        await self._publish_of(changes)
        return await plain(changes, attempts, room)

    async def _publish_of(self, changes: Sequence[AttemptChange]) -> None:
        for one in changes:
            if isinstance(one, AttemptResult) and one.new is JobState.DONE:
                await self._publish(one.job_id, one.at)

    async def _publish(self, job_id: int, at: float) -> None:
        for task in all_tasks(self):
            if task.job_id == job_id:
                row = await self.read(transformation_records.transformation, task.transformation_id)
                assert row is not None
                body = (await self.read(job_records.bodies, [job_id]))[job_id].body
                outputs = msgspec.json.decode(body, type=Job).data
                said = outputs.outputs[0].metadata if outputs and outputs.outputs else {}
                new = NewFile(
                    did=Did("dpps", f"{row.name}/{job_id}"),
                    bytes=10,
                    metadata={key: said[key] for key in said if key == MISSING_KEY},
                    adler32=f"{job_id:08x}",
                    replicas=(NewReplica(storage="disk", path=f"{job_id}"),),
                    datasets=(Did(row.group, f"transformation-{row.transformation_id}"),),
                    owner_id=row.owner_id,
                    job_id=job_id,
                    epoch=1,
                )
                await self.write(
                    registration.register_files, "ctao", [new], at=at, make_datasets=True
                )

    async def synced(self) -> None:
        """What is written is on the disk before its writer knows it: a kill comes in between."""
        await super().synced()
        if self.chance is not None:
            await asyncio.sleep(self.chance.random() * 0.3)
