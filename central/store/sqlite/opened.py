"""One open file, as all parts of the store share it."""

from .reads import Reader
from .session import Session
from .writer import Writer


class Opened:
    """The writer, and the readers beside it."""

    def __init__(self, writer: Writer[Session], reader: Reader) -> None:
        self._writer, self._reader = writer, reader
