"""What of a job is shown to who may see it but not read its outputs. Pure."""

import msgspec

from pilotage.proto.api import SEALED_SHA256, JobDetail


def sealed(detail: JobDetail) -> JobDetail:
    """Return the detail for a reader: without hashes, which open files, and values of variables."""
    job = msgspec.structs.replace(
        detail.job,
        environment=dict.fromkeys(detail.job.environment, ""),
        inputs=tuple(
            msgspec.structs.replace(one, sha256=SEALED_SHA256) for one in detail.job.inputs
        ),
    )
    outputs = [msgspec.structs.replace(one, sha256=SEALED_SHA256) for one in detail.outputs]
    return msgspec.structs.replace(detail, job=job, outputs=outputs, sealed=True)
