"""The files of an attempt: its inputs before the start, its outputs and streams after the end."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from pilotage.proto.messages import (
    CHECKPOINT_FILE,
    KEPT_BYTES,
    Assignment,
    How,
    InputFile,
    Output,
    Stream,
)

from ..events import WriteEvent
from ..mind.pace import back_off_s
from ..mind.payloads import OWN_OUTPUTS
from ..ports import (
    Clock,
    DiskWriteFailed,
    Failed,
    NoReply,
    Randomness,
    TooLarge,
    TooManyBytes,
    UnsafePath,
    Workspace,
    nobody_hears,
)
from .conversation import may_pass, refusal
from .requests import Requests

PATIENCE_S = 600.0  # limit of the time to fetch the inputs
DAMAGED_MAX = 3  # downloads with another content
UploadContent = Union[Path, bytes]


class InputNotFetched(Exception):
    """An input is missing, differs from its description, or does not fit into the folder."""


class InputUnusable(InputNotFetched):
    """An input arrived intact but fits into no folder: another node would not help."""


@dataclass(frozen=True)
class UploadResult:
    """The uploaded files of an attempt."""

    outputs: tuple[Output, ...] = ()
    absent: tuple[str, ...] = ()  # required patterns without a match
    failure: str = ""
    how: How = How.OUTPUT  # the kind of the failure
    note: str = ""  # why an expected checkpoint is missing
    bytes_out: int = 0


class BlobNotStored(Exception):
    """The central refused a blob."""

    tells = False  # whether the owner of the job can do something about it


class NoQuota(BlobNotStored):
    """An owner, group or community has used up its quota."""

    tells = True


class CentralDiskFull(BlobNotStored):
    """The central's disk is nearly full, and the rest is reserved for reports."""

    tells = True


