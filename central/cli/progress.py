"""Progress bars on standard error."""

import sys
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
    with Progress(
        *columns,
        console=console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # results stay in their pipe
    ) as progress:
        task = progress.add_task(what, total=total)

        def move(done: int) -> None:
            progress.update(task, completed=done)

        yield move


@contextmanager
def byte_bar(what: str) -> Generator[Callable[[int, int], None] | None, None, None]:
    """Show a bar of bytes while the block runs, with speed and remaining time.

    Give a function that sets the bytes that are done, and all bytes; None without a terminal.
    """
    if not watched():
        yield None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # results stay in their pipe
    ) as progress:
        task = progress.add_task(what, total=None)

        def move(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield move
