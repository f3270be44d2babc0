"""Braces in texts of a workflow: `{name}` is replaced, `{{` and `}}` are plain braces. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_BRACE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ALONE: Final = re.compile(r"\{([^{}]+)\}")


class BadBraces(ValueError):
    """A brace that is neither part of a pair nor doubled."""


def names(text: str) -> list[str]:
    """Return the names in braces, in order. Raises BadBraces."""
    found: list[str] = []

    def see(match: re.Match[str]) -> str:
        if match[0] not in ("{{", "}}"):
            found.append(_name(match))
        return ""

    _BRACE.sub(see, text)
    return found


def alone(text: str) -> str:
    """Return the name of a text that is one pair of braces and nothing else; otherwise empty."""
    found = _ALONE.fullmatch(text)
    return found[1] if found else ""


def render(text: str, values: Mapping[str, Any]) -> str:
    """Return the text with values for names. Raises BadBraces, KeyError."""
    return _replaced(text, lambda name: as_text(values[name]), doubled=False)


def fill(text: str, values: Mapping[str, Any]) -> Any:
    """Return the text with the names in `values` replaced; other names and doubled braces stay.

    A text that is one name alone becomes the value itself. Raises BadBraces.
    """
    name = alone(text)
    if name in values:
        return values[name]

    def value(name: str) -> str:
        if name not in values:
            return "{" + name + "}"
        return as_text(values[name]).replace("{", "{{").replace("}", "}}")

    return _replaced(text, value, doubled=True)


def as_text(value: Any) -> str:
    """Return a value as text: true, 20, 0.5, gamma; a list becomes words with blanks."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return " ".join(as_text(one) for one in value)  # pyright: ignore[reportUnknownVariableType]
    return "" if value is None else str(value)


def _replaced(text: str, value: Callable[[str], str], *, doubled: bool) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0] if doubled else match[0][0]
        return value(_name(match))

    return _BRACE.sub(replace, text) if "{" in text or "}" in text else text


def _name(match: re.Match[str]) -> str:
    if not match[1]:
        raise BadBraces("braces without a name: write {{ and }} for plain braces")
    return match[1]
