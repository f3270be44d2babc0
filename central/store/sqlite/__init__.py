"""The store on SQLite: one file, one writer, group commit."""

from .store import SqliteStore, open_sqlite

__all__ = ["SqliteStore", "open_sqlite"]
