"""The rows of tokens, for tests that look at them or change them behind the issuer."""

from pathlib import Path
from typing import Final

from pilotage.central.identity import record as token_records
from pilotage.central.identity.record_types import TokenRow
from tests.memory_store import MemoryStore

DATA: Final = Path("data")
ALL: Final = 1_000_000


def rows(store: MemoryStore) -> dict[str, TokenRow]:
    """Return all tokens by their id, the newest first."""
    return {row.jti: row for row in token_records.tokens(store.session, None, limit=ALL)}
