"""Errands: slow work on an attempt's files, apart from urgent work.

Inputs are fetched before the start, outputs are stored after the end, and the folder is removed
last. Each errand is a task, and passes its result to the brain.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Optional

from pilotage.proto.messages import Assignment, How, Output
from pilotage.proto.tasks import Tasks

from .containment import WorkFailed, contained
from .data.files import DataFiles, StageInFailed, StoredOutputs
from .events import WriteEvent
from .mind import commands as c
from .mind.brain import Brain
from .mind.holdings import wants_outfit
from .ports import Outfit, OutfitMissing, Outfitter
from .talk.payload_tokens import TokenKeeper
from .talk.transfer import BlobTransfer, InputNotFetched, InputUnusable, UploadResult
from .talk.watched_output import LiveOutput

# Passes an event and the time to the brain, and carries out its commands.
TellBrain = Callable[[Callable[[Brain, float], list[c.Command]]], None]


class Errands:
    """At most one errand for each attempt. `tidy_up` must run while the pilot lives."""

    def __init__(
        self,
        files: BlobTransfer,
        live_output: LiveOutput,
        log: WriteEvent,
        tasks: Tasks,
        tell: TellBrain,
        outfitter: Optional[Outfitter] = None,
        data: Optional[DataFiles] = None,
        keeper: Optional[TokenKeeper] = None,
    ) -> None:
        self._data, self._keeper = data, keeper
        self._files, self._live_output = files, live_output
        self._log, self._tasks, self._tell = log, tasks, tell
        self._outfitter = outfitter
        self._outfits: dict[int, Outfit] = {}  # of payloads that are about to start
        self._running: dict[int, asyncio.Task[Any]] = {}
        self._over: deque[int] = deque()  # attempts whose folders are to be removed
        self._litter = asyncio.Event()

    def stage(self, assignment: Assignment) -> None:
        """Fetch the inputs."""
        self._start(assignment.attempt_id, self._stage(assignment))

    def collect(self, command: c.Collect) -> None:
        """Upload the outputs of a payload; if there are none, report that at once."""
        assignment = command.assignment
        attempt_id = assignment.attempt_id
        is_quick = not (command.data or self._live_output.watches(attempt_id))
        if is_quick and self._files.left_nothing(
            assignment, outputs=command.outputs, checkpoint=command.checkpoint
        ):
            came = self._files.bytes_in(attempt_id) + self._data_in(attempt_id)
            self._tell(lambda brain, now: brain.collected(attempt_id, (), now, bytes_in=came))
            return
        self._start(attempt_id, self._take(command))
        self._tell(lambda brain, now: brain.tick(now))

    def upload_again(self, command: c.UploadAgain, token: str) -> None:
        """Upload the files that the central misses."""
        self._start(command.attempt_id, self._upload_again(command, token))

    def abandon(self, attempt_id: int) -> None:
        """Stop the errand of an attempt."""
        task = self._running.pop(attempt_id, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def over(self, attempt_id: int) -> None:
        """Schedule the removal of the folder of an attempt that is over."""
        self.abandon(attempt_id)
        if self._keeper is not None:
            self._keeper.drop(attempt_id)
        self._outfits.pop(attempt_id, None)
        self._over.append(attempt_id)
        self._litter.set()

    async def tidy_up(self) -> None:
        """Remove the folders of attempts that are over, in an endless loop."""
        while True:
            await self._litter.wait()
            self._litter.clear()
            await self.remove_all()

    async def remove_all(self) -> None:
        """Remove all folders of attempts that are over."""
        while self._over:
            attempt_id = self._over[0]
            with contextlib.suppress(WorkFailed):  # it is logged; useless files remain
                await contained(self._files.remove(attempt_id), self._log, attempt_id, "removing")
            if self._data is not None:
                self._data.forget(attempt_id)
            self._over.popleft()

    def _start(self, attempt_id: int, errand: Coroutine[Any, Any, None]) -> None:
        self._running[attempt_id] = self._tasks.start(errand, name=f"attempt {attempt_id}")

    async def _stage(self, assignment: Assignment) -> None:
        attempt_id = assignment.attempt_id
        try:
            bringing = self._files.bring(assignment)
            await contained(bringing, self._log, attempt_id, "staging", known=(InputNotFetched,))
            await self._bring_data(assignment)
            outfit = await self._outfit(assignment)
            if self._keeper is not None:
                await self._keeper.bring(assignment, self._files.make(attempt_id))
        except (InputNotFetched, StageInFailed, OutfitMissing, WorkFailed) as failure:
            why, how = str(failure), _how(failure)
            self._tell(lambda brain, now: brain.staging_failed(attempt_id, why, now, how))
            return
        rung = image = ""
        if outfit is not None:
            self._outfits[attempt_id] = outfit
            rung, image = outfit.isolation, outfit.image
        self._tell(lambda brain, now: brain.staged(attempt_id, now, rung, image))

    async def _bring_data(self, assignment: Assignment) -> None:
        """Fetch its data files from storages, if it has any. Raises StageInFailed."""
        if assignment.data is None or not assignment.data.inputs:
            return
        if self._data is None:
            raise StageInFailed("this pilot cannot use storages", How.INPUT)
        attempt_id = assignment.attempt_id
        bringing = self._data.bring(assignment, self._files.make(attempt_id))
        try:
            await contained(bringing, self._log, attempt_id, "data", known=(StageInFailed,))
        finally:
            bad = self._data.bad(attempt_id)
            if bad:
                self._tell(lambda brain, _: brain.found_bad(attempt_id, bad))

    async def _store_data(
        self, assignment: Assignment, beside: tuple[Output, ...]
    ) -> StoredOutputs:
        attempt_id = assignment.attempt_id
        if self._data is None:
            return StoredOutputs(failure="this pilot cannot use storages", how=How.STORAGE)
        storing = self._data.store(assignment, self._files.make(attempt_id), beside)
        try:
            return await contained(storing, self._log, attempt_id, "storing")
        except WorkFailed as why:
            return StoredOutputs(failure=f"its data files cannot be stored: {why}")

    def _data_in(self, attempt_id: int) -> int:
        return 0 if self._data is None else self._data.bytes_in(attempt_id)

    async def _outfit(self, assignment: Assignment) -> Optional[Outfit]:
        """Find the payload's image, software and modules, if it asks for any.

        Raises OutfitMissing.
        """
        if not wants_outfit(assignment.body):
            return None
        if self._outfitter is None:
            raise OutfitMissing("this pilot does not support images, software or modules")
        attempt_id = assignment.attempt_id
        finding = self._outfitter.outfit(assignment, self._files.make(attempt_id))
        return await contained(finding, self._log, attempt_id, "outfit", known=(OutfitMissing,))

    def outfit(self, attempt_id: int) -> Optional[Outfit]:
        """Return the outfit of a payload that starts now."""
        return self._outfits.pop(attempt_id, None)

    async def _take(self, command: c.Collect) -> None:
        attempt_id = command.assignment.attempt_id
        with contextlib.suppress(WorkFailed):  # lost pieces show as a gap
            last = self._live_output.last(attempt_id)
            await contained(last, self._log, attempt_id, "live output")
        try:
            taking = self._files.take(
                command.assignment, outputs=command.outputs, checkpoint=command.checkpoint
            )
            taken = await contained(taking, self._log, attempt_id, "collecting")
        except WorkFailed as why:
            taken = UploadResult(failure=f"outputs cannot be kept: {why}")
        stored = StoredOutputs()
        if command.data and not (taken.failure or taken.absent):
            stored = await self._store_data(command.assignment, taken.outputs)
        self._tell(
            lambda brain, now: brain.collected(
                attempt_id,
                taken.outputs,
                now,
                absent=taken.absent,
                failure=taken.failure or stored.failure,
                note=taken.note,
                bytes_in=self._files.bytes_in(attempt_id) + self._data_in(attempt_id),
                bytes_out=taken.bytes_out + stored.bytes_out,
                published=stored.published,
                removed=stored.removed,
                leftovers=stored.leftovers,
                failed_as=taken.how if taken.failure else stored.how,
            )
        )

    async def _upload_again(self, command: c.UploadAgain, token: str) -> None:
        attempt_id = command.attempt_id
        try:
            again = self._files.again(attempt_id, token, command.missing)
            lost, quota = await contained(again, self._log, attempt_id, "uploading again")
        except WorkFailed:
            lost, quota = frozenset(command.missing), ""
        self._tell(lambda brain, now: brain.uploaded(attempt_id, lost, now, quota=quota))


def _how(failure: Exception) -> How:
    if isinstance(failure, OutfitMissing):
        return How.SOFTWARE
    if isinstance(failure, StageInFailed):
        return failure.how
    return How.NO_START if isinstance(failure, InputUnusable) else How.INPUT
