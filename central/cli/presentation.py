"""Output: tables on a terminal, plain columns in a pipe, JSON for programs."""

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


_CUT_TO: Final = 7  # letters: most states stay whole


def on_terminal() -> bool:
    """Return whether the standard output is a terminal."""
    return sys.stdout.isatty()


def watched() -> bool:
    """Return whether progress can be shown: whether the standard error is a terminal."""
    return sys.stderr.isatty()


def print_json(value: object) -> None:
    """Print a JSON document on one line."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def print_line(text: str) -> None:
    """Print one or more lines for people."""
    sys.stdout.write(clean(text) + "\n")
    sys.stdout.flush()  # the output of jobs is written to the buffer below, and must stay behind


def note(text: str) -> None:
    """Print a remark on standard error. It is not part of the result."""
    sys.stderr.write(f"pilotage: {clean(text)}\n")


def clean(text: str) -> str:
    """Return the text without control characters.

    Names and reasons come from other people, and a terminal would execute their control sequences.
    """
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
) -> None:
    """Print rows under their columns. A column of numbers has a name that ends in `#`.

    Without rows a terminal shows `empty`. In a pipe it goes to standard error, so that a program
    reads nothing and a person can tell "none" from "no answer". It is empty if the caller says it.
    """
    cells = [[_text(value) for value in row] for row in rows]
    if not cells:
        if empty:
            (print_line if on_terminal() else note)(empty)
        return
    if on_terminal():
        screen = console()
        fitted = fit(columns, cells, screen.width)
        kept = columns[: len(fitted[0])]
        screen.print(rich_table(kept, fitted, "", no_wrap=True))
        if len(kept) < len(columns):
            left = ", ".join(column.rstrip("#") for column in columns[len(kept) :])
            note(f"the terminal is too narrow for: {left}")
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
) -> Callable[[object], None]:
    """Return the words of a `CommandResult` that prints a table, as `print_table` does."""
    return lambda _: print_table(columns, rows, empty=empty)


def fit(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Return the rows for a terminal of this width, each in one line.

    The longest texts are cut, but not numbers and the first column. If this is not enough, the last
    columns are left out: the rows are shorter then.
    """
    widths = [
        max(len(column.rstrip("#")), *(len(row[i]) for row in rows))
        for i, column in enumerate(columns)
    ]
    least = [
        size if column.endswith("#") or not i else min(size, max(_CUT_TO, len(column)))
        for i, (size, column) in enumerate(zip(widths, columns, strict=True))
    ]
    while len(least) > 1 and sum(least) + 2 * len(least) > width:
        del least[-1], widths[-1]
    while sum(widths) + 2 * len(widths) > width:
        able = [i for i, size in enumerate(widths) if size > least[i]]
        if not able:
            break
        widths[max(able, key=widths.__getitem__)] -= 1
    return [
        [
            text if len(text) <= size else text[: size - 1] + "…"
            for text, size in zip(row, widths, strict=False)
        ]
        for row in rows
    ]


def rich_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str,
    *,
    no_wrap: bool = False,
) -> "Table":
    """Return a rich table with coloured states."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        collapse_padding=no_wrap,
    )
    for column in columns:
        right = column.endswith("#")
        table.add_column(
            column.rstrip("#"),
            justify="right" if right else "left",
            overflow="ellipsis",
            no_wrap=no_wrap,
        )
    for row in rows:
        texts = [_text(value) for value in row]
        table.add_row(*(Text(text, style=COLOURS.get(text.split(" ")[0], "")) for text in texts))
    return table


def aligned(facts: Iterable[tuple[str, object]], width: int) -> str:
    """Return names and values in lines. Names are padded to `width` letters."""
    return "\n".join(f"{name:<{width}} {value}" for name, value in facts)


def number(value: int) -> str:
    """Return a number with spaces between the thousands: 12 430."""
    return f"{value:,}".replace(",", " ")


def jobs_in_words(count: int) -> str:
    """Return `1 job` or `12 430 jobs`."""
    return "1 job" if count == 1 else f"{number(count)} jobs"


def cores_in_words(count: int) -> str:
    """Return `1 core` or `16 cores`."""
    return "1 core" if count == 1 else f"{number(count)} cores"


def files_in_words(count: int) -> str:
    """Return `1 file` or `12 430 files`."""
    return "1 file" if count == 1 else f"{number(count)} files"


def query_in_words(query: Mapping[str, Any]) -> str:
    """Return a query as people type it: `run=1,5 zenith>=20 name~gam* good !bad`."""
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
    named: Any = getattr(value, "value", value)  # the word of an enum member
    return clean(str(named)).replace("\n", " ")


def _padded(text: str, width: int, column: str) -> str:
    return text.rjust(width) if column.endswith("#") else text.ljust(width)
