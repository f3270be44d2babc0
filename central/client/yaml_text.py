"""YAML (and JSON, which is YAML) as plain values, and the line on which each of them stands."""

from typing import Any, TypeGuard, cast

import yaml

from .errors import BadJobFile

Path = tuple[str | int, ...]


class _Loader(yaml.CSafeLoader):
    """The safe loader, but a key that comes twice is an error and not the last one's win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} comes twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load(text: str, where: str) -> Any:
    """Return the values in `text`, or raise BadJobFile with the line of the mistake."""
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as why:
        line = why.problem_mark.line + 1 if why.problem_mark else None
        raise BadJobFile(where, line, "", why.problem or "not YAML") from None
    except yaml.YAMLError as why:
        raise BadJobFile(where, None, "", f"not YAML: {why}") from None


def load_as_written(text: str) -> Any:
    """Return the same with every scalar as the text that stands there. `text` has been loaded."""
    return yaml.CBaseLoader(text).get_single_data()


def line_of(text: str, path: Path) -> int | None:
    """Return the line of the value at `path`, or of the nearest one around it."""
    node: Any = yaml.compose(text, Loader=yaml.CSafeLoader)
    line: int | None = None
    for step in path:
        found = _step(node, step)
        if found is None:
            if isinstance(step, int):
                continue  # one mapping where a list may stand
            break
        mark, node = found
        line = cast(int, mark.line) + 1
    if line is None and node is not None:
        line = cast(int, node.start_mark.line) + 1
    return line


def _step(node: Any, step: str | int) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        value = node.value[step]
        return value.start_mark, value
    return None


def as_mapping(value: Any) -> dict[str, Any] | None:
    """Return the value if it is a mapping."""
    return value if _is_mapping(value) else None


def as_list(value: Any) -> list[Any] | None:
    """Return the value if it is a list."""
    return value if _is_list(value) else None


def _is_mapping(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
