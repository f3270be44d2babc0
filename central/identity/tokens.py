"""Tokens: made, listed, revoked and read. The local issuer of a central."""

from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc import jws

from pilotage.proto.api import jobs
from pilotage.proto.claims import WLCG_VERSION, Claims, Role, TokenKind
from pilotage.proto.problems import Code

from ..errors import Refused
from ..observe.times import shown
from ..ports import Clock, Disk, Randomness
from ..store.engine import Store
from . import derived_secrets, keys, record as token_records
from .callers import Caller, User
from .derived_secrets import DerivedSecrets
from .errors import TokenNotFound
from .issuance import TokenGrant, grant
from .keys import SigningKeys
from .policy import Permission, Reach, covers, require
from .record import FIRST_TOKENS
from .record_types import TokenRow
from .verification import ALGORITHM, CACHE_MAX, Verifier

ADMIN_FILE: Final = "admin.token"
ADMIN_VALID_S: Final = 366 * 86_400.0
UNEXPIRED_MAX: Final = 10_000  # tokens of one subject: each is a row, and known until its end
CENTRAL: Final = "central"  # who issued the first token


class TokenIssuer:
    """The issuer. `open_tokens` makes one from a data directory."""

    def __init__(
        self,
        *,
        signing: SigningKeys,
        derived: DerivedSecrets,
        store: Store,
        clock: Clock,
        randomness: Randomness,
        issuer: str,
        audience: str,
        pilot_valid_s: float = 3_600.0,
        cache_max: int = CACHE_MAX,
    ) -> None:
        self._signing, self._derived, self._store = signing, derived, store
        self._clock, self._randomness = clock, randomness
        self._issuer, self._audience = issuer, audience
        self._pilot_valid_s = pilot_valid_s
        self._revoked_mark = (0, 0.0)
        self._verifier = Verifier(
            keys=signing,
            derived=derived,
            clock=clock,
            issuer=issuer,
            audience=audience,
            cache_max=cache_max,
        )

    # -- read -----------------------------------------------------------------------------------

    def caller(self, bearer: str) -> Caller:
        """Return whom the token speaks for. Raises BadToken, ExpiredToken (both Refused)."""
        return self._verifier.caller(bearer)

    @property
    def known(self) -> int:
        """How many tokens are in memory: for checks."""
        return self._verifier.known

    def jwks(self) -> dict[str, Any]:
        """Return the public keys that verify our tokens (RFC 7517)."""
        return self._signing.jwks()

    def whoami(self, caller: User) -> jobs.WhoAmI:
        """Return what the caller's token says of them."""
        return jobs.WhoAmI(
            subject=caller.subject,
            issuer=caller.issuer,
            name=caller.name,
            community=caller.community,
            groups=caller.groups,
            role=caller.role,
            expires_in_s=caller.expires_at - self._clock.wall(),
        )

    async def load_revoked(self) -> None:
        """Read from the store which tokens are revoked, if others are than at the last look."""
        now = self._clock.wall()
        mark = await self._store.read(token_records.revoked_mark, now)
        if mark == self._revoked_mark:
            return
        for jti, expires_at in await self._store.read(token_records.revoked, now):
            self._verifier.revoke(jti, expires_at)
        self._revoked_mark = mark

    # -- make -----------------------------------------------------------------------------------

    async def issue(self, caller: User, r: jobs.TokenIssue) -> jobs.TokenIssued:
        """Make a token for a person; its row is durable before it is shown. Raises Refused."""
        granted = grant(caller, r, issuer=self._issuer, now=self._clock.wall())
        await self._check_room(granted.subject)
        return await self._issue(granted, issued_by=caller.subject)

    def pilot_token(self, pilot: str, community: str, site: str, element: str) -> tuple[str, float]:
        """Return a pilot's token and for how many seconds it is good."""
        claims = self._claims(pilot, self._clock.wall() + self._pilot_valid_s)
        pilots = msgspec.structs.replace(
            claims, kind=TokenKind.PILOT, community=community, site=site, element=element
        )
        token = self._sign(pilots)
        self._verifier.made(token, pilots)
        return token, self._pilot_valid_s

    def forget(self, pilot: str) -> None:
        """A pilot has ended: keep no memory of its token."""
        self._verifier.forget(pilot)

    def attempt_token(
        self, job: int, epoch: int, attempt_id: int, community: str, valid_s: float
    ) -> str:
        """Return an attempt's token, for blobs and logs and nothing else."""
        return self._derived.make(job, epoch, attempt_id, community, self._clock.wall() + valid_s)

    def broker_password(self, community: str, pilot: str) -> str:
        """Return a pilot's password on the bus: the same one after every restart."""
        return self._derived.broker_password(community, pilot)

    def renewal_secret(self, secret: str, nonce: str) -> str:
        """Return the one renewal secret of a pilot that registers with protocol 1.0."""
        return self._derived.renewal_secret(secret, nonce)

    def numbered_secret(self, pilot: str, number: int) -> str:
        """Return a pilot's renewal secret number `number`, from 1."""
        return self._derived.numbered_secret(pilot, number)

    def secret_number(self, pilot: str, secret: str) -> int | None:
        """Return which renewal secret of this pilot this is; None if it is none of them."""
        return self._derived.secret_number(pilot, secret)

    async def write_admin_token(
        self, path: Path, *, disk: Disk, community: str = "", groups: tuple[str, ...] = ()
    ) -> None:
        """Write the first admin token (0600), or a new one where the file's is no longer good."""
        found = disk.read(path)
        if found is not None and self._is_good(found.decode(errors="replace").strip()):
            return
        granted = TokenGrant(
            subject="admin",
            name="local administrator",
            community=community,
            groups=groups,
            role=Role.ADMIN,
            expires_at=self._clock.wall() + ADMIN_VALID_S,
        )
        issued = await self._issue(granted, issued_by=CENTRAL)
        disk.write_secret(path, issued.token.encode() + b"\n")

    def read_admin(self, path: Path, *, disk: Disk) -> User | None:
        """Return whom the administrator's token speaks for, None where there is no good one."""
        found = disk.read(path)
        text = "" if found is None else found.decode(errors="replace").strip()
        caller = self.caller(text) if self._is_good(text) else None
        return caller if isinstance(caller, User) else None

    # -- list and revoke ------------------------------------------------------------------------

    async def list(
        self, caller: User, *, after: str = "", limit: int = jobs.PAGE_MAX
    ) -> jobs.Tokens:
        """Return a page of the tokens that the caller may see, newest first; never the tokens.

        Raises Refused for an `after` that is no cursor.
        """
        reach = require(caller, Permission.TOKEN_READ)
        rows = await self._store.read(
            token_records.tokens,
            None if reach is Reach.ALL else caller.community,
            (caller.issuer, caller.subject) if reach is Reach.OWN else None,
            before=_place(after) if after else FIRST_TOKENS,
            limit=limit,
        )
        return jobs.Tokens(
            tokens=[_view(row) for row in rows if _within(row, caller, reach)],
            after=_cursor(rows[-1]) if len(rows) == limit else None,
        )

    async def revoke(self, caller: User, jti: str) -> None:
        """Refuse a token from now on. Idempotent. Raises TokenNotFound."""
        reach = require(caller, Permission.TOKEN_REVOKE)
        row = await self._store.read(token_records.token, jti)
        if row is None or not _within(row, caller, reach):
            raise TokenNotFound(jti)
        await self._store.write(token_records.revoke_token, jti, self._clock.wall())
        self._verifier.revoke(jti, row.expires_at)

    # -- how ------------------------------------------------------------------------------------

    async def _check_room(self, subject: str) -> None:
        """Revoked ones count: each is remembered until it has expired."""
        most = UNEXPIRED_MAX
        now = self._clock.wall()
        unexpired = await self._store.read(
            token_records.unexpired_tokens, self._issuer, subject, now=now, limit=most
        )
        if unexpired >= most:
            why = (
                f"{most} tokens of {subject!r} have not expired, expected fewer: no more are made "
                "before some have. Give them a shorter time"
            )
            raise Refused(Code.ILLEGAL_STATE, why, field="$.subject")

    def _is_good(self, token: str) -> bool:
        try:
            self._verifier.caller(token)
        except Refused:
            return False
        return True

    async def _issue(self, granted: TokenGrant, *, issued_by: str) -> jobs.TokenIssued:
        bare = self._claims(granted.subject, granted.expires_at)
        claims = msgspec.structs.replace(
            bare,
            name=granted.name,
            community=granted.community,
            groups=granted.groups,
            role=granted.role,
        )
        row = TokenRow(
            jti=claims.jti,
            issuer=claims.iss,
            subject=claims.sub,
            name=claims.name,
            community=claims.community,
            groups=claims.groups,
            role=claims.role.value,
            issued_at=float(claims.iat),
            expires_at=float(claims.exp),
            issued_by=issued_by,
        )
        await self._store.write(token_records.add_token, row)
        return jobs.TokenIssued(token=self._sign(claims), view=_view(row))

    def _claims(self, subject: str, expires_at: float) -> Claims:
        return Claims(
            iss=self._issuer,
            sub=subject,
            aud=self._audience,
            exp=int(expires_at),
            iat=int(self._clock.wall()),
            jti=self._randomness.token(16),
            wlcg_ver=WLCG_VERSION,
        )

    def _sign(self, claims: Claims) -> str:
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": self._signing.kid}
        payload = msgspec.json.encode(claims)
        return jws.serialize_compact(header, payload, self._signing.newest, algorithms=[ALGORITHM])


