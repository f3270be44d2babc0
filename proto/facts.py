"""The facts of a node that jobs can ask for: the marked fields of pilots' messages."""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast, get_type_hints

import msgspec

from .messages import FACT, VERSION, Node, Offer

T = TypeVar("T", bound=msgspec.Struct)


def _marked(message: type[Node | Offer], mark: str) -> dict[str, Any]:
    hints = get_type_hints(message, include_extras=True).items()
    marked = [name for name, hint in hints if mark in getattr(hint, "__metadata__", ())]
    return {name: getattr(message, name) for name in marked}


# By name, with the value that means unknown.
OF_NODE: Final = _marked(Node, FACT)
OF_OFFER: Final = _marked(Offer, FACT)
VERSIONS: Final = _marked(Node, VERSION) | _marked(Offer, VERSION)


def with_facts(version: Any, unknown: object, *, but: str = "") -> Callable[[type[T]], type[T]]:
    """Add a field to a struct for each fact that it lacks, except for the fact `but`.

    Fields for versions have the type `version` and the default `unknown`.
    """

    def fill(struct: type[T]) -> type[T]:
        fields: list[tuple[str, Any, Any]] = [
            (name, version, unknown) if name in VERSIONS else (name, type(default), default)
            for name, default in {**OF_NODE, **OF_OFFER}.items()
            if name not in (*struct.__struct_fields__, but)
        ]
        kept = {"__doc__": struct.__doc__, "__module__": struct.__module__}
        made = msgspec.defstruct(
            struct.__name__, fields, bases=(struct,), namespace=kept, kw_only=True
        )
        return cast(type[T], made)

    return fill
