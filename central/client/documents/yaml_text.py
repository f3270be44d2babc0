"""Values of YAML files. JSON is YAML too."""

from typing import Any, TypeGuard

import yaml

from pilotage.proto.decoding.strict_yaml import NotYaml, load_strictly

from ..errors import BadJobFile


def load(text: str, where: str) -> Any:
    """Return the values in `text`. Raises BadJobFile with the line of the mistake."""
    try:
        return load_strictly(text)
    except NotYaml as why:
        raise BadJobFile(where, why.line, "", why.why) from None


def load_as_written(text: str) -> Any:
    """Return the values with every scalar as its text. `text` must be valid."""
    return yaml.CBaseLoader(text).get_single_data()


def as_mapping(value: Any) -> dict[str, Any] | None:
    """Return the value if it is a mapping, else None."""
    return value if _is_mapping(value) else None


def as_list(value: Any) -> list[Any] | None:
    """Return the value if it is a list, else None."""
    return value if _is_list(value) else None


def _is_mapping(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
