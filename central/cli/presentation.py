"""How results look: tables for people on a terminal, plain columns in a pipe, JSON for programs."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLOURS = {
    "Waiting": "yellow",
    "Matched": "cyan",
    "Running": "blue",
    "Completing": "blue",
    "Held": "magenta",
    "Done": "green",
    "Failed": "red",
    "Killed": "red",
    "Lost": "red",
    "Draining": "yellow",
}


def on_terminal() -> bool:
    """Say whether a person reads the standard output."""
    return sys.stdout.isatty()


def watched() -> bool:
    """Say whether progress can be shown: on standard error, for a person."""
    return sys.stderr.isatty()


def print_json(value: object) -> None:
    """Print one JSON document on a line of its own."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def print_line(text: str) -> None:
    """Print a line, or several, for people."""
    sys.stdout.write(clean(text) + "\n")
    sys.stdout.flush()  # what a job wrote goes out below this layer, and must not overtake it


def note(text: str) -> None:
    """Tell a person something that is not the result."""
    sys.stderr.write(f"pilotage: {clean(text)}\n")


def clean(text: str) -> str:
    """Return the text without control characters: names and reasons come from other people, and
    a terminal would obey them."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def console(*, stderr: bool = False) -> "Console":
    """Return a rich console."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    empty: str,
    empty_is_noted: bool = False,
) -> None:
    """Print rows under their columns; a column whose name ends in `#` is of numbers.

    Without rows a terminal shows `empty`. In a pipe nothing is printed, but standard error tells it
    if `empty_is_noted`.
    """
    cells = [[_text(value) for value in row] for row in rows]
    if not cells:
        if on_terminal():
            print_line(empty)
        elif empty_is_noted:
            note(empty)
        return
    if on_terminal():
        console().print(rich_table(columns, cells, ""))
        return
    lines = [[column.rstrip("#") for column in columns], *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    texts = (
        "  ".join(_padded(*one) for one in zip(line, widths, columns, strict=True)).rstrip()
        for line in lines
    )
    print_line("\n".join(texts))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    empty: str,
    empty_is_noted: bool = False,
) -> Callable[[object], None]:
    """Return the words of an answer that people see as a table, as `print_table` has it."""
    return lambda _: print_table(columns, rows, empty=empty, empty_is_noted=empty_is_noted)


def rich_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str) -> "Table":
    """Return a rich table; states have their colour."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        right = column.endswith("#")
        table.add_column(
            column.rstrip("#"), justify="right" if right else "left", overflow="ellipsis"
        )
    for row in rows:
        texts = [_text(value) for value in row]
        table.add_row(*(Text(text, style=COLOURS.get(text.split(" ")[0], "")) for text in texts))
    return table


def aligned(facts: Iterable[tuple[str, object]], width: int) -> str:
    """Return names and values in lines; each value begins after `width` letters and a space."""
    return "\n".join(f"{name:<{width}} {value}" for name, value in facts)


def number(value: int) -> str:
    """Return a number as people read it: 12 430."""
    return f"{value:,}".replace(",", " ")


def jobs_in_words(count: int) -> str:
    """Return `1 job` or `12 430 jobs`."""
    return "1 job" if count == 1 else f"{number(count)} jobs"


def files_in_words(count: int) -> str:
    """Return `1 file` or `12 430 files`."""
    return "1 file" if count == 1 else f"{number(count)} files"


def query_in_words(query: Mapping[str, Any]) -> str:
    """Return a query as it is typed: `particle=gamma run=1,5 zenith>=20 name~gam* good !bad`."""
    words: list[str] = []
    for key, said in query.items():
        tests = cast("Mapping[str, object]", said if isinstance(said, Mapping) else {"=": said})
        for op, value in tests.items():
            if op == "exists":
                words.append(key if value else f"!{key}")
            else:
                several = cast("list[object]", value if isinstance(value, list) else [value])
                words.append(key + _TYPED.get(op, op) + ",".join(map(_typed, several)))
    return " ".join(words)


_TYPED: Final[Mapping[str, str]] = {"in": "=", "not in": "!=", "like": "~"}


def _typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(value: object) -> str:
    if value is None:
        return ""
    named: Any = getattr(value, "value", value)  # of an enum
    return clean(str(named)).replace("\n", " ")


def _padded(text: str, width: int, column: str) -> str:
    return text.rjust(width) if column.endswith("#") else text.ljust(width)
