"""Pages about Structs and dataclasses: each field with kind, default and the comment beside it."""

import ast
import inspect
import io
import json
import re
import sys
import tokenize
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect as kinds

from . import notes as remarks

KEY: Final = (
    "Keys in bold are required; `key: 5` shows a default, and all other keys are empty or 0. Keys"
    " with a clear name come first, the others in a list. A key without a type is text, or as its"
    " default. “≤64” means at most 64 characters or entries."
)
_NO_BOUND: Final = 31_536_000  # a year: a page leaves out bounds that only refuse nonsense


class Field(NamedTuple):
    """A field as a page shows it."""

    name: str
    kind: str
    default: str
    note: str
    required: bool


def described(struct: type) -> list[Field]:
    """Return the fields of `struct`, in its order."""
    notes, info = comments(struct), kinds.type_info(struct)
    assert isinstance(info, (kinds.StructType, kinds.DataclassType))
    return [
        Field(
            one.encode_name,
            words(one.type),
            _default(one),
            notes.get(one.name, ""),
            one.required,
        )
        for one in info.fields
    ]


def fields(
    struct: type, *, prefix: str = "", written: Mapping[str, Field] = MappingProxyType({})
) -> str:
    """Return the fields of `struct` in Markdown, their names behind `prefix`.

    `written` has those that a file writes in another way than the struct holds them.
    """
    every = [written.get(one.name, one) for one in described(struct)]
    return _laid_out(every, lambda one: _named(one, prefix))


def compact(struct: type, short: Callable[[Field], str]) -> str:
    """Return the fields that need no note in one paragraph, and below it a list of the others."""
    return _laid_out(described(struct), short)


def _laid_out(every: list[Field], short: Callable[[Field], str]) -> str:
    plain = ", ".join(short(one) for one in every if not one.note)
    noted = "\n".join(f"- {short(one)}: {one.note}" for one in every if one.note)
    return "\n\n".join(part for part in (plain, noted) if part) + "\n"


def links(field: Field) -> str:
    """Return links to the structs that a field holds."""
    return ", ".join(re.findall(r"\[\w+\]\(\S+\)", field.kind))


def _named(field: Field, prefix: str) -> str:
    """Return the name of a field with its default and its type."""
    kind = field.kind
    if field.default:  # which says by itself what it is
        kind = re.sub(r"^(integer|number|boolean|list|mapping)(?!.* (to|or|of) )\b ?", "", kind)
    said = f" ({kind})" if kind and kind != "text" else ""
    return f"{with_default(field, prefix)}{said}"


def with_default(field: Field, prefix: str = "") -> str:
    """Return the name of a field and its default as a file has them; in bold without any."""
    if field.required:
        return f"**`{prefix}{field.name}`**"
    return f"`{prefix}{field.name}{f': {field.default}' if field.default else ''}`"


def members(enum: type[Enum]) -> str:
    """Return the words of an enum as a Markdown list, with the comment beside each."""
    notes = remarks.beside(enum)
    plain = ", ".join(f"`{one.value}`" for one in enum if one.name not in notes)
    noted = "\n".join(f"- `{one.value}`: {notes[one.name]}" for one in enum if one.name in notes)
    return "\n\n".join(part for part in (plain, noted) if part) + "\n"


def link(body: Any) -> str:
    """Return a link to the description of `body`; its page is filled in where the link stands."""
    return f"[{body.__name__}](#{body.__name__.lower()})"


def description(struct: type) -> str:
    """Return the docstring without its indentation."""
    return inspect.cleandoc(struct.__doc__ or "")


def comments(struct: type) -> dict[str, str]:
    """Return the comment beside each field in the source, or else the `#:` above it."""
    classes, noted = _read(sys.modules[struct.__module__])
    found: dict[str, str] = {}
    for node in classes[struct.__name__].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            texts = [noted[line] for line in lines if line in noted]
            found[node.target.id] = " ".join(texts or _above(noted, node.lineno))
    return found


def _above(noted: Mapping[int, str], line: int) -> list[str]:
    texts: list[str] = []
    while noted.get(line - 1, "").startswith(": "):
        line -= 1
        texts.insert(0, noted[line].removeprefix(": "))
    return texts


@cache
def _read(module: ModuleType) -> tuple[dict[str, ast.ClassDef], dict[int, str]]:
    """Return the classes of a module by name, and its comments by line."""
    source = inspect.getsource(module)  # of a struct itself Python 3.13 finds none
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return classes, comments


def words(kind: kinds.Type) -> str:
    """Say a type the way that a person who writes YAML would."""
    match kind:
        case kinds.StrType():
            return "text" + _sizes(kind.min_length, kind.max_length)
        case kinds.IntType():
            return "integer" + _range(kind.ge, kind.gt, kind.le)
        case kinds.FloatType():
            return "number" + _range(kind.ge, kind.gt, kind.le)
        case kinds.BoolType():
            return "boolean"
        case kinds.VarTupleType() | kinds.ListType() | kinds.SetType() | kinds.FrozenSetType():
            sizes = _sizes(kind.min_length, kind.max_length)
            item = _inner(kind.item_type)
            return f"list{sizes} of {item}" if item else f"list{sizes}"
        case kinds.DictType():
            value = _inner(kind.value_type)
            return f"mapping to {value}" if value else "mapping"
        case kinds.LiteralType():
            return _either([f"`{word}`" for word in kind.values if word])
        case kinds.EnumType():
            return _either([f"`{member.value}`" for member in kind.cls])
        case kinds.StructType() | kinds.DataclassType():
            return link(kind.cls)
        case kinds.RawType():
            return "JSON"
        case kinds.UnionType():
            return _union(kind)
        case kinds.Metadata():
            return words(kind.type)
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def _inner(kind: kinds.Type) -> str:
    """Say what a list or mapping holds, empty if that is text, or anything."""
    said = words(kind)
    return "" if said == "any" or said.startswith("text") and " or " not in said else said


def _union(kind: kinds.UnionType) -> str:
    """Say the alternatives of a field. That it may have none is said by its default."""
    parts = [words(one) for one in kind.types if not isinstance(one, kinds.NoneType)]
    if {"text", "integer", "number", "boolean"} <= set(parts):
        return "value"
    return " or ".join(parts)


def _either(values: list[str]) -> str:
    return " or ".join(part for part in (", ".join(values[:-1]), values[-1]) if part)


def _sizes(least: int | None, most: int | None) -> str:
    if least and most is not None:
        return f" {least:,}–{most:,}"
    if most is not None:
        return f" ≤{most:,}"
    return f" ≥{least:,}" if least else ""


def _range(least: float | None, above: float | None, most: float | None) -> str:
    if most is not None and most >= _NO_BOUND:
        most = None
    if above is not None:
        return f" >{above:,}" + (f", ≤{most:,}" if most is not None else "")
    if least is None:
        return f" ≤{most:,}" if most is not None else ""
    return f" {least:,}–{most:,}" if most is not None else f" ≥{least:,}" if least else ""


def _default(field: kinds.Field) -> str:
    """Return the default in JSON, empty if it is empty too."""
    value: Any = field.default
    if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:
        return ""
    if isinstance(value, msgspec.Struct):  # its own section has its defaults
        return ""
    plain = msgspec.to_builtins(value)
    if not plain or isinstance(plain, dict) and not any(plain.values()):
        return ""
    return json.dumps(plain)
