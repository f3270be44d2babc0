"""Braces in what a job says of its data: parameters first, what only an attempt knows later. Pure.

`{file}` and its like are not known before a payload has ended. So where parameters are filled in,
these stay, and all else is written so that it means itself when they are filled in too.
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

Values = Mapping[str, str | int | float]


def texts(data: JobData, where: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the texts in which parameters may stand: where, the text, whether later names may."""
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


def fill(data: JobData, values: Values) -> JobData:
    """Return what parameters make of it; later names stay."""

    def at_once(text: str) -> str:
        return text.format_map(values) if "{" in text or "}" in text else text

    return msgspec.structs.replace(
        data,
        inputs=tuple(_filled_input(one, values, at_once) for one in data.inputs),
        outputs=tuple(_filled_output(one, values, at_once) for one in data.outputs),
    )


def _filled_input(one: DataInput, values: Values, at_once: Callable[[str], str]) -> DataInput:
    query = cast(dict[str, Any], _filled_query(one.query, values))
    return msgspec.structs.replace(one, did=at_once(one.did), to=at_once(one.to), query=query)


def _filled_output(one: DataOutput, values: Values, at_once: Callable[[str], str]) -> DataOutput:
    return msgspec.structs.replace(
        one,
        pattern=at_once(one.pattern),
        scope=at_once(one.scope),
        did=at_once(one.did),
        name=_but_later(one.name, values),
        dataset=_but_later(one.dataset, values),
        metadata={key: _value(value, values) for key, value in one.metadata.items()},
    )


def _filled_query(value: object, values: Values) -> object:
    if isinstance(value, str):
        alone = _ONE.fullmatch(value)
        return values[alone[1]] if alone else value.format_map(values)
    if isinstance(value, Mapping):
        several = cast(Mapping[str, object], value)
        return {key: _filled_query(one, values) for key, one in several.items()}
    if isinstance(value, list):
        return [_filled_query(one, values) for one in cast(list[object], value)]
    return value


def _value(value: DataValue, values: Values) -> DataValue:
    if not isinstance(value, str):
        return value
    alone = _ONE.fullmatch(value)
    if alone and alone[1] not in LATER:
        found = values[alone[1]]
        return _plain(found) if isinstance(found, str) else found
    return _but_later(value, values)


def _but_later(text: str, values: Values) -> str:
    """Fill in parameters; what comes out is a template of the later names alone."""
    if "{" not in text and "}" not in text:
        return text
    parts: list[str] = []
    for literal, name, _, _ in _formatter.parse(text):
        parts.append(_plain(literal))
        if name is not None:
            parts.append(f"{{{name}}}" if name in LATER else _plain(str(values[name])))
    return "".join(parts)


def _plain(text: str) -> str:
    """Return a text as it stands in a template."""
    return text.replace("{", "{{").replace("}", "}}")


def wrong_braces(text: str) -> str:
    """Say what is wrong with the braces of a text of later names; empty: nothing."""
    try:
        names = [(name, spec, how) for _, name, spec, how in _formatter.parse(text)]
    except ValueError as why:
        return str(why)
    for name, spec, how in names:
        if name is not None and (spec or how or name not in LATER):
            known = ", ".join(sorted(f"{{{one}}}" for one in LATER))
            return f"{{{name}}} is not known: there are {known}, and {{{{ and }}}} for braces"
    return ""


def later(job: int, epoch: int, file: str) -> dict[str, str]:
    """Return what is known of an output of an attempt."""
    last = PurePosixPath(file)
    return {
        "job": str(job),
        "epoch": str(epoch),
        "file": file,
        "stem": last.stem,
        "suffix": last.suffix,
    }


def finished(text: str, known: Mapping[str, str]) -> str:
    """Return a text with the later names in place."""
    return text.format_map(known) if "{" in text or "}" in text else text
