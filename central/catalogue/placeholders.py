"""Braces in a job's data: parameters are filled in first, placeholders of attempts later. Pure.

The value of `{file}` and similar placeholders is known only when a payload has ended. Filling in
the parameters therefore keeps these placeholders, and escapes all other braces.
"""

import re
import string
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, cast

import msgspec

from pilotage.proto.documents.job import DataInput, DataOutput, DataValue, JobData

LATER: Final = frozenset({"job", "epoch", "file", "stem", "suffix"})
_formatter = string.Formatter()
_ONE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

PlaceholderValues = Mapping[str, str | int | float]


def texts(data: JobData, where: str) -> Iterator[tuple[str, str, bool]]:
    """Yield (field, text, whether later placeholders are allowed) for texts with parameters."""
    for i, one in enumerate(data.inputs):
        at = f"{where}.inputs[{i}]"
        yield f"{at}.did", one.did, False
        yield f"{at}.to", one.to, False
        for path, text in _in_query(one.query, f"{at}.query"):
            yield path, text, False
    for i, out in enumerate(data.outputs):
        at = f"{where}.outputs[{i}]"
        for name in ("pattern", "scope", "did"):
            yield f"{at}.{name}", getattr(out, name), False
        for name in ("name", "dataset"):
            yield f"{at}.{name}", getattr(out, name), True
        for key, value in out.metadata.items():
            if isinstance(value, str):
                yield f"{at}.metadata.{key}", value, True


def _in_query(value: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, one in cast(Mapping[str, object], value).items():
            yield from _in_query(one, f"{where}.{key}")
    elif isinstance(value, list):
        for i, one in enumerate(cast(list[object], value)):
            yield from _in_query(one, f"{where}[{i}]")


def fill(data: JobData, values: PlaceholderValues) -> JobData:
    """Return the data with its parameters filled in. Later placeholders stay."""

    def at_once(text: str) -> str:
        return text.format_map(values) if "{" in text or "}" in text else text

    return msgspec.structs.replace(
        data,
        inputs=tuple(_filled_input(one, values, at_once) for one in data.inputs),
        outputs=tuple(_filled_output(one, values, at_once) for one in data.outputs),
    )


def _filled_input(
    one: DataInput, values: PlaceholderValues, at_once: Callable[[str], str]
) -> DataInput:
    query = cast(dict[str, Any], _filled_query(one.query, values))
    return msgspec.structs.replace(one, did=at_once(one.did), to=at_once(one.to), query=query)


def _filled_output(
    one: DataOutput, values: PlaceholderValues, at_once: Callable[[str], str]
) -> DataOutput:
    return msgspec.structs.replace(
        one,
        pattern=at_once(one.pattern),
        scope=at_once(one.scope),
        did=at_once(one.did),
        name=_but_later(one.name, values),
        dataset=_but_later(one.dataset, values),
        metadata={key: _value(value, values) for key, value in one.metadata.items()},
    )


def _filled_query(value: object, values: PlaceholderValues) -> object:
    if isinstance(value, str):
        alone = _ONE.fullmatch(value)
        return values[alone[1]] if alone else value.format_map(values)
    if isinstance(value, Mapping):
        several = cast(Mapping[str, object], value)
        return {key: _filled_query(one, values) for key, one in several.items()}
    if isinstance(value, list):
        return [_filled_query(one, values) for one in cast(list[object], value)]
    return value


def _value(value: DataValue, values: PlaceholderValues) -> DataValue:
    if not isinstance(value, str):
        return value
    alone = _ONE.fullmatch(value)
    if alone and alone[1] not in LATER:
        found = values[alone[1]]
        return _plain(found) if isinstance(found, str) else found
    return _but_later(value, values)


def _but_later(text: str, values: PlaceholderValues) -> str:
    """Fill in parameters. The result is a template that has only later placeholders."""
    if "{" not in text and "}" not in text:
        return text
    parts: list[str] = []
    for literal, name, _, _ in _formatter.parse(text):
        parts.append(_plain(literal))
        if name is not None:
            parts.append(f"{{{name}}}" if name in LATER else _plain(str(values[name])))
    return "".join(parts)


def _plain(text: str) -> str:
    """Return a text with its braces escaped."""
    return text.replace("{", "{{").replace("}", "}}")


def wrong_braces(text: str) -> str:
    """Return what is wrong with the braces of a template, or an empty text."""
    try:
        names = [(name, spec, how) for _, name, spec, how in _formatter.parse(text)]
    except ValueError as why:
        return str(why)
    for name, spec, how in names:
        if name is not None and (spec or how or name not in LATER):
            known = ", ".join(sorted(f"{{{one}}}" for one in LATER))
            return f"unknown placeholder {{{name}}}: use {known}, or {{{{ and }}}} for braces"
    return ""


def later(job: int, epoch: int, file: str) -> dict[str, str]:
    """Return the values of the later placeholders for an output of an attempt."""
    last = PurePosixPath(file)
    return {
        "job": str(job),
        "epoch": str(epoch),
        "file": file,
        "stem": last.stem,
        "suffix": last.suffix,
    }


def finished(text: str, known: Mapping[str, str]) -> str:
    """Return a text with the later placeholders filled in."""
    return text.format_map(known) if "{" in text or "}" in text else text
