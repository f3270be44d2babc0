"""PostgreSQL, through asyncpg. Optional: `pip install pilotage[postgresql]`."""

from .leaders import PostgresqlLeaders
from .store import PostgresqlStore, open_beside, open_postgresql

__all__ = ["PostgresqlLeaders", "PostgresqlStore", "open_beside", "open_postgresql"]
