"""The types of storages that a pilot knows."""

from .file_storage import FileStorage
from .http_storage import HttpStorage
from .storages import Storage


def storages() -> "dict[str, Storage]":
    """Return the driver of each type."""
    return {"file": FileStorage(), "http": HttpStorage()}
