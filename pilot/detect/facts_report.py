"""A report of the facts, for people and programs: value, source and notes of each capability."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from typing import Any, cast

from pilotage.proto.messages import Benchmark

from ..gpus import Gpus
from .facts import DetectedNode
from .finding import SourcedValue

NOT_KNOWN = "not known"


def every(facts: DetectedNode) -> Iterator[tuple[str, "SourcedValue[Any]"]]:
    """Yield each capability with its value."""
    for one in fields(facts):
        yield one.name, getattr(facts, one.name)


def as_plain(facts: DetectedNode) -> dict[str, Any]:
    """Return all facts in JSON types: capability → value, source, notes.

    An unknown value is null, and so is an unlimited time.
    """
    return {
        name: {
            "value": _plain(found.value) if found.known else None,
            "source": found.source,
            "notes": list(found.notes),
        }
        for name, found in every(facts)
    }


def as_json(facts: DetectedNode) -> str:
    """Return all facts as JSON text."""
    return json.dumps(as_plain(facts), indent=2, ensure_ascii=False)


def as_text(facts: DetectedNode) -> str:
    """Return a table of three columns, with the notes below each row."""
    rows = [
        (name, _worded(found.value) if found.known else NOT_KNOWN, found.source, found.notes)
        for name, found in every(facts)
    ]
    wide = max(len(name) for name, _, _, _ in rows)
    value_wide = min(36, max(len(value) for _, value, _, _ in rows))
    lines: list[str] = []
    for name, value, source, notes in rows:
        lines.append(f"{name:<{wide}}  {value:<{value_wide}}  {source}".rstrip())
        lines += [f"{'':<{wide}}    {note}" for note in notes]
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _worded(value: Any) -> str:
    if isinstance(value, Gpus):
        if not value.count:
            return "0"
        what = [value.model, f"{value.memory_mb} MB" if value.memory_mb else ""]
        what += [value.compute_capability, value.driver]
        return f"{value.count} x {', '.join(word for word in what if word)}"
    if isinstance(value, Benchmark):
        return f"{value.score:g} of the reference core"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "no end" if math.isinf(value) else f"{value:.0f}"
    if isinstance(value, tuple):
        return ", ".join(cast("tuple[str, ...]", value)) or "none"
    return str(value) or "none"
