"""Conversion of arguments of the client. Plain mistakes raise Invalid."""

import enum
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from .errors import Invalid

EnumWord = TypeVar("EnumWord", bound=enum.Enum)


def names_of(given: Iterable[str]) -> list[str]:
    """Return names as a list. A single text is one name."""
    return [given] if isinstance(given, str) else list(given)


def query_of(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a query. Raises Invalid if it is not a mapping, such as a text."""
    if given is not None and not _is_mapping(given):
        why = f"query: found {given!r}, expected a dictionary, such as {{'run': {{'>=': 20}}}}"
        raise Invalid("invalid", why, "query")
    return dict(given or {})


def word_of(kind: type[EnumWord], given: EnumWord | str, field: str) -> EnumWord:
    """Return a member of an enum. Raises Invalid, which names all members."""
    try:
        return kind(given)
    except ValueError:
        known = ", ".join(str(one.value) for one in kind)
        why = f"{field}: found {str(given)!r}, expected one of {known}"
        raise Invalid("invalid", why, field) from None


def file_at(given: Path | str) -> Path:
    """Return the path of a local file. Raises Invalid if there is none."""
    path = Path(given)
    if not path.is_file():
        why = "it is a folder" if path.is_dir() else "there is no such file"
        raise Invalid("invalid", f"{path}: {why}", "path")
    return path


def _is_mapping(given: object) -> bool:
    return isinstance(given, Mapping)