async def open_tokens(
    data: Path,
    *,
    store: Store,
    disk: Disk,
    clock: Clock,
    randomness: Randomness,
    issuer: str,
    audience: str,
    community: str = "",
    groups: tuple[str, ...] = (),
    pilot_valid_s: float = 3_600.0,
    writes: bool = True,
) -> TokenIssuer:
    """Return the issuer of a data directory; at first start keys and the admin token are made.

    `community` and `groups` are the admin token's; no community: all. A process that does not keep
    the queue `writes` none: it is another one's. Raises BadKeyFile.
    """
    tokens = TokenIssuer(
        signing=keys.load(data, disk=disk, clock=clock, randomness=randomness),
        derived=derived_secrets.load(data, disk=disk, randomness=randomness),
        store=store,
        clock=clock,
        randomness=randomness,
        issuer=issuer,
        audience=audience,
        pilot_valid_s=pilot_valid_s,
    )
    await tokens.load_revoked()
    if writes:
        file = data / ADMIN_FILE
        await tokens.write_admin_token(file, disk=disk, community=community, groups=groups)
    return tokens


def _within(row: TokenRow, caller: User, reach: Reach) -> bool:
    """Say whether this token is there for the caller. One that is wider than the caller's is not.

    Under the caller's own name neither: a manager may have written it into the caller's token.
    """
    if reach is not Reach.ALL and row.community != caller.community:
        return False
    if not covers(caller.role, Role(row.role)):
        return False
    if reach >= Reach.COMMUNITY:
        return True
    if not set[str](row.groups) <= set[str](caller.groups):
        return False
    if reach is Reach.GROUP:
        return bool(row.groups)
    return (row.issuer, row.subject) == (caller.issuer, caller.subject)


def _cursor(row: TokenRow) -> str:
    return f"{row.issued_at!r}:{row.jti}"


def _place(after: str) -> tuple[float, str]:
    """Return the place of a cursor in the order of tokens. Raises Refused."""
    issued_at, _, jti = after.partition(":")
    try:
        return float(issued_at), jti
    except ValueError:
        why = f"after: found {after[:80]!r}, expected what the page before said"
        raise Refused(Code.INVALID, why, field="after") from None


def _view(row: TokenRow) -> jobs.TokenView:
    return jobs.TokenView(
        jti=row.jti,
        subject=row.subject,
        community=row.community,
        groups=list(row.groups),
        role=Role(row.role),
        issued_at=shown(row.issued_at),
        expires_at=shown(row.expires_at),
        revoked=row.revoked_at is not None,
    )
