"""Runs long work for large workflows on a thread, so that the loop continues."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from pilotage.proto.documents.workflow import Workflow

T = TypeVar("T")
STEPS_AT_ONCE: Final = 10  # a check of this many takes a few milliseconds: a thread is not worth it
RULES_AT_ONCE: Final = 4_000  # characters of rules, for the same reason


async def on_thread(workflow: Workflow, call: Callable[[], T], *, rules: str = "") -> T:
    """Return the result of `call`; for a large workflow or long rules, it runs on a thread."""
    if len(workflow.steps) <= STEPS_AT_ONCE and len(rules) <= RULES_AT_ONCE:
        return call()
    return await asyncio.to_thread(call)
