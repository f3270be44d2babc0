"""The private PostgreSQL of `operate`, with an empty schema for each test."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from pilotage.central.operate.postgresql import Postgresql as Private
from pilotage.central.operate.postgresql import missing as missing

# Leaves what a store makes in a schema, and takes away all that it has kept there.
EMPTIED: Final = """
DO $$ DECLARE one text; BEGIN
    SET session_replication_role = replica;
    FOR one IN SELECT tablename FROM pg_tables
                WHERE schemaname = 'SCHEMA' AND tablename NOT IN ('migration', 'counter') LOOP
        EXECUTE format('DELETE FROM SCHEMA.%I', one);
    END LOOP;
    FOR one IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'SCHEMA' LOOP
        PERFORM setval(format('SCHEMA.%I', one), 1, false);
    END LOOP;
    IF to_regclass('SCHEMA.counter') IS NOT NULL THEN UPDATE SCHEMA.counter SET next = 1; END IF;
END $$"""


class Postgresql(Private):
    """One server; it can be stopped in each of its ways and started again on the same files."""

    def __init__(self) -> None:
        super().__init__()
        self._free: list[str] = []
        self._made = 0

    @contextmanager
    def empty_schema(self) -> Generator[str]:
        """Yield the URL of an empty store; its tables may be there from one before."""
        if self._free:
            schema = self._free.pop()
            self.sql(EMPTIED.replace("SCHEMA", schema))
        else:
            self._made += 1
            schema = f"store_{self._made}"
            self.sql(f"CREATE SCHEMA {schema}")
        try:
            yield self.url(schema=schema)
        finally:
            self._free.append(schema)


@contextmanager
def started(*settings: str) -> Generator[Postgresql]:
    server = Postgresql()
    try:
        server.start(*settings)
        yield server
    finally:
        server.close()
