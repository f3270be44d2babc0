"""The page on what pilots and the central say to each other, field by field."""

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

from pilotage.proto import attempts, messages, storages

from . import structs

TEXT: Final = """
    Each message is a JSON object. [The protocol](protocol.md) says when it is sent, how often it is
    repeated and what its answer means. The central checks the ranges of fields (`proto/limits.py`).

    Fields in bold are required; `field: 5` shows a default. A field without a type is text, or as
    its default. Fields with a clear name come first, the others in a list.
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
    return f"## {name}\n\n{text}{structs.compact(thing, _field)}"


def _field(field: structs.Field) -> str:
    links = structs.links(field)
    plain = field.kind == "text" or field.kind.startswith("`")
    kind = links or ("" if plain or field.default else field.kind)
    name = field._replace(default="") if links else field
    return structs.with_default(name) + (f" ({kind})" if kind else "")
