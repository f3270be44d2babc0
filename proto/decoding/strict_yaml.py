"""A reader of YAML that refuses repeated keys, and the line of each value."""

from typing import Any, Final, cast

import yaml

from ..quantities import short_name
from .nesting import TOO_DEEP, is_deep_value

YamlPath = tuple[str | int, ...]

_BOOL: Final = "tag:yaml.org,2002:bool"
_FLOAT: Final = "tag:yaml.org,2002:float"
_INT: Final = "tag:yaml.org,2002:int"
_TEXT: Final = "tag:yaml.org,2002:str"


class _Loader(yaml.CSafeLoader):
    """The safe loader, except that it refuses repeated keys and reads no key as a boolean.

    YAML 1.1 reads the key `on` as true; our documents have no boolean keys.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} occurs twice", key.start_mark
                )
            seen.add(key.value)
            if key.tag == _BOOL:
                key.tag = _TEXT
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """Return a number, but keep 1:59 as text.

        YAML 1.1 reads it as 119, which no user means, and long ones take long to compute.
        """
        if ":" in node.value:
            return node.value
        if node.tag == _INT:
            return self.construct_yaml_int(node)
        return self.construct_yaml_float(node)


for _tag in (_INT, _FLOAT):
    _Loader.add_constructor(_tag, _Loader.construct_number)


class NotYaml(ValueError):
    """The text is not valid YAML; `line` counts from 1, None if unknown."""

    def __init__(self, line: int | None, why: str) -> None:
        super().__init__(why)
        self.line, self.why = line, why


def load_strictly(text: str) -> Any:
    """Return the values in `text`. Raises NotYaml."""
    try:
        if "&" in text:
            _refuse_anchors(text)
        found = _Loader(text).get_single_data()
    except NotYaml:
        raise
    except yaml.MarkedYAMLError as why:
        line = why.problem_mark.line + 1 if why.problem_mark else None
        raise NotYaml(line, _tab(text, why) or why.problem or "not YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError) as why:  # invalid dates and numbers
        raise NotYaml(None, f"not YAML: {why}") from None
    if is_deep_value(found):
        raise NotYaml(None, TOO_DEEP)
    return found


def _tab(text: str, why: yaml.MarkedYAMLError) -> str:
    """Return a message about a tab if the error is one, because editors show it as spaces."""
    mark = why.problem_mark
    lines = text.split("\n")
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    is_tab = mark is not None and line[mark.column : mark.column + 1] == "\t"
    if not is_tab and "tab character" not in (why.problem or ""):
        return ""
    return "found a tab: indent YAML with spaces"


def _refuse_anchors(text: str) -> None:
    """Raise NotYaml for anchors: a few lines with them can expand beyond memory, or without end."""
    event: Any
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            why = f"the anchor &{anchor}: anchors and aliases are not read, write the value out"
            raise NotYaml(cast(int, event.start_mark.line) + 1, why)


def line_of(text: str, place: YamlPath) -> int | None:
    """Return the line of the value at `place`, or of the nearest one around it."""
    node: Any = yaml.compose(text, Loader=yaml.CSafeLoader)
    line: int | None = None
    for step in place:
        found = _step(node, step)
        if found is None:
            if isinstance(step, int) or isinstance(node, yaml.SequenceNode):
                continue  # short forms: one mapping in place of a list of one
            break
        mark, node = found
        line = cast(int, mark.line) + 1
    if line is None and node is not None:
        line = cast(int, node.start_mark.line) + 1
    return line


def _step(node: Any, step: str | int) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for name in filter(None, (str(step), short_name(str(step)))):
            for key, value in node.value:
                if key.value == name:
                    return key.start_mark, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        value = node.value[step]
        return value.start_mark, value
    return None