class BlobTransfer:
    """Transfers blobs with each attempt's own token, over the second connection."""

    def __init__(
        self,
        requests: Requests,
        workspace: Workspace,
        clock: Clock,
        random: Randomness,
        log: WriteEvent,
        failed: Failed = nobody_hears,
    ) -> None:
        self._requests, self._workspace, self._clock = requests, workspace, clock
        self._random, self._log, self._failed = random, log, failed
        self._folders: dict[int, Path] = {}
        self._stored: dict[int, dict[str, UploadContent]] = {}  # by hash, until the end is answered
        self._bytes_in: dict[int, int] = {}

    def make(self, attempt_id: int) -> Path:
        """Create the attempt's folder, or return the one that was created for its inputs."""
        if attempt_id not in self._folders:
            self._folders[attempt_id] = self._workspace.make(attempt_id)
        return self._folders[attempt_id]

    async def remove(self, attempt_id: int) -> None:
        """Forget everything about an attempt that is over."""
        self._folders.pop(attempt_id, None)
        self._stored.pop(attempt_id, None)
        self._bytes_in.pop(attempt_id, None)
        await self._workspace.remove(attempt_id)

    def bytes_in(self, attempt_id: int) -> int:
        """Return how many bytes of input have arrived for an attempt."""
        return self._bytes_in.get(attempt_id, 0)

    async def bring(self, assignment: Assignment) -> None:
        """Put all input files into the payload's folder.

        Raises InputNotFetched or InputUnusable.
        """
        folder = self.make(assignment.attempt_id)
        scratch_mb, laid = assignment.grant.scratch_mb, 0
        for number, file in enumerate(assignment.body.inputs):
            fetched = folder / f"input-{number}"
            if scratch_mb and file.size_bytes > scratch_mb * 1_000_000:
                size = f"{file.size_bytes / 1e6:.1f} MB"
                raise InputUnusable(
                    f"input {file.name!r}: it has {size}, but scratch_mb is {scratch_mb}"
                )
            left = scratch_mb * 1_000_000 - laid if scratch_mb else None
            try:
                room = self._workspace.room(folder, file.size_bytes, bytes_max=left)
                # A file without a known size may fill the disk, except for the reserve.
                await self._fetch(assignment, file, fetched, file.size_bytes or max(0, room))
                laid += await self._lay(assignment, file, fetched, folder, left)
            except TooManyBytes as why:
                text = f"{why}, but its size_bytes is {file.size_bytes}"
                raise InputUnusable(f"input {file.name!r}: {text}") from why
            except (UnsafePath, TooLarge) as why:
                raise InputUnusable(f"input {file.name!r}: {why}") from why
            except (DiskWriteFailed, OSError) as why:
                raise InputNotFetched(f"input {file.name!r}: {why}") from why

    async def _lay(
        self,
        assignment: Assignment,
        file: InputFile,
        fetched: Path,
        folder: Path,
        bytes_max: Optional[int],
    ) -> int:
        """Put one file in place; return how many bytes of the input's share it takes."""
        checkpoint = assignment.body.checkpoint
        if not checkpoint or file.name != CHECKPOINT_FILE:
            return await self._workspace.unpack(
                fetched, folder / "work", file.name, file.unpack, bytes_max=bytes_max
            )
        try:
            await self._workspace.restore(fetched, folder, checkpoint)
        except (UnsafePath, TooLarge) as why:
            # Not the job's fault, and another node would not help: the job can start without it.
            facts = {"job": assignment.job, "epoch": assignment.epoch, "why": str(why)}
            self._log("checkpoint_left_out", facts)
        return 0

    async def _fetch(
        self, assignment: Assignment, file: InputFile, to: Path, bytes_max: int
    ) -> None:
        """GET until it has arrived. Raises InputNotFetched, TooManyBytes or DiskWriteFailed."""
        failures, damaged, until = 0, 0, self._clock.now() + PATIENCE_S
        while True:
            try:
                got = await self._requests.download(
                    f"/v1/blobs/{file.sha256}", to, token=assignment.token, bytes_max=bytes_max
                )
                if got.status == 200 and got.sha256 == file.sha256:
                    came = self.bytes_in(assignment.attempt_id) + got.size_bytes
                    self._bytes_in[assignment.attempt_id] = came
                    return
                why = f"{file.name}: the central answers {got.status}"
                if got.status == 200:
                    why = f"{file.name}: its content does not match its hash"
                    damaged += 1
                    if damaged == DAMAGED_MAX:  # not on its way: the central's file is damaged
                        raise InputNotFetched(why)
                elif not may_pass(got.status):
                    raise InputNotFetched(why)
            except NoReply as no:
                why = str(no)
            if self._clock.now() >= until:
                raise InputNotFetched(why)
            failures += 1
            await self._wait(assignment.attempt_id, failures, why)

    def left_nothing(
        self, assignment: Assignment, *, outputs: bool, checkpoint: bool = False
    ) -> bool:
        """Return whether there is nothing to upload, so that the end can be reported at once."""
        body = assignment.body
        if checkpoint or (outputs and (body.outputs or body.stdout_file or body.stderr_file)):
            return False
        folder = self.make(assignment.attempt_id)
        return not any(self._workspace.size(folder, stream.value) for stream in Stream)

    async def take(
        self, assignment: Assignment, *, outputs: bool, checkpoint: bool = False
    ) -> UploadResult:
        """Upload the ends of both streams, the resource curve and, if wanted, the files to keep.

        The checkpoint is uploaded with `checkpoint`, or if the outputs fail the attempt.
        """
        folder = self.make(assignment.attempt_id)
        found, absent = [*self._streams(folder)], list[str]()
        failure = self._name_streams(assignment, folder) if outputs else ""
        if outputs and assignment.body.outputs and not failure:
            rules = tuple((rule.pattern, rule.required) for rule in assignment.body.outputs)
            try:
                files, absent = await self._workspace.collect(folder / "work", rules)
                found.extend(files)
            except (UnsafePath, TooLarge) as why:
                failure = str(why)
            except OSError as why:
                failure = f"outputs cannot be read: {why}"
        kept: list[Output] = []
        notes: list[str] = []
        how = How.OUTPUT
        for output, content in found:
            is_own = output.name.startswith(OWN_OUTPUTS)
            try:
                await self._store(assignment, output.sha256, content, waits=not is_own)
            except BlobNotStored as why:
                is_quota = isinstance(why, NoQuota)
                if is_own:  # the end is reported without it
                    notes += [f"{output.name} is not kept: {why}"] if why.tells else []
                    continue
                failure = f"{output.name} was not stored: {why}"
                if is_quota:  # the files stored before it are useless alone
                    how = How.QUOTA
                    kept = [one for one in kept if one.name.startswith(OWN_OUTPUTS)]
                break
            kept.append(output)
        if assignment.body.checkpoint and (checkpoint or absent or failure):
            notes.append(await self._keep_checkpoint(assignment, folder, kept))
        note = "; ".join(one for one in notes if one)
        bytes_out = sum(output.size_bytes for output in kept)
        return UploadResult(tuple(kept), tuple(absent), failure, how, note, bytes_out)

    def _name_streams(self, assignment: Assignment, folder: Path) -> str:
        """Show the streams as the files that the job names; return why that failed."""
        body = assignment.body
        for stream, name in ((Stream.OUT, body.stdout_file), (Stream.ERR, body.stderr_file)):
            if not name:
                continue
            try:
                self._workspace.name_stream(folder, stream.value, name)
            except (OSError, UnsafePath) as why:
                return f"{stream.value} cannot become the file {name!r}: {why}"
        return ""

    async def _keep_checkpoint(
        self, assignment: Assignment, folder: Path, kept: list[Output]
    ) -> str:
        """Pack and upload the checkpoint, and add it to `kept`; return why that failed."""
        name = assignment.body.checkpoint
        try:
            packed = await self._workspace.pack(folder, name)
            if packed is None:
                return ""
            output, archive = packed
            await self._store(assignment, output.sha256, archive)
        except (UnsafePath, OSError, BlobNotStored) as why:
            return f"the checkpoint {name!r} is not kept: {why}"
        kept.append(output)
        return ""

    def _streams(self, folder: Path) -> list[tuple[Output, UploadContent]]:
        kept: list[tuple[Output, UploadContent]] = []
        for stream in Stream:
            size = self._workspace.size(folder, stream.value)
            if not size:
                continue
            end = self._workspace.tail(folder, stream.value, max(0, size - KEPT_BYTES), KEPT_BYTES)
            digest = hashlib.sha256(end).hexdigest()
            whole = size if size > len(end) else 0
            kept.append((Output(OWN_OUTPUTS + stream.value, digest, len(end), whole), end))
        return kept

    async def again(
        self, attempt_id: int, token: str, missing: tuple[str, ...]
    ) -> tuple[frozenset[str], str]:
        """Upload the files that the central misses.

        Return the hashes of unavailable files, and the used-up quota if that is the reason.
        """
        quota = ""
        known = self._stored.get(attempt_id, {})
        unavailable = {sha256 for sha256 in missing if sha256 not in known}
        for sha256 in missing:
            if sha256 in known:
                try:
                    await self._put(attempt_id, token, sha256, known[sha256])
                except BlobNotStored as why:
                    unavailable.add(sha256)
                    quota = str(why) if isinstance(why, NoQuota) else quota
        return frozenset(unavailable), quota

    async def _store(
        self, assignment: Assignment, sha256: str, content: UploadContent, *, waits: bool = True
    ) -> None:
        self._stored.setdefault(assignment.attempt_id, {})[sha256] = content
        await self._put(assignment.attempt_id, assignment.token, sha256, content, waits=waits)

    async def _put(
        self,
        attempt_id: int,
        token: str,
        sha256: str,
        content: UploadContent,
        *,
        waits: bool = True,
    ) -> None:
        """PUT until answered, or, if not `waits`, until the disk is full. Raises BlobNotStored."""
        failures = 0
        while True:
            try:
                reply = await self._requests.upload(f"/v1/blobs/{sha256}", content, token=token)
                if 200 <= reply.status < 300:
                    return
                said = refusal(reply)
                why = f"{said.status} {said.code} {said.message}"
                if said.code == "over_quota":
                    raise NoQuota(why)
                if said.code == "store_full" and not waits:
                    raise CentralDiskFull(why)
                if not may_pass(reply.status):
                    raise BlobNotStored(why)
            except NoReply as no:
                why = str(no)
            failures += 1
            await self._wait(attempt_id, failures, why)

    async def _wait(self, attempt_id: int, failures: int, why: str) -> None:
        wait_s = back_off_s(failures, self._random.uniform)
        facts = {"attempt_id": attempt_id, "why": why, "wait_s": round(wait_s, 1)}
        self._log("blob_not_moved", facts)
        self._failed(attempt_id, why)
        await self._clock.sleep(wait_s)
