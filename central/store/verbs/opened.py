"""One open store, as all its parts share it."""

from collections.abc import Mapping
from typing import Any, Protocol

from .moments import Moments
from .session import Session
from .writer import Writer


class Reader(Protocol):
    """Connections beside the writer that only read, each taken for one statement at a time."""

    async def rows(self, statement: str, parameters: Mapping[str, object]) -> list[Any]: ...

    async def one(self, statement: str, parameters: Mapping[str, object]) -> Any:
        """Return the first row or None."""
        ...


class Opened:
    """The writer, the readers beside it, and which store it is."""

    def __init__(
        self, writer: Writer[Session], reader: Reader, moments: Moments, generation: str
    ) -> None:
        self._writer, self._reader, self._moments = writer, reader, moments
        self._generation = generation

    @property
    def generation(self) -> str:
        return self._generation
