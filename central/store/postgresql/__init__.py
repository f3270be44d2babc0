"""PostgreSQL, over asyncpg: optional, `pip install pilotage[postgresql]`."""

from .store import PostgresqlStore, open_beside, open_postgresql

__all__ = ["PostgresqlStore", "open_beside", "open_postgresql"]
