"""The local issuer of a central: it makes, lists, revokes and reads tokens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc import jws

from pilotage.proto.api import jobs
from pilotage.proto.api.tokens import TokenIssue, TokenIssued, Tokens, TokenView, WhoAmI
from pilotage.proto.claims import WLCG_VERSION, Claims, Role, TokenKind
from pilotage.proto.problems import Code

from ..errors import Refused
from ..observe.times import shown
from ..ports import Clock, Disk, Randomness
from ..store.engine import Store
from . import derived_secrets, keys, lists, record as token_records
from .bans.ban_list import BanList
from .callers import Caller, User
from .derived_secrets import DerivedSecrets
from .errors import TokenNotFound
from .issuance import TokenGrant, grant
from .keys import SigningKeys
from .policy import Permission, Reach, require
from .providers.outside_tokens import OutsideTokens
from .record_types import TokenRow, shown as shown_person
from .sessions import rows as session_rows
from .sessions.rows import LoginSession
from .verification import ALGORITHM, CACHE_MAX, Verifier

ADMIN_FILE: Final = "admin.token"
ADMIN_VALID_S: Final = 366 * 86_400.0
LOGIN_VALID_MAX_S: Final = 3_600.0  # of a login's token, whatever the setting was and is
UNEXPIRED_MAX: Final = 10_000  # tokens of one subject; each is a row until it expires
CENTRAL: Final = "central"  # the issuer of the first token


class TokenIssuer:
    """Issues and verifies tokens. `open_tokens` makes one from a data directory."""

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
        outside: OutsideTokens,
        pilot_valid_s: float = 3_600.0,
        login_valid_s: float = 1_800.0,
        cache_max: int = CACHE_MAX,
    ) -> None:
        self._signing, self._derived, self._store = signing, derived, store
        self._clock, self._randomness = clock, randomness
        self._issuer, self._audience = issuer, audience
        self._pilot_valid_s, self._login_valid_s = pilot_valid_s, login_valid_s
        self._revoked_mark = (0, 0.0, 0, 0.0)
        self._outside = outside
        self.bans = BanList(store, issuer)
        self._verifier = Verifier(
            keys=signing,
            derived=derived,
            clock=clock,
            issuer=issuer,
            audience=audience,
            outside=outside,
            bans=self.bans,
            cache_max=cache_max,
        )

    # -- read -----------------------------------------------------------------------------------

    def caller(self, bearer: str) -> Caller:
        """Return the caller that a token belongs to. Raises BadToken, ExpiredToken, Banned.

        A token of an outside issuer may also raise KeysNeeded, Forbidden or Refused.
        """
        return self._verifier.caller(bearer)

    async def fetch_keys(self, issuer: str) -> None:
        """Fetch the keys of an outside issuer, at most once a minute. It raises nothing."""
        await self._outside.fetch_keys(issuer)

    def jwks(self) -> dict[str, Any]:
        """Return the public keys that verify our tokens (RFC 7517)."""
        self._signing.refresh()
        return self._signing.stored.jwks()

    def whoami(self, caller: User) -> WhoAmI:
        """Return the contents of the caller's token."""
        return WhoAmI(
            subject=caller.subject,
            issuer=caller.issuer,
            name=caller.name,
            community=caller.community,
            groups=caller.groups,
            role=caller.role,
            expires_in_s=caller.expires_at - self._clock.wall(),
            session=caller.session,
        )

    async def load_revoked(self) -> None:
        """Read bans, revoked tokens, ended sessions and our keys, if they changed."""
        self._signing.refresh()
        await self.bans.load()
        now = self._clock.wall()
        ended_after = now - LOGIN_VALID_MAX_S  # tokens of earlier ends have expired
        mark = (
            *await self._store.read(token_records.revoked_mark, now),
            *await self._store.read(session_rows.ended_mark, ended_after),
        )
        if mark == self._revoked_mark:
            return
        names = dict(await self._store.read(token_records.revoked, now))
        for session, ended_at in await self._store.read(session_rows.ended, ended_after):
            names[session] = ended_at + LOGIN_VALID_MAX_S
        self._verifier.revoke(names)
        self._revoked_mark = mark

    # -- make -----------------------------------------------------------------------------------

    async def issue(self, caller: User, r: TokenIssue) -> TokenIssued:
        """Make a token for a user. Its row is durable before the token is returned.

        Raises Refused.
        """
        granted = grant(caller, r, issuer=self._issuer, now=self._clock.wall())
        await self._check_room(granted.subject)
        by = shown_person(caller.issuer, caller.subject, self._issuer)
        return await self._issue(granted, issued_by=by)

    def pilot_token(self, pilot: str, community: str, site: str, element: str) -> tuple[str, float]:
        """Return a pilot's token and its lifetime in seconds."""
        claims = self._claims(pilot, self._clock.wall() + self._pilot_valid_s)
        pilots = msgspec.structs.replace(
            claims, kind=TokenKind.PILOT, community=community, site=site, element=element
        )
        token = self._sign(pilots)
        self._verifier.made(token, pilots)
        return token, self._pilot_valid_s

    def session_token(self, row: LoginSession) -> tuple[str, float]:
        """Return an access token of a session, and its life in seconds."""
        now = self._clock.wall()
        claims = msgspec.structs.replace(
            self._claims(row.subject, min(now + self._login_valid_s, row.ends_at)),
            name=row.name,
            community=row.community,
            groups=row.groups,
            role=Role(row.role),
            idp=row.issuer,
            sid=row.session,
        )
        return self._sign(claims), claims.exp - now

    def subscribe_revoked(self, revoked: Callable[[frozenset[str]], None]) -> None:
        """Call `revoked` with ids of tokens and sessions as soon as this process refuses them."""
        self._verifier.subscribe(revoked)

    def session_ended(self, session: str) -> None:
        """Refuse the access tokens of a session from now on."""
        self._verifier.revoke({session: self._clock.wall() + LOGIN_VALID_MAX_S})

    def is_session_ended(self, session: str) -> bool:
        """Return whether a session was ended, as far as this process knows."""
        return self._verifier.is_revoked(session)

    def cipher_key(self, purpose: str) -> bytes:
        """Return a secret key of 32 bytes, another one for each purpose."""
        return self._derived.cipher_key(purpose)

    def forget(self, pilot: str) -> None:
        """Drop the token of an ended pilot from memory."""
        self._verifier.forget(pilot)

    def attempt_token(
        self, job: int, epoch: int, attempt_id: int, community: str, valid_s: float
    ) -> str:
        """Return an attempt's token, valid only for blobs and logs."""
        return self._derived.make(job, epoch, attempt_id, community, self._clock.wall() + valid_s)

    def broker_password(self, community: str, pilot: str) -> str:
        """Return a pilot's password on the bus. It stays the same after restarts."""
        return self._derived.broker_password(community, pilot)

    def renewal_secret(self, secret: str, nonce: str) -> str:
        """Return the only renewal secret of a pilot that registers with protocol 1.0."""
        return self._derived.renewal_secret(secret, nonce)

    def numbered_secret(self, pilot: str, number: int) -> str:
        """Return a pilot's renewal secret `number`, from 1."""
        return self._derived.numbered_secret(pilot, number)

    def secret_number(self, pilot: str, secret: str) -> int | None:
        """Return the number of a renewal secret, or None if it is not this pilot's."""
        return self._derived.secret_number(pilot, secret)

    async def write_admin_token(
        self, path: Path, *, disk: Disk, community: str = "", groups: tuple[str, ...] = ()
    ) -> None:
        """Write an admin token to a file (0600), unless the file has a valid one."""
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
        """Return the user of the administrator's token, or None if there is no valid one."""
        found = disk.read(path)
        text = "" if found is None else found.decode(errors="replace").strip()
        caller = self.caller(text) if self._is_good(text) else None
        return caller if isinstance(caller, User) else None

    # -- list and revoke ------------------------------------------------------------------------

    async def list(self, caller: User, *, after: str = "", limit: int = jobs.PAGE_MAX) -> Tokens:
        """Return a page of the tokens that the caller may see, newest first, without secrets.

        Raises Refused if `after` is not a cursor.
        """
        reach = require(caller, Permission.TOKEN_READ)
        rows = await self._store.read(
            token_records.tokens,
            None if reach is Reach.ALL else caller.community,
            (caller.issuer, caller.subject) if reach is Reach.OWN else None,
            before=lists.start_of(after),
            limit=limit,
        )
        return Tokens(
            tokens=[_view(row) for row in rows if lists.is_visible(row, caller, reach)],
            after=lists.cursor(rows[-1].issued_at, rows[-1].jti) if len(rows) == limit else None,
        )

    async def revoke(self, caller: User, jti: str) -> None:
        """Revoke a token. Idempotent. Raises TokenNotFound."""
        reach = require(caller, Permission.TOKEN_REVOKE)
        row = await self._store.read(token_records.token, jti)
        if row is None or not lists.is_visible(row, caller, reach):
            raise TokenNotFound(jti)
        await self._store.write(token_records.revoke_token, jti, self._clock.wall())
        self._verifier.revoke({jti: row.expires_at})

    # -- helpers --------------------------------------------------------------------------------

    async def _check_room(self, subject: str) -> None:
        """Raise Refused if the subject has UNEXPIRED_MAX tokens.

        Revoked tokens count, because the store keeps each until it has expired.
        """
        most = UNEXPIRED_MAX
        now = self._clock.wall()
        unexpired = await self._store.read(
            token_records.unexpired_tokens, self._issuer, subject, now=now, limit=most
        )
        if unexpired >= most:
            why = (
                f"{subject!r} has {most} unexpired tokens, the maximum: wait until some expire, "
                "and issue tokens with a shorter lifetime"
            )
            raise Refused(Code.ILLEGAL_STATE, why, field="$.subject")

    def _is_good(self, token: str) -> bool:
        try:
            self._verifier.caller(token)
        except Refused:
            return False
        return True

    async def _issue(self, granted: TokenGrant, *, issued_by: str) -> TokenIssued:
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
        return TokenIssued(token=self._sign(claims), view=_view(row))

    def _claims(self, subject: str, expires_at: float) -> Claims:
        return Claims(
            iss=self._issuer,
            sub=subject,
            aud=self._audience,
            exp=int(expires_at),
            iat=int(self._clock.wall()),
            jti=self._randomness.token(16).replace("-", "_"),  # a command takes it as an argument
            wlcg_ver=WLCG_VERSION,
        )

    def _sign(self, claims: Claims) -> str:
        self._signing.refresh()
        key = self._signing.signing()
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": key.kid}
        payload = msgspec.json.encode(claims)
        return jws.serialize_compact(header, payload, key, algorithms=[ALGORITHM])


