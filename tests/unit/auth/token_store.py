"""The token part of the store, in memory."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pilotage.central.store.errors import StoreFull
from pilotage.central.store.protocol import FIRST_TOKENS
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

    async def token(self, jti: str) -> TokenRow | None:
        return self.rows.get(jti)

    async def tokens(
        self,
        community: str | None,
        subject: tuple[str, str] | None = None,
        *,
        before: tuple[float, str] = FIRST_TOKENS,
        limit: int,
    ) -> list[TokenRow]:
        found = [
            one
            for one in self.rows.values()
            if community in (None, one.community)
            and subject in (None, (one.issuer, one.subject))
            and (one.issued_at, one.jti) < before
        ]
        return sorted(found, key=lambda one: (one.issued_at, one.jti), reverse=True)[:limit]

    async def unexpired_tokens(self, issuer: str, subject: str, *, limit: int) -> int:
        now = self.clock.wall()
        ends = [
            one.expires_at
            for one in self.rows.values()
            if (one.issuer, one.subject) == (issuer, subject)
        ]
        return min(limit, sum(end > now for end in ends))

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
