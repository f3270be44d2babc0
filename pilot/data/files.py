"""The data files of attempts: the work of errands with the drivers of storages."""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Optional, TypeVar

from pilotage.proto.messages import Assignment, How, Output
from pilotage.proto.storages import (
    INPUTS_FILE,
    INPUTS_WORD,
    BadCopy,
    Copy,
    DataBody,
    DataFile,
    Leftover,
    Published,
    Removal,
    Removed,
    StorageAccess,
)
from pilotage.proto.wire import encode

from ..events import WriteEvent
from ..files import archives
from ..files.worker_thread import BackgroundWork, GoOn
from ..files.workspace import RESERVE_BYTES, RESERVE_SHARE
from ..mind.pace import back_off_s
from ..ports import Clock, Failed, Randomness, UnsafePath, nobody_hears
from . import stage_in, stage_out, sweep
from .credentials import StorageCredentials
from .storages import (
    CopyChecksums,
    CopyLocation,
    Credential,
    CredentialRejected,
    Storage,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    sums_of,
)

INPUT_PATIENCE_S: Final = 600.0  # how long storages may be unavailable before a payload starts,
OUTPUT_PATIENCE_S: Final = 1_800.0  # … and after it has ended, when its work would be lost
PATIENCE_S: Final = 1_800.0  # for one copy, besides the time for its size
BYTES_A_SECOND_MIN: Final = 200_000  # minimum speed of a transfer
REMOVAL_S: Final = 60.0
SWEEP_S: Final = 600.0  # for one removal, because a folder may contain many files
BAD_COPIES_MAX: Final = 100  # in a report; the next reader of other copies will find them
SWEEPING_SHARE: Final = 0.5  # of the time of a sweep, after which it begins no further removal

T = TypeVar("T")


class StageInFailed(Exception):
    """Data files cannot be fetched. `how` is the end of the attempt."""

    def __init__(self, why: str, how: How) -> None:
        super().__init__(why)
        self.how = how


@dataclass(frozen=True)
class StoredOutputs:
    """The stored outputs of an attempt: all that its rules select, or none and the reason."""

    published: tuple[Published, ...] = ()
    failure: str = ""
    how: How = How.OUTPUT
    bytes_out: int = 0
    removed: tuple[Removed, ...] = ()
    leftovers: tuple[Leftover, ...] = ()


# Returns a credential for a file; after a rejection (True) a new one.
CredentialOf = Callable[[StorageCredentials, bool], Awaitable[Credential]]


