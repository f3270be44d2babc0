"""Gives tokens to payloads: the owner's provider makes them, and may refuse audiences and scopes.

A token is an exchange (RFC 8693) of the owner's access token, which the central gets by the refresh
token of the owner's session. One token serves all jobs of a person with the same request. The
central keeps it in memory until half of its life, or until the session gives no more tokens. It
keeps a refusal for REFUSED_S, or until the owner logs in again. Tokens of providers are neither
stored nor logged.

No answer waits long for a provider. If it takes longer than ANSWER_S, the pilot hears that the
token is not available now; the exchange continues, and the next request finds its result.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from pilotage.proto.messages import PayloadTokenReply, PayloadTokenRequest
from pilotage.proto.problems import Code

from ...bounded_cache import BoundedCache
from ...errors import DependencyUnavailable, Refused
from ...observe.events import Log
from ...ports import Clock
from ...store.errors import StoreError
from ..callers import AttemptCaller
from ..providers.oauth import GrantEnded, OAuth
from ..providers.provider_http import BadProvider, ProviderAway
from ..sessions.job_grants import JobGrants, NoGrant
from .requested_tokens import RequestedToken, RequestedTokens

ANSWER_S: Final = 10.0  # less than the patience of pilots
LIFE_S: Final = 300.0  # of a token whose life the provider does not say
REFUSED_S: Final = 120.0  # until a refused request is tried again
AWAY_S: Final = 15.0  # until a provider that did not answer is asked again for the same token
KEPT_MAX: Final = 10_000  # tokens, and refusals, in memory

IsBanned = Callable[[str, str], bool]  # takes issuer and subject
GivesTokens = Callable[[str], Awaitable[bool]]  # takes a session
NewestSession = Callable[[RequestedToken], Awaitable[str]]


class _Given(msgspec.Struct, frozen=True):
    token: str
    session: str  # whose refresh token gave it
    until: float  # monotonic: half of its life
    ends: float  # monotonic


class _Denied(msgspec.Struct, frozen=True):
    why: Refused
    newest: str  # the owner's newest session at the start of the request
    until: float  # monotonic


_Outcome = _Given | _Denied | Refused | DependencyUnavailable


class PayloadTokens:
    """Answers running attempts. Only the leader does. `run` must be running."""

    def __init__(
        self,
        *,
        requested: RequestedTokens,
        sessions: JobGrants,
        oauth: OAuth,
        clock: Clock,
        log: Log,
        is_banned: IsBanned,
        gives_tokens: GivesTokens,
        newest_session: NewestSession,
    ) -> None:
        """`gives_tokens` returns whether a session still has its refresh token, by the store.

        `newest_session` returns the newest session of an owner that has one, or an empty text. Both
        may raise DependencyUnavailable.
        """
        self._requested, self._sessions, self._oauth = requested, sessions, oauth
        self._clock, self._log = clock, log
        self._is_banned, self._gives_tokens = is_banned, gives_tokens
        self._newest_session = newest_session
        self._known = BoundedCache[RequestedToken, _Given | _Denied](KEPT_MAX)
        self._asking: dict[RequestedToken, asyncio.Task[_Outcome]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Carry exchanges to their end, even if their callers leave. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    async def give(self, caller: AttemptCaller, request: PayloadTokenRequest) -> PayloadTokenReply:
        """Return a token for a payload.

        Raises Refused: FORBIDDEN (the attempt is over, or the provider refuses), NOT_FOUND (the job
        asks for no such token), ILLEGAL_STATE (its owner must log in again, or the provider gives
        no tokens to jobs), NOT_LEADER (ask the leader), UNAVAILABLE (later).
        """
        if (caller.job, caller.epoch) != (request.job, request.epoch):
            why = f"attempt {request.epoch} of job {request.job} belongs to another token"
            raise Refused(Code.FORBIDDEN, why, field="job")
        wanted = await self._requested.find(caller, request.name)
        self._check_ban(wanted)
        known = await self._known_outcome(wanted)
        outcome = known or await self._asked(wanted)
        self._check_ban(wanted)  # an exchange takes time
        if isinstance(outcome, _Denied):
            raise Refused(outcome.why.code, outcome.why.message)
        if isinstance(outcome, Refused | DependencyUnavailable):
            raise outcome
        if outcome is not known and not await self._is_good(wanted, outcome):
            why = "the session that gave the token has just ended: try again later"
            raise Refused(Code.UNAVAILABLE, why)
        return PayloadTokenReply(outcome.token, outcome.ends - self._clock.monotonic())

    # -- helpers ---------------------------------------------------------------------------------

    def _check_ban(self, wanted: RequestedToken) -> None:
        if self._is_banned(wanted.issuer, wanted.subject):
            raise Refused(Code.FORBIDDEN, f"{wanted.subject} is banned here")

    async def _known_outcome(self, wanted: RequestedToken) -> _Given | _Denied | None:
        """Return the known answer to a request, if it is still the right one."""
        known = self._known.get(wanted)
        if known is not None and self._clock.monotonic() >= known.until:
            del self._known[wanted]
            return None
        if isinstance(known, _Given) and not await self._is_good(wanted, known):
            return None
        if isinstance(known, _Denied) and known.newest != await self._newest_session(wanted):
            self._forget(wanted, known)  # the owner has logged in again, or the session has ended
            return None
        return known

    async def _is_good(self, wanted: RequestedToken, given: _Given) -> bool:
        """Return whether the session behind a token still gives tokens; if not, forget the token.

        A person's jobs lose their tokens at once if an operator ends the session or bans the
        person, but not if the person logs out.
        """
        if await self._gives_tokens(given.session):
            return True
        self._forget(wanted, given)
        return False

    def _forget(self, wanted: RequestedToken, outcome: _Given | _Denied) -> None:
        if self._known.get(wanted) is outcome:
            del self._known[wanted]

    async def _asked(self, wanted: RequestedToken) -> _Outcome:
        """Ask the provider, once for all jobs with this request. Raises Refused, UNAVAILABLE."""
        if self._tasks is None:
            raise Refused(Code.UNAVAILABLE, "this central starts or stops: try again later")
        asking = self._asking.get(wanted)
        if asking is None:
            asking = self._asking[wanted] = self._tasks.create_task(self._outcome(wanted))
        done, _ = await asyncio.wait([asking], timeout=ANSWER_S)
        if not done or asking.cancelled():
            why = f"the identity provider has not answered within {ANSWER_S:g} s: try again later"
            raise Refused(Code.UNAVAILABLE, why)
        return asking.result()

    async def _outcome(self, wanted: RequestedToken) -> _Outcome:
        """Return what the provider gives, or why not: an exception would end the group of tasks."""
        try:
            newest = await self._newest_session(wanted)
            outcome = await self._given_or_denied(wanted, newest)
        except (Refused, DependencyUnavailable) as why:  # of the store
            return why
        except StoreError as why:  # of this request only
            return Refused(Code.UNAVAILABLE, f"the central could not store it: {why}; try again")
        finally:
            del self._asking[wanted]
        self._known[wanted] = outcome
        return outcome

    async def _given_or_denied(self, wanted: RequestedToken, newest: str) -> _Given | _Denied:
        """Return what the provider gives, or why not. Raises the errors of the store."""
        try:
            return await self._exchanged(wanted, newest)
        except NoGrant as why:
            return self._denied(wanted, newest, Code.ILLEGAL_STATE, f"{why}: log in again")
        except ProviderAway as why:
            said = Refused(Code.UNAVAILABLE, f"the identity provider does not answer: {why}")
            return _Denied(said, newest, self._clock.monotonic() + AWAY_S)
        except BadProvider as why:
            return self._denied(wanted, newest, Code.ILLEGAL_STATE, str(why))

    async def _exchanged(self, wanted: RequestedToken, newest: str) -> _Given | _Denied:
        """Return a token that the provider gives. Raises NoGrant, ProviderAway, BadProvider."""
        own = await self._sessions.provider_token(wanted.community, wanted.issuer, wanted.subject)
        try:
            answer = await self._oauth.exchange(
                own.entry, own.token, audience=wanted.audience, scope=" ".join(wanted.scopes)
            )
        except GrantEnded as why:
            self._sessions.forget_access(own.session)  # perhaps it is this token that was refused
            said = f"{own.provider} refuses a token for {wanted.audience}: {why}"
            return self._denied(wanted, newest, Code.FORBIDDEN, said)
        if not answer.access_token:
            raise BadProvider(f"{own.provider} answered an exchange without a token")
        now, life_s = self._clock.monotonic(), answer.expires_in or LIFE_S
        self._log(
            "payload_token", person=wanted.subject, provider=own.provider, audience=wanted.audience
        )
        return _Given(answer.access_token, own.session, now + life_s / 2, now + life_s)

    def _denied(self, wanted: RequestedToken, newest: str, code: Code, why: str) -> _Denied:
        self._log("payload_token_refused", person=wanted.subject, audience=wanted.audience, why=why)
        return _Denied(Refused(code, why), newest, self._clock.monotonic() + REFUSED_S)
