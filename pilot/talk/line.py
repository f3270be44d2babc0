"""The conversation with the central over HTTPS: paths, tokens, and what an answer means."""

from typing import Optional, TypeVar, Union

from pilotage.proto.messages import (
    Beat,
    BeatAnswer,
    Hello,
    LogChunk,
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
from pilotage.proto.wire import BadMessage, decode, encode

from ..events import Log
from ..mind.pace import Refusal, back_off_s
from ..ports import Clock, HttpReply, NoReply, Randomness
from .requests import MISDIRECTED, Requests

T = TypeVar("T")

TIMEOUT_S = 20.0  # for what is not urgent
RETRIED = frozenset({0, 408, MISDIRECTED, 429})  # and every 5xx


class Refused(Exception):
    """The central has said no, and would say it again."""

    def __init__(self, path: str, refusal: Refusal) -> None:
        super().__init__(f"{path}: {refusal.status} {refusal.code} {refusal.message}")
        self.refusal = refusal


class Line:
    """Speaks for one pilot. Nothing here decides; replies go to the brain as they are."""

    def __init__(self, requests: Requests, clock: Clock, random: Randomness, log: Log) -> None:
        self.requests, self._clock, self._random, self._log = requests, clock, random, log
        self._pilot, self._renewal_secret = "", ""
        self.token, self.expires_in_s = "", 0.0
        self.last_refusal: Optional[Refusal] = None  # of what is said until it is answered

    async def register(self, message: Register) -> Registered:
        """Say who we are, until answered. Raises Refused."""
        return self._known(await self._until("/v1/pilots/register", message, Registered))

    async def hello(self, message: Hello) -> Registered:
        """Say that we are back, until answered. Raises Refused."""
        return self._known(await self._until("/v1/pilots/hello", message, Registered))

    async def renew(self) -> None:
        """Fetch a new token, until answered. Raises Refused."""
        request = TokenRequest(self._pilot, self._renewal_secret)
        self._take(await self._until("/v1/pilots/token", request, TokenReply))

    async def turn(self, turn: Turn, timeout_s: float) -> Union[TurnReply, Refusal]:
        """Send a turn and return its reply; never raises for what the world does."""
        path = "/v1/turn" if turn.ask and turn.reports else "/v1/ask" if turn.ask else "/v1/report"
        return await self._with_token(path, turn, TurnReply, timeout_s)

    async def beat(self, beat: Beat, timeout_s: float) -> Union[BeatAnswer, Refusal]:
        """Send a beat and return its answer."""
        return await self._with_token("/v1/beat", beat, BeatAnswer, timeout_s)

    async def pilot_log(self, parcel: PilotLog) -> Union[PilotLogKept, Refusal]:
        """Send lines of our own log, where they delay nothing."""
        return await self._with_token("/v1/pilots/log", parcel, PilotLogKept, TIMEOUT_S, aside=True)

    async def log_chunk(self, chunk: LogChunk, token: str) -> None:
        """Send live output; what gets no answer is a gap."""
        try:
            await self.requests.post("/v1/log", encode(chunk), token=token, timeout_s=TIMEOUT_S)
        except NoReply:
            return

    def _known(self, registered: Registered) -> Registered:
        self._pilot, self._renewal_secret = registered.pilot, registered.renewal_secret
        if registered.urls:
            self.requests.send_messages_to(registered.urls[0])
        self._take(TokenReply(registered.token, registered.expires_in_s))
        return registered

    def _take(self, reply: TokenReply) -> None:
        self.token, self.expires_in_s = reply.token, reply.expires_in_s

    async def _with_token(
        self, path: str, message: object, kind: type[T], timeout_s: float, *, aside: bool = False
    ) -> Union[T, Refusal]:
        """Post; where the token is refused, fetch another one and post again."""
        used = self.token
        reply = await self._post(path, message, kind, timeout_s, aside=aside)
        if not isinstance(reply, Refusal) or reply.status != 401:
            return reply
        if self.token == used:
            request = TokenRequest(self._pilot, self._renewal_secret)
            renewed = await self._post("/v1/pilots/token", request, TokenReply, timeout_s)
            if isinstance(renewed, Refusal):
                return renewed
            self._take(renewed)
        return await self._post(path, message, kind, timeout_s, aside=aside)

    async def _until(self, path: str, message: object, kind: type[T]) -> T:
        failures = 0
        while True:
            reply = await self._post(path, message, kind, TIMEOUT_S)
            if not isinstance(reply, Refusal):
                return reply
            if not may_pass(reply.status):
                raise Refused(path, reply)
            failures, self.last_refusal = failures + 1, reply
            wait_s = back_off_s(failures, self._random.uniform)
            why = f"{reply.status} {reply.code} {reply.message}"
            self._log("not_answered", {"path": path, "why": why, "wait_s": round(wait_s, 1)})
            await self._clock.sleep(wait_s)

    async def _post(
        self, path: str, message: object, kind: type[T], timeout_s: float, *, aside: bool = False
    ) -> Union[T, Refusal]:
        try:
            reply = await self.requests.post(
                path, encode(message), token=self.token, timeout_s=timeout_s, aside=aside
            )
        except NoReply as why:
            return Refusal(0, "no_reply", str(why))
        if not 200 <= reply.status < 300:
            return refusal(reply)
        try:
            return decode(kind, reply.body)
        except BadMessage as why:
            return Refusal(0, "bad_message", str(why))


def refusal(reply: HttpReply) -> Refusal:
    """Return what an answer that is not 2xx says."""
    problem: Optional[Problem] = None
    try:
        problem = decode(Problem, reply.body)
    except BadMessage:
        pass  # a proxy's page
    if problem is None:
        return Refusal(reply.status)
    told = not problem.field or problem.message.startswith(problem.field)
    message = problem.message if told else f"{problem.field}: {problem.message}"
    return Refusal(reply.status, problem.code, message)


def may_pass(status: int) -> bool:
    """Say whether the same request may succeed later."""
    return status in RETRIED or status >= 500
