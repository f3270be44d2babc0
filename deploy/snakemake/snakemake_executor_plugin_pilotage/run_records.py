"""A file for each run of Snakemake in a folder, which shows whether the run left jobs behind."""

import fcntl
from collections.abc import Iterator
from pathlib import Path


class RunRecord:
    """The file of this run. It is locked as long as this process lives."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / name
        self._stream = self._file.open("w")
        fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def ended_runs(self) -> Iterator[str]:
        """Yield the names of ended runs that may have left jobs, and forget each one afterwards."""
        for file in sorted(self._file.parent.iterdir()):
            if file == self._file:
                continue
            try:
                with file.open() as stream:
                    fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:  # its process lives, or another one has just removed the file
                continue
            yield file.name
            file.unlink(missing_ok=True)

    def close(self, *, is_complete: bool) -> None:
        """End the record. It stays if some jobs may still be active."""
        if is_complete:
            self._file.unlink(missing_ok=True)
        self._stream.close()
