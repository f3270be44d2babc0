"""Progress bars on standard error."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from .presentation import console, watched


@contextmanager
def bar(
    what: str, total: int, *, shown: bool = True
) -> Generator[Callable[[int], None] | None, None, None]:
    """Show a bar while the block runs.

    Give a function that sets its position; None if no bar is shown, as without a terminal.
    """
    if not shown or not watched():
        yield None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)

        def move(done: int) -> None:
            progress.update(task, completed=done)

        yield move
