"""The progress bar of a program or a notebook: tqdm if it is installed, else rich."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Literal

from ..submissions.submission_bodies import OnProgress


@contextmanager
def shown_progress(
    what: str, total: int, progress: OnProgress | Literal[True] | None
) -> Generator[OnProgress | None, None, None]:
    """Give the function that hears of progress; True means a bar, shown while the block runs."""
    if progress is not True:
        yield progress
    elif find_spec("tqdm") is not None:
        with import_module("tqdm.auto").tqdm(total=total, desc=what) as bar:
            yield lambda done: bar.update(done - bar.n)
    else:
        from rich.progress import Progress

        with Progress() as shown:
            task = shown.add_task(what, total=total)
            yield lambda done: shown.update(task, completed=done)
