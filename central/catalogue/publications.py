"""Files that a job's result registers: the job's outputs combined with its pilot's report. Pure."""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from pilotage.proto.catalogue import (
    BadCatalogueField,
    Did,
    Value,
    check_path,
    check_storage,
    checked_metadata,
)
from pilotage.proto.decoding.nesting import loads
from pilotage.proto.documents.job import DataOutput, JobData
from pilotage.proto.storages import Published, is_try

from .placeholders import finished, later
from .record_types import NewFile, NewReplica

EMPTY: Final = hashlib.sha256(b"").hexdigest()
GENERATION_SHOWN: Final = 8  # characters of it in paths


class NotPublished(ValueError):
    """A stored output that cannot be registered with the name or the metadata of its job."""


def folder_of(community: str, generation: str, job: int, epoch: int) -> str:
    """Return the folder that belongs to one attempt, below each storage's URL.

    Two centrals may share a storage, and a restored central uses job ids again. The generation
    of the store keeps their folders apart.
    """
    return f"{community}/{generation[:GENERATION_SHOWN]}/{job}/{epoch}"


def files_of(
    data: JobData,
    published: Sequence[Published],
    *,
    folder: str,
    group: str,
    owner_id: int,
    job: int,
    epoch: int,
    copies_only: bool = False,
) -> tuple[NewFile, ...]:
    """Return the files to register. Raises NotPublished.

    `folder` is the attempt's folder on the storages. `copies_only` says that the job ran no
    program of its user, so a copy that it made of any file can be trusted.
    """
    files: list[NewFile] = []
    for one in published:
        try:
            made = _file(data, one, folder, group, owner_id, job, epoch)
            is_copy = copies_only and bool(data.outputs[one.rule].did)
            files.append(msgspec.structs.replace(made, own=not is_copy))
        except (BadCatalogueField, msgspec.DecodeError, LookupError, ValueError) as why:
            raise NotPublished(f"{one.name}: {why}") from None
    return tuple(files)


def _file(
    data: JobData, one: Published, folder: str, group: str, owner_id: int, job: int, epoch: int
) -> NewFile:
    if not 0 <= one.rule < len(data.outputs):
        raise NotPublished(f"the job has no output {one.rule}")
    if not is_try(one.path, folder, one.name):
        raise NotPublished(f"its path is not one of its tries below {folder}")
    if one.sha256 == EMPTY and one.size_bytes:
        why = f"its sha256 is that of an empty file, but its size_bytes is {one.size_bytes}"
        raise NotPublished(why)
    check_path(one.path)
    check_storage(one.storage)
    rule = data.outputs[one.rule]
    copy = NewReplica(storage=one.storage, path=one.path)
    known = later(job, epoch, one.name)
    if rule.did:
        return NewFile(
            did=Did.parse(rule.did),
            bytes=one.size_bytes,
            adler32=one.adler32,
            sha256=one.sha256,
            replicas=(copy,),
            owner_id=owner_id,
            job_id=job,
            epoch=epoch,
        )
    dataset = finished(rule.dataset, known)
    return NewFile(
        did=Did.parse(f"{rule.scope or group}:{finished(rule.name, known)}"),
        bytes=one.size_bytes,
        adler32=one.adler32,
        sha256=one.sha256,
        metadata=checked_metadata(_metadata(rule, one, known)),
        replicas=(copy,),
        datasets=(Did.parse(dataset),) if dataset else (),
        owner_id=owner_id,
        job_id=job,
        epoch=epoch,
    )


def _metadata(rule: DataOutput, one: Published, known: dict[str, str]) -> dict[str, Value]:
    """Return the metadata of the job's output, overridden by the payload's metadata."""
    said: dict[str, Value] = {
        key: finished(value, known) if isinstance(value, str) else value
        for key, value in rule.metadata.items()
    }
    return {**said, **(loads(one.metadata.encode(), dict[str, Value]) if one.metadata else {})}
