"""The Python client: `Client` blocks, and `AsyncClient` has the same methods for asyncio.

Names are loaded on first use, so that commands start fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import errors as errors
    from .blocking import (
        Client as Client,
        JobGraph as JobGraph,
        JobHandle as JobHandle,
        SubmissionHandle as SubmissionHandle,
        as_completed as as_completed,
    )
    from .client import AsyncClient as AsyncClient
    from .executor.executor import CallFuture as CallFuture, Executor as Executor
    from .files import LocalFile as LocalFile
    from .graphs import AsyncJobGraph as AsyncJobGraph, GraphJob as GraphJob
    from .handles import (
        AsyncJobHandle as AsyncJobHandle,
        AsyncSubmissionHandle as AsyncSubmissionHandle,
        as_completed_async as as_completed_async,
    )

_HOMES = {
    "AsyncClient": "client",
    "AsyncJobGraph": "graphs",
    "AsyncJobHandle": "handles",
    "AsyncSubmissionHandle": "handles",
    "CallFuture": "executor.executor",
    "Client": "blocking",
    "GraphJob": "graphs",
    "JobGraph": "blocking",
    "Executor": "executor.executor",
    "JobHandle": "blocking",
    "LocalFile": "files",
    "SubmissionHandle": "blocking",
    "as_completed": "blocking",
    "as_completed_async": "handles",
}

__all__ = [
    "AsyncClient",
    "AsyncJobGraph",
    "AsyncJobHandle",
    "AsyncSubmissionHandle",
    "CallFuture",
    "Client",
    "GraphJob",
    "JobGraph",
    "Executor",
    "JobHandle",
    "LocalFile",
    "SubmissionHandle",
    "as_completed",
    "as_completed_async",
    "errors",
]


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module(".errors", __name__)
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
