"""Pilot-and-matcher workload management: the public face.

Names are loaded on first use, so that `import pilotage.pilot` loads the standard library only.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from `typing`: its import costs the guard process 0.7 MB and 8 ms
if TYPE_CHECKING:
    from typing import Any

    from pilotage.central.client import (
        AsyncClient,
        Client,
        Executor,
        LocalFile,
        as_completed,
        as_completed_async,
        errors,
    )
    from pilotage.central.workflows import production
    from pilotage.proto.api.data import FileItem, ReplicaItem
    from pilotage.proto.api.jobs import JobFilter
    from pilotage.proto.api.pilots import PilotLogFilter
    from pilotage.proto.documents.job import (
        DataInput,
        DataOutput,
        Dependency,
        Input,
        Job,
        JobData,
        JobLimits,
        Need,
        OutputPattern,
        Preference,
    )
    from pilotage.proto.documents.transformation import Grouping, InputSpec, Transformation
    from pilotage.proto.job_states import JobState

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "DataInput",
    "DataOutput",
    "Dependency",
    "Executor",
    "FileItem",
    "Grouping",
    "Input",
    "InputSpec",
    "Job",
    "JobData",
    "JobFilter",
    "JobLimits",
    "JobState",
    "LocalFile",
    "Need",
    "OutputPattern",
    "PilotLogFilter",
    "Preference",
    "ReplicaItem",
    "Transformation",
    "__version__",
    "as_completed",
    "as_completed_async",
    "errors",
    "production",
]

_HOME_OF = {
    "AsyncClient": "pilotage.central.client",
    "Client": "pilotage.central.client",
    "DataInput": "pilotage.proto.documents.job",
    "DataOutput": "pilotage.proto.documents.job",
    "Dependency": "pilotage.proto.documents.job",
    "Executor": "pilotage.central.client",
    "FileItem": "pilotage.proto.api.data",
    "Grouping": "pilotage.proto.documents.transformation",
    "Input": "pilotage.proto.documents.job",
    "InputSpec": "pilotage.proto.documents.transformation",
    "Job": "pilotage.proto.documents.job",
    "JobData": "pilotage.proto.documents.job",
    "JobFilter": "pilotage.proto.api.jobs",
    "JobLimits": "pilotage.proto.documents.job",
    "JobState": "pilotage.proto.job_states",
    "LocalFile": "pilotage.central.client",
    "Need": "pilotage.proto.documents.job",
    "OutputPattern": "pilotage.proto.documents.job",
    "PilotLogFilter": "pilotage.proto.api.pilots",
    "Preference": "pilotage.proto.documents.job",
    "ReplicaItem": "pilotage.proto.api.data",
    "Transformation": "pilotage.proto.documents.transformation",
    "as_completed": "pilotage.central.client",
    "as_completed_async": "pilotage.central.client",
    "errors": "pilotage.central.client",
    "production": "pilotage.central.workflows",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
