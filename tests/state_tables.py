"""State machines as tables, as tests and pages look at them."""

import enum
from collections.abc import Mapping
from typing import TypeVar

S = TypeVar("S", bound=enum.Enum)
E = TypeVar("E", bound=enum.Enum)


def unreachable(table: Mapping[tuple[S, E], S], start: S) -> set[S]:
    """Return the states named in `table` that no path from `start` leads to."""
    seen = {start}
    grown = True
    while grown:
        grown = False
        for (old, _), new in table.items():
            if old in seen and new not in seen:
                seen.add(new)
                grown = True
    named = {old for old, _ in table} | set(table.values())
    return named - seen


def mermaid(table: Mapping[tuple[S, E], S], start: S, final: frozenset[S]) -> str:
    """Return the table as a Mermaid diagram; moves between the same two states share a line."""
    lines = ["stateDiagram-v2", f"    [*]-->{start.value}"]
    moves: dict[tuple[str, str], list[str]] = {}
    for (old, event), new in table.items():
        moves.setdefault((str(old.value), str(new.value)), []).append(str(event.value))
    for (old_name, new_name), events in moves.items():
        lines.append(f"    {old_name}-->{new_name}: {', '.join(events)}")
    lines.extend(f"    {state.value}-->[*]" for state in sorted(final, key=lambda s: str(s.value)))
    return "\n".join(lines) + "\n"
