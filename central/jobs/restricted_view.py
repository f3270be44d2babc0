"""The restricted view of a job, for callers who may see it but not read its outputs. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from pilotage.proto.api.jobs import SEALED_SHA256, JobDetail


def sealed(detail: JobDetail) -> JobDetail:
    """Return the detail without hashes of files and values of environment variables.

    A hash could give access to a file.
    """
    job = detail.job
    if job is not None:
        job = msgspec.structs.replace(
            job,
            environment=dict.fromkeys(job.environment, ""),
            inputs=tuple(msgspec.structs.replace(one, sha256=SEALED_SHA256) for one in job.inputs),
        )
    outputs = [msgspec.structs.replace(one, sha256=SEALED_SHA256) for one in detail.outputs]
    return msgspec.structs.replace(detail, job=job, outputs=outputs, sealed=True)


def sealed_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a restricted job given as plain values, from a document."""
    found = dict(job)
    if found.get("environment"):
        found["environment"] = dict.fromkeys(found["environment"], "")
    if found.get("inputs"):
        found["inputs"] = [sealed_file(one) for one in found["inputs"]]
    return found


def sealed_file(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input file of a job, given as plain values, without its hash."""
    return {**file, "sha256": SEALED_SHA256}
