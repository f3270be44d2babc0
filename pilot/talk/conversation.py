"""The conversation with the central over HTTPS: paths, tokens, and the meaning of answers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Optional, TypeVar, Union

from pilotage.proto.messages import (
    Beat,
    BeatAnswer,
    Hello,
    LogChunk,
    PayloadTokenReply,
    PayloadTokenRequest,
    PilotLog,
    PilotLogKept,
    Problem,
    Register,
    Registered,
    TokenReply,
    TokenRequest,
    Turn,
    TurnReply,
)
from pilotage.proto.problems import Code
from pilotage.proto.storages import StorageTokenReply, StorageTokenRequest
from pilotage.proto.wire import BadMessage, decode, encode

from ..events import WriteEvent
from ..mind.pace import FailedRequest, back_off_s
from ..ports import Clock, HttpReply, NoReply, Randomness
from .renewal import Renewal, Superseded
from .requests import MISDIRECTED, Requests

T = TypeVar("T")

TIMEOUT_S = 20.0  # for requests that are not urgent
URGENT_AT = 0.1  # of a token's lifetime: with less left, a renewal does not wait for the journal
TELLS_MAX = 3
TOKEN_PATH = "/v1/pilots/token"
RETRIED = frozenset({0, 408, MISDIRECTED, 429})  # and every 5xx


class RequestRefused(Exception):
    """The central has refused, and would refuse again."""

    def __init__(self, path: str, refusal: FailedRequest) -> None:
        super().__init__(f"{path}: {refusal.status} {refusal.code} {refusal.message}")
        self.refusal = refusal


class CentralChannel:
    """Sends the requests of one pilot. It decides nothing; replies go to the brain unchanged."""

    def __init__(
        self,
        requests: Requests,
        clock: Clock,
        random: Randomness,
        log: WriteEvent,
        renewal: Renewal,
    ) -> None:
        self.requests, self._clock, self._random, self._log = requests, clock, random, log
        self._renewal = renewal
        self._one_use: Optional[asyncio.Lock] = None  # one use of the secret at a time
        self.token, self.expires_in_s = "", 0.0
        self._urgent_at = 0.0
        # Of a request that is repeated until it is answered.
        self.last_refusal: Optional[FailedRequest] = None

    async def register(self, message: Register) -> Registered:
        """Register, and repeat until answered. Raises RequestRefused."""
        path = "/v1/pilots/register"
        registered = await self._until(
            path, lambda: self._post(path, message, Registered, TIMEOUT_S)
        )
        return self._known(registered)

    async def hello(self, message: Hello) -> Registered:
        """Say hello after a restart, and repeat until answered. Raises RequestRefused."""
        path = "/v1/pilots/hello"

        async def say(secret: str, nonce: str) -> Union[Registered, FailedRequest]:
            said = replace(message, renewal_secret=secret, renewal_nonce=nonce)
            heard = await self._post(path, said, Registered, TIMEOUT_S)
            if not isinstance(heard, FailedRequest):
                self._renewal.answered(secret, heard.renewal_secret, heard.session)
            return heard

        return self._known(await self._until(path, lambda: self._use(say)))

    async def renew(self) -> None:
        """Fetch a new token, and repeat until answered. Raises RequestRefused."""
        used = self.token
        await self._until(TOKEN_PATH, lambda: self._renew(used, TIMEOUT_S))

    async def tell_of_double(self) -> None:
        """Report a copy of this pilot: its session is over, but no other process uses its journal.

        A use of the secret proves this to the central, which then ends the other process too. A
        second use follows, because the first may have been open when the copy was made.
        """
        for tries in range(1, TELLS_MAX + 1):
            refusal = await self._renew(self.token, TIMEOUT_S)
            if refusal is None:
                refusal = await self._renew(self.token, TIMEOUT_S)
            if refusal is None or not may_pass(refusal.status):
                return
            await self._clock.sleep(back_off_s(tries, self._random.uniform))

    async def turn(self, turn: Turn, timeout_s: float) -> Union[TurnReply, FailedRequest]:
        """Send a turn and return its reply; failures of the network raise no error."""
        path = "/v1/turn" if turn.ask and turn.reports else "/v1/ask" if turn.ask else "/v1/report"
        return await self._with_token(path, turn, TurnReply, timeout_s)

    async def beat(self, beat: Beat, timeout_s: float) -> Union[BeatAnswer, FailedRequest]:
        """Send a heartbeat and return its answer."""
        return await self._with_token("/v1/beat", beat, BeatAnswer, timeout_s)

    async def pilot_log(self, parcel: PilotLog) -> Union[PilotLogKept, FailedRequest]:
        """Send lines of the pilot's log, over the connection of files."""
        return await self._with_token("/v1/pilots/log", parcel, PilotLogKept, TIMEOUT_S, aside=True)

    async def payload_token(
        self, request: PayloadTokenRequest, token: str
    ) -> Union[PayloadTokenReply, FailedRequest]:
        """Fetch a token for a payload, with the attempt's own token.

        It takes the connection of files, because the answer may wait for an identity provider.
        """
        path = "/v1/attempts/token"
        return await self._post(
            path, request, PayloadTokenReply, TIMEOUT_S, aside=True, token=token
        )

    async def storage_token(
        self, request: StorageTokenRequest, token: str
    ) -> Union[StorageTokenReply, FailedRequest]:
        """Fetch a credential for a storage, with the attempt's own token."""
        path = "/v1/data/tokens"
        return await self._post(
            path, request, StorageTokenReply, TIMEOUT_S, aside=True, token=token
        )

    async def log_chunk(self, chunk: LogChunk, token: str) -> None:
        """Send live output; a piece without an answer is a gap."""
        try:
            await self.requests.post("/v1/log", encode(chunk), token=token, timeout_s=TIMEOUT_S)
        except NoReply:
            return

    def _known(self, registered: Registered) -> Registered:
        if registered.urls:
            self.requests.send_messages_to(registered.urls[0])
        self._take(TokenReply(registered.token, registered.expires_in_s))
        return registered

    def _take(self, reply: TokenReply) -> None:
        self.token, self.expires_in_s = reply.token, reply.expires_in_s
        self._urgent_at = self._clock.now() + (1 - URGENT_AT) * reply.expires_in_s

    async def _renew(self, used: str, timeout_s: float) -> Optional[FailedRequest]:
        """Fetch a token instead of `used`, once; return why there is none."""

        async def say(secret: str, nonce: str) -> Union[TokenReply, FailedRequest]:
            request = TokenRequest(self._renewal.who.pilot, secret, nonce)
            heard = await self._post(TOKEN_PATH, request, TokenReply, timeout_s)
            if not isinstance(heard, FailedRequest):
                self._renewal.answered(secret, heard.renewal_secret)
                self._take(heard)
            return heard

        # Created here, because in Python 3.9 it belongs to the loop that is current.
        if self._one_use is None:
            self._one_use = asyncio.Lock()
        async with self._one_use:
            reply = await self._use(say) if self.token == used else None
        return reply if isinstance(reply, FailedRequest) else None

    async def _use(
        self, say: Callable[[str, str], Awaitable[Union[T, FailedRequest]]]
    ) -> Union[T, FailedRequest]:
        """Use the renewal secret once."""
        while True:
            try:
                is_urgent = bool(self.token) and self._clock.now() >= self._urgent_at
                secret, nonce = self._renewal.use(unkept=is_urgent)
            except Superseded:
                return FailedRequest(
                    409, Code.OLD_SESSION.value, "another process uses this pilot's journal"
                )
            except OSError as why:  # the disk may recover before the token expires
                return FailedRequest(0, "journal", f"the journal cannot store the nonce: {why}")
            reply = await say(secret, nonce)
            if not isinstance(reply, FailedRequest) or reply.code != Code.USED_SECRET.value:
                return reply
            if not self._renewal.tell(nonce):
                return reply

    async def _with_token(
        self, path: str, message: object, kind: type[T], timeout_s: float, *, aside: bool = False
    ) -> Union[T, FailedRequest]:
        """Post; if the token is refused, fetch another one and post again."""
        used = self.token
        reply = await self._post(path, message, kind, timeout_s, aside=aside)
        if not isinstance(reply, FailedRequest) or reply.status != 401:
            return reply
        refusal = await self._renew(used, timeout_s)
        if refusal is not None:
            return refusal
        return await self._post(path, message, kind, timeout_s, aside=aside)

    async def _until(self, path: str, say: Callable[[], Awaitable[Union[T, FailedRequest]]]) -> T:
        failures = 0
        while True:
            reply = await say()
            if not isinstance(reply, FailedRequest):
                return reply
            if not may_pass(reply.status):
                raise RequestRefused(path, reply)
            failures, self.last_refusal = failures + 1, reply
            wait_s = back_off_s(failures, self._random.uniform)
            why = f"{reply.status} {reply.code} {reply.message}"
            self._log("not_answered", {"path": path, "why": why, "wait_s": round(wait_s, 1)})
            await self._clock.sleep(wait_s)

    async def _post(
        self,
        path: str,
        message: object,
        kind: type[T],
        timeout_s: float,
        *,
        aside: bool = False,
        token: Optional[str] = None,
    ) -> Union[T, FailedRequest]:
        """Post once, with the pilot's token unless another one is given."""
        try:
            reply = await self.requests.post(
                path,
                encode(message),
                token=self.token if token is None else token,
                timeout_s=timeout_s,
                aside=aside,
            )
        except NoReply as why:
            return FailedRequest(0, "no_reply", str(why))
        if not 200 <= reply.status < 300:
            return refusal(reply)
        try:
            return decode(kind, reply.body)
        except BadMessage as why:
            return FailedRequest(0, "bad_message", str(why))


def refusal(reply: HttpReply) -> FailedRequest:
    """Return the error in an answer that is not 2xx."""
    problem: Optional[Problem] = None
    try:
        problem = decode(Problem, reply.body)
    except BadMessage:
        pass  # a proxy's page
    if problem is None:
        return FailedRequest(reply.status)
    is_named = not problem.field or problem.message.startswith(problem.field)
    message = problem.message if is_named else f"{problem.field}: {problem.message}"
    return FailedRequest(reply.status, problem.code, message)


def may_pass(status: int) -> bool:
    """Return whether the same request may succeed later."""
    return status in RETRIED or status >= 500
