"""What of a job is shown to who may see it but not read its outputs. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from pilotage.proto.api.jobs import SEALED_SHA256, JobDetail


def sealed(detail: JobDetail) -> JobDetail:
    """Return the detail for a reader: without hashes, which open files, and values of variables."""
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
    """Return a job that is plain values in the same way: it stands in a document."""
    found = dict(job)
    if found.get("environment"):
        found["environment"] = dict.fromkeys(found["environment"], "")
    if found.get("inputs"):
        found["inputs"] = [sealed_file(one) for one in found["inputs"]]
    return found


def sealed_file(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file that travels with a job, as plain values, without its hash."""
    return {**file, "sha256": SEALED_SHA256}
