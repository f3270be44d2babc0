"""Gives tokens to payloads: the owner's provider makes them, and may refuse audiences and scopes.

A token is an exchange (RFC 8693) of the owner's access token, which the central gets by the refresh
token of the owner's session. One token serves all jobs of a person that wish for the same: it is
kept in memory until half of its life. Tokens of providers are neither stored nor logged.

No answer waits long for a provider. If it takes longer than ANSWER_S, the pilot hears that the
token is not available now; the exchange continues, and the next request finds its result.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from pilotage.proto.messages import PayloadTokenReply, PayloadTokenRequest
from pilotage.proto.problems import Code

from ...errors import DependencyUnavailable, Refused
from ...observe.events import Log
from ...ports import Clock
from ..callers import AttemptCaller
from ..providers.oauth import GrantEnded, OAuth
from ..providers.provider_http import BadProvider, ProviderAway
from ..sessions.job_grants import JobGrants, NoGrant
from .wishes import TokenWish, TokenWishes

ANSWER_S: Final = 10.0  # less than the patience of pilots
LIFE_S: Final = 300.0  # of a token whose life the provider does not say
REFUSED_S: Final = 120.0  # until a refused wish is tried again
AWAY_S: Final = 15.0  # until a provider that did not answer is asked again for the same wish
KEPT_MAX: Final = 10_000  # tokens, and refusals, in memory

IsBanned = Callable[[str, str], bool]  # takes issuer and subject


class _Given(msgspec.Struct, frozen=True):
    token: str
    until: float  # monotonic: half of its life
    ends: float  # monotonic


class _Denied(msgspec.Struct, frozen=True):
    why: Refused
    until: float  # monotonic


_Outcome = _Given | _Denied | Refused | DependencyUnavailable


class PayloadTokens:
    """Answers running attempts. Only the leader does. `run` must be running."""

    def __init__(
        self,
        *,
        wishes: TokenWishes,
        sessions: JobGrants,
        oauth: OAuth,
        clock: Clock,
        log: Log,
        is_banned: IsBanned,
    ) -> None:
        self._wishes, self._sessions, self._oauth = wishes, sessions, oauth
        self._clock, self._log, self._is_banned = clock, log, is_banned
        self._known: dict[TokenWish, _Given | _Denied] = {}
        self._asking: dict[TokenWish, asyncio.Task[_Outcome]] = {}
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
        no tokens to jobs), UNAVAILABLE (later).
        """
        if (caller.job, caller.epoch) != (request.job, request.epoch):
            why = f"attempt {request.epoch} of job {request.job} belongs to another token"
            raise Refused(Code.FORBIDDEN, why, field="job")
        wish = await self._wishes.find(caller, request.name)
        if self._is_banned(wish.issuer, wish.subject):
            raise Refused(Code.FORBIDDEN, f"{wish.subject} is banned here", field="name")
        outcome = self._find(wish) or await self._asked(wish)
        if isinstance(outcome, _Denied):
            raise Refused(outcome.why.code, outcome.why.message, field="name")
        if isinstance(outcome, Refused | DependencyUnavailable):
            raise outcome
        return PayloadTokenReply(outcome.token, outcome.ends - self._clock.monotonic())

    # -- helpers ---------------------------------------------------------------------------------

    def _find(self, wish: TokenWish) -> _Given | _Denied | None:
        """Return the known answer to a wish, unless it is too old."""
        known = self._known.get(wish)
        if known is not None and self._clock.monotonic() >= known.until:
            del self._known[wish]
            return None
        return known

    async def _asked(self, wish: TokenWish) -> _Outcome:
        """Ask the provider, once for all jobs with this wish. Raises Refused, UNAVAILABLE."""
        if self._tasks is None:
            raise Refused(Code.UNAVAILABLE, "this central starts or stops: try again later")
        asking = self._asking.get(wish)
        if asking is None:
            asking = self._asking[wish] = self._tasks.create_task(self._outcome(wish))
        done, _ = await asyncio.wait([asking], timeout=ANSWER_S)
        if not done or asking.cancelled():
            raise Refused(Code.UNAVAILABLE, "the identity provider takes long: try again later")
        return asking.result()

    async def _outcome(self, wish: TokenWish) -> _Outcome:
        """Return what the provider gives, or why not: an exception would end the group of tasks."""
        try:
            outcome: _Given | _Denied = await self._exchanged(wish)
        except NoGrant as why:
            outcome = self._denied(wish, Code.ILLEGAL_STATE, f"{why}: log in again", REFUSED_S)
        except ProviderAway as why:
            said = f"the identity provider does not answer: {why}"
            outcome = _Denied(Refused(Code.UNAVAILABLE, said), self._clock.monotonic() + AWAY_S)
        except BadProvider as why:
            outcome = self._denied(wish, Code.ILLEGAL_STATE, str(why), REFUSED_S)
        except (Refused, DependencyUnavailable) as why:  # of the store
            return why
        finally:
            del self._asking[wish]
        while len(self._known) >= KEPT_MAX:
            del self._known[next(iter(self._known))]
        self._known[wish] = outcome
        return outcome

    async def _exchanged(self, wish: TokenWish) -> _Given | _Denied:
        """Return a token that the provider gives. Raises NoGrant, ProviderAway, BadProvider."""
        own = await self._sessions.provider_token(wish.community, wish.issuer, wish.subject)
        try:
            answer = await self._oauth.exchange(
                own.entry, own.token, audience=wish.audience, scope=" ".join(wish.scopes)
            )
        except GrantEnded as why:
            self._sessions.forget_access(own.session)  # perhaps it is this token that was refused
            said = f"{own.provider} refuses a token for {wish.audience}: {why}"
            return self._denied(wish, Code.FORBIDDEN, said, REFUSED_S)
        if not answer.access_token:
            raise BadProvider(f"{own.provider} answered an exchange without a token")
        now, life_s = self._clock.monotonic(), answer.expires_in or LIFE_S
        self._log(
            "payload_token", person=wish.subject, provider=own.provider, audience=wish.audience
        )
        return _Given(answer.access_token, now + life_s / 2, now + life_s)

    def _denied(self, wish: TokenWish, code: Code, why: str, for_s: float) -> _Denied:
        self._log("payload_token_refused", person=wish.subject, audience=wish.audience, why=why)
        return _Denied(Refused(code, why), self._clock.monotonic() + for_s)
