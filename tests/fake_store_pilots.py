"""The part of the store in memory that keeps pilots, their secrets, tokens, and levels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from pilotage.central.store.errors import BadSecret, PilotNotFound, StoreError, StoreFull
from pilotage.central.store.protocol import FIRST_TOKENS
from pilotage.central.store.records import (
    MARKS_MAX,
    Levels,
    NewSecret,
    PilotRow,
    Registration,
    TokenRow,
)
from pilotage.proto.pilot_states import FINAL, PilotState


@dataclass
class Secret:
    """A secret, and the nonce of the registration that used it."""

    new: NewSecret
    nonce: str | None = None


@dataclass
class PilotData:
    """What survives a restart."""

    secrets: dict[str, Secret] = field(default_factory=dict[str, Secret])
    pilots: dict[str, PilotRow] = field(default_factory=dict[str, PilotRow])
    tokens: dict[str, TokenRow] = field(default_factory=dict[str, TokenRow])
    levels: Levels | None = None


class FakePilots:
    """The verbs on pilots, tokens and levels, and what all writing verbs share."""

    def __init__(self, *, clock_wall: Callable[[], float] = lambda: 0.0) -> None:
        self.full = False
        self._pilot_data = PilotData()
        self._clock_wall = clock_wall

    async def synced(self) -> None:
        """Stand for the sync to disk; a hook for tests."""

    def begin_write(self) -> None:
        if self.full:
            raise StoreFull("the test says so")

    # -- pilots ---------------------------------------------------------------------------------

    async def add_secrets(self, secrets: Sequence[NewSecret]) -> None:
        self.begin_write()
        names = [new.pilot for new in secrets]
        hashes = [new.secret_hash for new in secrets]
        if len({*names}) < len(names) or len({*hashes}) < len(hashes):
            raise StoreError("a pilot or a secret comes twice")
        if self._pilot_data.pilots.keys() & {*names} or self._pilot_data.secrets.keys() & {*hashes}:
            raise StoreError("a pilot or a secret is known already")
        for new in secrets:
            self._pilot_data.secrets[new.secret_hash] = Secret(new)
            self._pilot_data.pilots[new.pilot] = PilotRow(
                pilot=new.pilot,
                community=new.community,
                site=new.site,
                element=new.element,
                state=PilotState.SUBMITTED,
                session=0,
                nonce="",
                renewal_hash="",
                host="",
                node=b"",
                made_at=new.at,
                registered_at=None,
                ended_at=None,
                reason="",
            )
        await self.synced()

    async def register(self, registration: Registration) -> PilotRow:
        self.begin_write()
        secret = self._pilot_data.secrets.get(registration.secret_hash)
        if secret is None:
            raise BadSecret
        row = self._pilot_data.pilots[secret.new.pilot]
        if secret.nonce != registration.nonce:
            row = self._first_time(registration, secret, row)
            self._pilot_data.pilots[row.pilot] = row
        await self.synced()
        return row

    def _first_time(self, registration: Registration, secret: Secret, row: PilotRow) -> PilotRow:
        if secret.nonce is not None or secret.new.expires_at <= registration.at:
            raise BadSecret
        if row.state not in (PilotState.SUBMITTED, PilotState.WAITING):
            raise BadSecret
        secret.nonce = registration.nonce
        return msgspec.structs.replace(
            row,
            state=PilotState.RUNNING,
            session=1,
            nonce=registration.nonce,
            renewal_hash=registration.renewal_hash,
            host=registration.host,
            node=registration.node,
            registered_at=registration.at,
            renewals=registration.renewals,
        )

    async def hello(self, pilot: str, nonce: str, session: int = 0) -> PilotRow:
        self.begin_write()
        row = self._pilot_data.pilots.get(pilot)
        if row is None or row.session == 0:
            raise PilotNotFound(pilot)
        number = session or row.session + 1
        if row.nonce != nonce and number > row.session:
            row = msgspec.structs.replace(row, session=number, nonce=nonce)
            self._pilot_data.pilots[pilot] = row
        await self.synced()
        return row

    async def rotate_secret(self, pilot: str, number: int, mark: str) -> PilotRow:
        self.begin_write()
        row = self._pilot_data.pilots.get(pilot)
        if row is None:
            raise PilotNotFound(pilot)
        if row.renewals == number:
            used = (mark, *row.used)[:MARKS_MAX]
            row = msgspec.structs.replace(row, renewals=number + 1, used=used)
            self._pilot_data.pilots[pilot] = row
        await self.synced()
        return row

    async def pilot(self, pilot: str) -> PilotRow | None:
        return self._pilot_data.pilots.get(pilot)

    async def pilots(
        self,
        community: str | None,
        *,
        states: Sequence[PilotState],
        after: str,
        limit: int,
        site: str = "",
    ) -> list[PilotRow]:
        found = [
            row
            for _, row in sorted(self._pilot_data.pilots.items())
            if row.pilot > after
            and community in (None, row.community)
            and (not states or row.state in states)
            and site in ("", row.site)
        ]
        return found[:limit]

    async def move_pilot(
        self, pilot: str, old: PilotState, new: PilotState, at: float, reason: str
    ) -> bool:
        self.begin_write()
        row = self._pilot_data.pilots.get(pilot)
        won = row is not None and row.state is old
        if row is not None and won:
            ended_at = at if new in FINAL else None
            self._pilot_data.pilots[pilot] = msgspec.structs.replace(
                row,
                state=new,
                ended_at=ended_at,
                reason=reason,
                drain=row.drain or new is PilotState.DRAINING,
            )
        await self.synced()
        return won

    async def order_pilot(self, pilot: str, told: str = "") -> None:
        self.begin_write()
        row = self._pilot_data.pilots.get(pilot)
        if row is not None:
            ordered = msgspec.structs.replace(row, drain=True, told=told or row.told)
            self._pilot_data.pilots[pilot] = ordered
        await self.synced()

    # -- tokens ---------------------------------------------------------------------------------

    async def add_token(self, token: TokenRow) -> None:
        self.begin_write()
        if token.jti in self._pilot_data.tokens:
            raise StoreError(f"token {token.jti} is known already")
        self._pilot_data.tokens[token.jti] = token
        await self.synced()

    async def revoke_token(self, jti: str, at: float) -> bool:
        self.begin_write()
        token = self._pilot_data.tokens.get(jti)
        won = token is not None and token.revoked_at is None
        if token is not None and won:
            self._pilot_data.tokens[jti] = msgspec.structs.replace(token, revoked_at=at)
        await self.synced()
        return won

    async def token(self, jti: str) -> TokenRow | None:
        return self._pilot_data.tokens.get(jti)

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
            for one in self._pilot_data.tokens.values()
            if community in (None, one.community)
            and subject in (None, (one.issuer, one.subject))
            and (one.issued_at, one.jti) < before
        ]
        return sorted(found, key=lambda one: (one.issued_at, one.jti), reverse=True)[:limit]

    async def unexpired_tokens(self, issuer: str, subject: str, *, limit: int) -> int:
        now = self._clock_wall()
        ends = [
            one.expires_at
            for one in self._pilot_data.tokens.values()
            if (one.issuer, one.subject) == (issuer, subject)
        ]
        return min(limit, sum(end > now for end in ends))

    async def token_groups(self) -> list[tuple[str, str]]:
        rows = self._pilot_data.tokens.values()
        return sorted({(one.community, group) for one in rows for group in (*one.groups, "")})

    async def prune_tokens(self, before: float, *, limit: int) -> int:
        self.begin_write()
        tokens = self._pilot_data.tokens
        old = sorted((one.expires_at, one.jti) for one in tokens.values())
        gone = [jti for end, jti in old if end < before][:limit]
        for jti in gone:
            del tokens[jti]
        await self.synced()
        return len(gone)

    async def revoked(self) -> list[tuple[str, float]]:
        now = self._clock_wall()
        found = [
            (one.jti, one.expires_at)
            for one in self._pilot_data.tokens.values()
            if one.revoked_at is not None and one.expires_at > now
        ]
        return sorted(found, key=lambda pair: (pair[1], pair[0]))

    async def revoked_mark(self) -> tuple[int, float]:
        rows = self._pilot_data.tokens
        moments = [rows[jti].revoked_at or 0.0 for jti, _ in await self.revoked()]
        return len(moments), sum(moments)

    # -- levels ---------------------------------------------------------------------------------

    async def keep_levels(self, levels: Levels) -> None:
        self.begin_write()
        self._pilot_data.levels = levels
        await self.synced()

    async def levels(self) -> Levels | None:
        return self._pilot_data.levels