async def open_tokens(
    data: Path,
    *,
    store: Store,
    disk: Disk,
    clock: Clock,
    randomness: Randomness,
    issuer: str,
    audience: str,
    outside: OutsideTokens,
    community: str = "",
    groups: tuple[str, ...] = (),
    pilot_valid_s: float = 3_600.0,
    login_valid_s: float = 1_800.0,
    writes: bool = True,
) -> TokenIssuer:
    """Return the issuer of a data directory. The first start makes the keys and the admin token.

    `community` and `groups` are those of the admin token; an empty community means all. With
    `writes=False`, for processes that do not keep the queue, it writes no admin token. `outside`
    reads tokens of other issuers. Raises BadKeyFile.
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
        login_valid_s=login_valid_s,
        outside=outside,
    )
    await tokens.load_revoked()
    if writes:
        file = data / ADMIN_FILE
        await tokens.write_admin_token(file, disk=disk, community=community, groups=groups)
    return tokens


def _view(row: TokenRow) -> TokenView:
    return TokenView(
        jti=row.jti,
        subject=row.subject,
        community=row.community,
        groups=list(row.groups),
        role=Role(row.role),
        issued_at=shown(row.issued_at),
        expires_at=shown(row.expires_at),
        revoked=row.revoked_at is not None,
    )