class DataFiles:
    """Fetches and stores data files, one file of an attempt after the other."""

    def __init__(
        self,
        drivers: Mapping[str, Storage],
        clock: Clock,
        random: Randomness,
        log: WriteEvent,
        *,
        upload_s: float = OUTPUT_PATIENCE_S,
        failed: Failed = nobody_hears,
        credentials: Optional[StorageCredentials] = None,
    ) -> None:
        """Take `upload_s`: how long storages may be unavailable after a payload has ended.

        `credentials` are for storages that need them; None: no such storage can be used.
        """
        self._credentials = credentials
        self._drivers, self._clock, self._random, self._log = drivers, clock, random, log
        self._upload_s, self._failed = upload_s, failed
        self._bad: dict[int, list[BadCopy]] = {}
        self._bytes_in: dict[int, int] = {}

    def bad(self, attempt_id: int) -> tuple[BadCopy, ...]:
        """Return the first bad copies, because the space in a report is limited."""
        return tuple(self._bad.get(attempt_id, ())[:BAD_COPIES_MAX])

    def bytes_in(self, attempt_id: int) -> int:
        return self._bytes_in.get(attempt_id, 0)

    def forget(self, attempt_id: int) -> None:
        self._bad.pop(attempt_id, None)
        if self._credentials is not None:
            self._credentials.forget(attempt_id)
        self._bytes_in.pop(attempt_id, None)

    # -- before the start -----------------------------------------------------------------------

    async def bring(self, assignment: Assignment, folder: Path) -> None:
        """Fetch all data files of an attempt into its payload's folder. Raises StageInFailed."""
        data = assignment.data
        assert data is not None
        self._check_room(assignment, data, folder)
        for number, file in enumerate(data.inputs):
            fetched = folder / f"data-{number}"
            try:
                await self._fetch(assignment, file, fetched)
                archives.move(fetched, folder / "work", file.path)
            except UnsafePath as why:
                raise StageInFailed(f"{file.did}: {why}", How.NO_START) from why
            except OSError as why:
                raise StageInFailed(f"{file.did} cannot be written: {why}", How.INPUT) from why
        if data.inputs:
            self._write_list(data, folder)

    def _check_room(self, assignment: Assignment, data: DataBody, folder: Path) -> None:
        total, granted = sum(one.size_bytes for one in data.inputs), assignment.grant.scratch_mb
        if granted and total > granted * 1_000_000:
            text = f"its data files have {total / 1e6:.0f} MB, but scratch_mb is {granted}"
            raise StageInFailed(text, How.NO_START)
        free = _room(folder)
        if total > free:
            text = f"its data files have {total / 1e6:.0f} MB, "
            text += f"but the disk has room for {max(0, free) / 1e6:.0f} MB"
            raise StageInFailed(text, How.INPUT)

    async def _fetch(self, assignment: Assignment, file: DataFile, to: Path) -> None:
        fetch = stage_in.FetchResult(file)
        wait = self._patience(assignment.attempt_id, INPUT_PATIENCE_S)
        try:
            sums = await fetch.run(to, partial(self._get, assignment, file), wait)
        except stage_in.CopiesUnusable as why:
            how = How.NO_START if why.for_good else How.INPUT
            raise StageInFailed(str(why), how) from None
        finally:
            if fetch.bad:
                self._bad.setdefault(assignment.attempt_id, []).extend(fetch.bad)
            for bad in fetch.bad:
                facts = {"job": assignment.job, "epoch": assignment.epoch}
                self._log("bad_copy", {**facts, "did": bad.did, "storage": bad.storage})
        came = self.bytes_in(assignment.attempt_id) + sums.size_bytes
        self._bytes_in[assignment.attempt_id] = came

    async def _get(
        self, assignment: Assignment, file: DataFile, copy: Copy, to: Path, bytes_max: int
    ) -> CopyChecksums:
        storage = stage_in.driver(self._drivers, copy.type)
        with suppress(FileNotFoundError):
            os.unlink(to)  # a thread that hangs with another copy may write into that file
        return await self._with_credential(
            stage_in.place_of(copy, file),
            lambda central, is_again: central.reading(
                assignment, copy.storage, copy.path, is_again=is_again
            ),
            lambda place, go_on: storage.get(place, to, bytes_max=bytes_max, go_on=go_on),
            bytes_max,
        )

    def _write_list(self, data: DataBody, folder: Path) -> None:
        listed: list[dict[str, object]] = [
            {
                "did": one.did,
                "path": str(folder / "work" / one.path),
                "metadata": json.loads(one.metadata) if one.metadata else {},
            }
            for one in data.inputs
        ]
        made = folder / "inputs.json"
        try:
            made.write_text(json.dumps(listed, indent=1) + "\n")
            archives.move(made, folder / "work", INPUTS_FILE)
        except UnsafePath as why:
            raise StageInFailed(f"{INPUTS_FILE}: {why}", How.NO_START) from why
        except OSError as why:
            raise StageInFailed(f"{INPUTS_FILE}: {why}", How.INPUT) from why

    # -- after the end --------------------------------------------------------------------------

    async def store(
        self, assignment: Assignment, folder: Path, beside: tuple[Output, ...] = ()
    ) -> StoredOutputs:
        """Store the outputs of a successful payload. If one fails, remove the stored ones again.

        `beside` are the other files that the same report lists.
        """
        data = assignment.data
        assert data is not None
        if data.removals:
            return StoredOutputs(removed=await self._sweep(data, assignment.grant.wall_s))
        try:
            brought = frozenset(one.path for one in data.inputs)
            listed = len(encode(beside)) + len(encode(self.bad(assignment.attempt_id)))
            chosen, absent = await self._in_thread(
                lambda go_on: stage_out.choose(
                    folder / "work",
                    data.outputs,
                    folder=data.folder,
                    brought=brought,
                    listed_bytes=listed,
                    go_on=go_on,
                ),
                0,
            )
        except (ValueError, OSError) as why:  # UnsafePath, BadMetadata, TooLarge …
            return StoredOutputs(failure=str(why))
        if absent:
            return StoredOutputs(failure="no file matches " + ", ".join(absent)[:1_000])
        kept: list[Published] = []
        store = stage_out.StageOut(data.folder, assignment.job, data.outputs)
        try:
            for one in chosen:
                wait = self._patience(assignment.attempt_id, self._upload_s)
                known = len(store.refused)
                kept.append(await store.run(one, partial(self._put, assignment), wait))
                for storage, reason in list(store.refused.items())[known:]:
                    facts = {"attempt_id": assignment.attempt_id, "wait_s": 0.0}
                    self._log(
                        "data_not_moved", {**facts, "why": f"{one.name}: {storage}: {reason}"}
                    )
        except (stage_out.OutputNotStored, OSError) as why:
            await self._remove(data, kept)
            how = How.STORAGE if isinstance(why, stage_out.OutputNotStored) else How.OUTPUT
            return StoredOutputs(failure=str(why), how=how)
        return StoredOutputs(
            tuple(kept),
            bytes_out=sum(one.size_bytes for one in kept),
            leftovers=tuple(store.leftovers),
        )

    async def _put(
        self, assignment: Assignment, file: Path, access: StorageAccess, path: str
    ) -> CopyChecksums:
        storage = stage_in.driver(self._drivers, access.type)
        size_bytes = os.stat(file).st_size
        sha256 = ""
        if access.options.signed_urls:
            sums = await self._in_thread(lambda go_on: sums_of(file, go_on), size_bytes)
            sha256 = sums.sha256
        return await self._with_credential(
            CopyLocation(access.url, path, access.options),
            lambda central, is_again: central.creating(
                assignment, access.storage, path, sha256, is_again=is_again
            ),
            lambda place, go_on: storage.put(file, place, go_on=go_on),
            size_bytes,
        )

    async def _remove(self, data: DataBody, kept: "list[Published]") -> None:
        """Remove outputs that were stored in vain, if that is quick.

        On storages with credentials the central does it, because no attempt may remove files.
        """
        reached = {one.storage: one for rule in data.outputs for one in rule.storages}

        def removal(one: Published) -> Callable[[GoOn], None]:
            access = reached[one.storage]
            storage, place = (
                self._drivers[access.type],
                CopyLocation(access.url, one.path, access.options),
            )
            return lambda _: storage.remove(place)

        for one in kept:
            if reached[one.storage].options.needs_credential:
                continue
            try:
                await BackgroundWork(removal(one)).result(REMOVAL_S)
            # Also TimeoutError: the file stays, without an entry in the catalogue.
            except (StorageError, OSError):
                continue

    async def _sweep(self, data: DataBody, wall_s: float) -> tuple[Removed, ...]:
        """Remove files from a storage that the catalogue does not need any more."""
        access = data.sweeps
        if access is None:
            return tuple(Removed(one.remnant, "its storage is unknown") for one in data.removals)

        async def remove(one: Removal) -> None:
            storage = stage_in.driver(self._drivers, access.type)
            place = CopyLocation(access.url, one.path, access.options)

            def act(go_on: GoOn) -> None:
                storage.sweep(place, is_folder=one.is_folder, go_on=go_on, size=one.size_bytes)

            await BackgroundWork(act).result(SWEEP_S)

        until = self._clock.now() + SWEEPING_SHARE * wall_s
        return await sweep.run(data.removals, remove, is_late=lambda: self._clock.now() >= until)

    async def _with_credential(
        self,
        place: CopyLocation,
        credential: CredentialOf,
        act: Callable[[CopyLocation, GoOn], T],
        size_bytes: int,
    ) -> T:
        """Run `act` in a thread; if a credential is rejected, once more with a new one."""
        if not place.options.needs_credential:
            return await self._in_thread(lambda go_on: act(place, go_on), size_bytes)
        if self._credentials is None:
            raise stage_in.NotSent("this pilot fetches no credentials for storages")
        first = replace(place, credential=await credential(self._credentials, False))
        try:
            return await self._in_thread(lambda go_on: act(first, go_on), size_bytes)
        except CredentialRejected:
            again = replace(place, credential=await credential(self._credentials, True))
        try:
            return await self._in_thread(lambda go_on: act(again, go_on), size_bytes)
        except CredentialRejected as why:
            raise StorageRefused(f"{why}, also with a new credential") from None

    # -- helpers ----------------------------------------------------------------------------------

    async def _in_thread(self, act: Callable[[GoOn], T], size_bytes: int) -> T:
        """Run `act` in its own thread. A storage that hangs counts as unavailable."""
        patience_s = PATIENCE_S + size_bytes / BYTES_A_SECOND_MIN
        try:
            return await BackgroundWork(act).result(patience_s)
        except TimeoutError:
            raise StorageUnavailable(f"it was not finished after {patience_s:.0f} s") from None

    def _patience(self, attempt_id: int, patience_s: float) -> stage_in.Wait:
        """Return a function that waits before the next round; False: the time is over."""
        until = self._clock.now() + patience_s

        async def wait(number: int, why: str) -> bool:
            if self._clock.now() >= until:
                return False
            wait_s = back_off_s(number, self._random.uniform)
            facts = {"attempt_id": attempt_id, "why": why, "wait_s": round(wait_s, 1)}
            self._log("data_not_moved", facts)
            self._failed(attempt_id, why)
            await self._clock.sleep(wait_s)
            return True

        return wait


def _room(folder: Path) -> int:
    """Return how many bytes data may take on the disk (as `files.workspace` allows)."""
    found = os.statvfs(folder)
    reserve = min(int(RESERVE_SHARE * found.f_blocks * found.f_frsize), RESERVE_BYTES)
    return found.f_bavail * found.f_frsize - reserve


def with_data(assignment: Assignment, folder: Path) -> Assignment:
    """Return an assignment with its data files in place of `{inputs}` in the command."""
    data = assignment.data
    if data is None or not data.inputs or INPUTS_WORD not in assignment.body.command:
        return assignment
    paths = paths_of(data, folder)
    command: list[str] = []
    for word in assignment.body.command:
        command += paths if word == INPUTS_WORD else [word]
    return replace(assignment, body=replace(assignment.body, command=tuple(command)))


def paths_of(data: DataBody, folder: Path) -> "list[str]":
    """Return the paths of the data files of an attempt."""
    return [str(folder / "work" / one.path) for one in data.inputs]
