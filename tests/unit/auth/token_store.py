"""The token part of the store, in memory."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pilotage.central.store.errors import StoreFull
from pilotage.central.store.records import TokenRow
from tests.fake_central import FakeClock

DATA = Path("data")


@dataclass
class FakeTokenStore:
    """Keeps rows as the real store does; says what is revoked by the clock that it was given."""

    clock: FakeClock
    full: bool = False
    rows: dict[str, TokenRow] = field(default_factory=dict[str, TokenRow])

    async def add_token(self, token: TokenRow) -> None:
        if self.full:
            raise StoreFull("the fake disk is full")
        self.rows[token.jti] = token

    async def revoke_token(self, jti: str, at: float) -> bool:
        row = self.rows.get(jti)
        if row is None or row.revoked_at is not None:
            return False
        self.rows[jti] = msgspec.structs.replace(row, revoked_at=at)
        return True

    async def tokens(self, community: str | None) -> list[TokenRow]:
        return [row for row in self.rows.values() if community in (None, row.community)]

    async def revoked(self) -> list[tuple[str, float]]:
        now = self.clock.wall()
        return [
            (row.jti, row.expires_at)
            for row in self.rows.values()
            if row.revoked_at is not None and row.expires_at > now
        ]

    async def revoked_mark(self) -> tuple[int, float]:
        moments = [self.rows[jti].revoked_at or 0.0 for jti, _ in await self.revoked()]
        return len(moments), sum(moments)
