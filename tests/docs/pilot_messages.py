"""The page on what pilots and the central say to each other, field by field."""

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

from pilotage.proto import attempts, messages, storages

from . import structs

TEXT: Final = """
    Each message is a JSON object. [The protocol](protocol.md) says when it is sent, how often it is
    repeated and what its answer means. The types are in `proto/messages.py`, the ranges in
    `proto/limits.py`.

    `{a,b?,c?=5}` is a message with an optional `b`, and a `c` whose default is 5.
"""


def sections() -> Iterator[str]:
    """Yield the page below its title."""
    yield inspect.cleandoc(TEXT) + "\n"
    ours = {one.__name__ for one in (attempts, messages, storages)}
    for name, thing in {**vars(messages), **vars(storages)}.items():
        if getattr(thing, "__module__", "") not in ours or name.startswith("_"):
            continue
        if inspect.isclass(thing) and issubclass(thing, Enum):
            yield f"## {name}\n\n{structs.description(thing)}\n\n{structs.members(thing)}"
        elif hasattr(thing, "__dataclass_fields__"):
            yield _message(name, thing)


def _message(name: str, thing: type[Any]) -> str:
    own = structs.description(thing)
    text = "" if own.startswith(f"{name}(") else f"{own}\n\n"  # dataclasses write one themselves
    noted = structs.noted(thing)
    return f"## {name}\n\n{text}{structs.signature(thing)}\n\n{noted}"
