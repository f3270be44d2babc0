"""Pages about Structs and dataclasses: each field with kind, default and the comment beside it."""

import ast
import inspect
import io
import json
import sys
import tokenize
from enum import Enum
from functools import cache
from types import ModuleType
from typing import Any

import msgspec
from msgspec import inspect as kinds

from . import notes as remarks


def table(struct: type, *, prefix: str = "") -> str:
    """Return the fields of `struct` as a Markdown table, their names behind `prefix`."""
    notes = comments(struct)
    rows = ["| name | kind | default | |", "|---|---|---|---|"]
    described = kinds.type_info(struct)
    assert isinstance(described, (kinds.StructType, kinds.DataclassType))
    for field in described.fields:
        kind, note = words(field.type), notes.get(field.name, "")
        rows.append(f"| `{prefix}{field.encode_name}` | {kind} | {_default(field)} | {note} |")
    return "\n".join(rows) + "\n"


def members(enum: type[Enum]) -> str:
    """Return the words of an enum as a Markdown table, with the comment beside each."""
    notes = remarks.beside(enum)
    rows = (f"| `{one.value}` | {notes.get(one.name, '')} |\n" for one in enum)
    return "| word | |\n|---|---|\n" + "".join(rows)


def link(body: Any) -> str:
    """Return a link to the description of `body`; its page is filled in where the link stands."""
    return f"[{body.__name__}](#{body.__name__.lower()})"


def description(struct: type) -> str:
    """Return the docstring without its indentation."""
    return inspect.cleandoc(struct.__doc__ or "")


def comments(struct: type) -> dict[str, str]:
    """Return the comment that stands beside each field in the source."""
    classes, beside = _read(sys.modules[struct.__module__])
    found: dict[str, str] = {}
    for node in classes[struct.__name__].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            texts = [beside[line] for line in lines if line in beside]
            found[node.target.id] = " ".join(texts)
    return found


@cache
def _read(module: ModuleType) -> tuple[dict[str, ast.ClassDef], dict[int, str]]:
    """Return the classes of a module by name, and its comments by line."""
    source = inspect.getsource(module)  # of a struct itself Python 3.13 finds none
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    comments = {
        token.start[0]: token.string.lstrip("# ").replace("|", "\\|")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return classes, comments


def words(kind: kinds.Type) -> str:
    """Say a type the way that a person who writes YAML would."""
    match kind:
        case kinds.StrType():
            return "text" + _lengths(kind.min_length, kind.max_length, "characters")
        case kinds.IntType():
            return "integer" + _range(kind.ge, kind.gt, kind.le)
        case kinds.FloatType():
            return "number" + _range(kind.ge, kind.gt, kind.le)
        case kinds.BoolType():
            return "true or false"
        case kinds.VarTupleType() | kinds.ListType() | kinds.SetType() | kinds.FrozenSetType():
            sizes = _lengths(kind.min_length, kind.max_length, "entries")
            return f"list of {words(kind.item_type)}{sizes}"
        case kinds.DictType():
            return f"mapping of {words(kind.key_type)} to {words(kind.value_type)}"
        case kinds.LiteralType():
            return "one of " + ", ".join(f"`{word}`" if word else "(empty)" for word in kind.values)
        case kinds.EnumType():
            return "one of " + ", ".join(f"`{member.value}`" for member in kind.cls)
        case kinds.StructType() | kinds.DataclassType():
            return link(kind.cls)
        case kinds.RawType():
            return "JSON"
        case kinds.UnionType():
            return " or ".join(words(part) for part in kind.types)
        case kinds.NoneType():
            return "nothing"
        case kinds.Metadata():
            return words(kind.type)
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def _lengths(least: int | None, most: int | None, what: str) -> str:
    if least and most is not None:
        return f", {least:,}–{most:,} {what}"
    if most is not None:
        return f", at most {most:,} {what}"
    return f", at least {least:,} {what}" if least else ""


def _range(least: float | None, above: float | None, most: float | None) -> str:
    low = (
        f"from {least:,}" if least is not None else f"above {above:,}" if above is not None else ""
    )
    high = f"to {most:,}" if most is not None else ""
    return (" " + " ".join(part for part in (low, high) if part)) if low or high else ""


def _default(field: kinds.Field) -> str:
    value: Any = field.default
    if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if field.required:
        return "**required**"
    if value is msgspec.NODEFAULT:  # what is not said is told apart from all values
        return ""
    plain = msgspec.to_builtins(value)
    if plain is None or plain == "":
        return ""
    return f"`{json.dumps(plain)}`"
