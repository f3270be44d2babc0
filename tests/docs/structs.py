"""Pages about Structs and dataclasses: each field with kind, default and the comment beside it."""

import ast
import inspect
import io
import json
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect as kinds

from . import notes as remarks

KEY: Final = (
    "Bold keys are required. `key=5` shows a default; other keys are empty or 0. A key without a"
    " type is text or a number, or as its default."
)
_BOUND_MAX: Final = 100  # a page leaves out bounds that only refuse nonsense
_CHOICES_MAX: Final = 12
_STATES_MAX: Final = 4  # those with more have a page of their own


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


def lines(entries: Iterable[str]) -> str:
    """Return entries below each other, one paragraph with line breaks."""
    return "\\\n".join(entries) + "\n"


def signature(struct: type) -> str:
    """Return all fields of `struct` as a program would write them, and links to what they hold."""
    fields = described(struct)
    named = ",".join(_written(one) for one in fields)
    held = dict.fromkeys(link for one in fields for link in links(one))
    return f"`{{{named}}}`{' with ' if held else ''}{', '.join(held)}"


def _written(field: Field) -> str:
    default = "" if links(field) else field.default.replace('"', "")
    optional = "" if field.required else f"?={default}" if default else "?"
    return f"{field.name}{optional}{choices(field, ':')}"


def choices(field: Field, sign: str) -> str:
    """Return the words that a field may hold behind `sign`, if they are few."""
    words = re.findall(r"`([\w ]+)`", field.kind.removeprefix("list of "))
    is_few = 1 < len(words) <= (_STATES_MAX if words[0].istitle() else _CHOICES_MAX)
    return sign + "|".join(words) if is_few and field.kind[0] in "`l" else ""


def noted(struct: type) -> str:
    """Return a line for each field that needs a note."""
    return lines(f"`{one.name}`: {one.note}" for one in described(struct) if one.note)


def _laid_out(every: list[Field], short: Callable[[Field], str]) -> str:
    plain = ", ".join(short(one) for one in every if not one.note)
    noted = lines(f"{short(one)}: {one.note}" for one in every if one.note)
    return "\n\n".join(part for part in (plain, noted.strip("\n")) if part) + "\n"


def links(field: Field) -> list[str]:
    """Return links to the structs that a field holds."""
    return re.findall(r"\[\w+\]\(\S+\)", field.kind)


def _named(field: Field, prefix: str) -> str:
    """Return the name of a field with its default and its type."""
    kind = field.kind
    if field.default:  # which says by itself what it is
        kind = re.sub(r"^(integer|number|boolean|list|mapping)(?!.* (to|or|of) )\b ?", "", kind)
    kind = re.sub(r"^(text|integer|number)( |$)", "", kind)
    said = f" ({kind})" if kind else ""
    return f"{with_default(field, prefix)}{said}"


def with_default(field: Field, prefix: str = "") -> str:
    """Return the name of a field and its default, in bold if it is required."""
    if field.required:
        return f"**`{prefix}{field.name}`**"
    return f"`{prefix}{field.name}{f'={field.default}' if field.default else ''}`"


def members(enum: type[Enum]) -> str:
    """Return the words of an enum as a Markdown list, with the comment beside each."""
    notes = remarks.beside(enum)
    plain = ", ".join(f"`{one.value}`" for one in enum if one.name not in notes)
    noted = lines(f"`{one.value}`: {notes[one.name]}" for one in enum if one.name in notes)
    return "\n\n".join(part for part in (plain, noted.strip("\n")) if part) + "\n"


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
    for base in struct.__bases__:
        if hasattr(base, "__struct_fields__") and base.__module__.startswith("pilotage."):
            found.update(comments(base))
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
            return "text"
        case kinds.IntType():
            return "integer" + _range(kind.ge, kind.le)
        case kinds.FloatType():
            return "number" + _range(kind.ge, kind.le)
        case kinds.BoolType():
            return "boolean"
        case kinds.VarTupleType() | kinds.ListType() | kinds.SetType() | kinds.FrozenSetType():
            item = _inner(kind.item_type)
            return f"list of {item}" if item else "list"
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


def _range(least: float | None, most: float | None) -> str:
    return f" {least or 0:,}–{most:,}" if most is not None and most <= _BOUND_MAX else ""


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
    return json.dumps(plain, separators=(",", ":"))
