"""What takes long for a large workflow is done on a thread: the loop goes on meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from pilotage.proto.documents.workflow import Workflow

T = TypeVar("T")
STEPS_AT_ONCE: Final = 10  # of so many a check takes some milliseconds: no thread is worth it
RULES_AT_ONCE: Final = 4_000  # characters of rules, likewise


async def on_thread(workflow: Workflow, call: Callable[[], T], *, rules: str = "") -> T:
    """Return what `call` returns; for a large workflow, or long rules, it runs on a thread."""
    if len(workflow.steps) <= STEPS_AT_ONCE and len(rules) <= RULES_AT_ONCE:
        return call()
    return await asyncio.to_thread(call)
