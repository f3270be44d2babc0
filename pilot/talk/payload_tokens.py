"""Keeps the tokens of payloads: fetched before the start, and again at half of their lives.

While the central or the identity provider does not answer, the start waits for START_PATIENCE_S.
Then the payload starts without the token, and the pilot keeps trying. A refused token is in the
history of the attempt, once. The last token stays in its file, even after it has expired.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

from pilotage.proto.messages import Assignment, PayloadTokenReply, PayloadTokenRequest
from pilotage.proto.tasks import Tasks, time_limit

from ..containment import WorkFailed, contained
from ..events import WriteEvent
from ..mind.pace import FailedRequest, spread_s
from ..ports import Clock, Randomness, Workspace
from .conversation import CentralChannel, may_pass

START_PATIENCE_S = 300.0  # a start waits so long for tokens that are not available now
RENEW_AT = 0.5  # of a token's life
RENEW_SPREAD = 0.1  # ±, of that time: jobs that start together must not ask together
RENEW_MIN_S = 1.0
AGAIN_MIN_S, AGAIN_MAX_S = 5.0, 300.0  # until a token that is not available now is asked for again
REFUSED_AGAIN_S = 600.0  # the same for a refused one: its owner may log in again
LOOK_S = 60.0  # the loop's timers stop while the node is suspended, but tokens expire
VALUES_HIDDEN = 2  # of each token: a renewal comes at half of the life of the value before
NOT_ASCII = "the central sent a token that is not one line of printable ASCII"

TellOwner = Callable[[int, str], None]  # takes an attempt, and a text for its history


@dataclass
class _HeldTokens:
    """The tokens of one attempt."""

    assignment: Assignment
    folder: Path
    pending: dict[str, str]  # names that have no answer yet, with the last error
    ready: asyncio.Event = field(default_factory=asyncio.Event)  # no name is pending
    recent: dict[str, deque[str]] = field(default_factory=dict[str, deque[str]])  # values by name
    told: set[str] = field(default_factory=set[str])  # names whose failure is in the history
    tasks: "list[asyncio.Task[Any]]" = field(default_factory=list["asyncio.Task[Any]"])

    def answered(self, name: str) -> None:
        """Note that the start need not wait for this name."""
        self.pending.pop(name, None)
        if not self.pending:
            self.ready.set()


class TokenKeeper:
    """One task for each token of each running payload."""

    def __init__(
        self,
        channel: CentralChannel,
        workspace: Workspace,
        clock: Clock,
        random: Randomness,
        log: WriteEvent,
        tasks: Tasks,
        tell: TellOwner,
    ) -> None:
        self._channel, self._workspace = channel, workspace
        self._clock, self._random, self._log = clock, random, log
        self._tasks, self._tell = tasks, tell
        self._held: dict[int, _HeldTokens] = {}

    async def bring(self, assignment: Assignment, folder: Path) -> None:
        """Fetch the tokens of a payload that is about to start, and keep them fresh from now on."""
        if not assignment.body.tokens:
            return
        held = _HeldTokens(assignment, folder, dict.fromkeys(assignment.body.tokens, ""))
        self._held[assignment.attempt_id] = held
        for name in assignment.body.tokens:
            held.tasks.append(self._tasks.start(self._contained(held, name), name=f"token {name}"))
        with contextlib.suppress(asyncio.TimeoutError):
            async with time_limit(START_PATIENCE_S):
                await held.ready.wait()
        for name, why in held.pending.items():
            self._tell_once(held, name, f"is not there at the start: {why or 'no answer came'}")

    def drop(self, attempt_id: int) -> None:
        """Remove the tokens of a payload that has ended, or will not start."""
        held = self._held.pop(attempt_id, None)
        if held is None:
            return
        for task in held.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._workspace.drop_tokens(held.folder)

    def drop_all(self) -> None:
        """Remove the tokens of all payloads: the pilot ends."""
        for attempt_id in list(self._held):
            self.drop(attempt_id)

    def secrets(self) -> Iterator[str]:
        """Yield the last two values of each token, which no log may contain: both may be valid."""
        for held in self._held.values():
            for values in held.recent.values():
                yield from values

    # -- one token -------------------------------------------------------------------------------

    async def _contained(self, held: _HeldTokens, name: str) -> None:
        with contextlib.suppress(WorkFailed):  # it is logged; the payload keeps what it has
            attempt_id = held.assignment.attempt_id
            await contained(self._keep(held, name), self._log, attempt_id, "token")

    async def _keep(self, held: _HeldTokens, name: str) -> None:
        """Fetch a token, and fetch it again in time, until it is cancelled."""
        failures = 0
        while True:
            outcome = await self._fetched(held, name)
            if isinstance(outcome, FailedRequest):
                failures += 1
                wait_s = self._failed(held, name, outcome, failures)
            else:
                failures = 0
                spread = self._random.uniform(1 - RENEW_SPREAD, 1 + RENEW_SPREAD)
                wait_s = max(RENEW_MIN_S, RENEW_AT * spread * outcome.expires_in_s)
            await self._sleep(wait_s)

    async def _fetched(
        self, held: _HeldTokens, name: str
    ) -> Union[PayloadTokenReply, FailedRequest]:
        """Fetch a token, once, and write its file."""
        job, epoch = held.assignment.job, held.assignment.epoch
        request = PayloadTokenRequest(job, epoch, name)
        reply = await self._channel.payload_token(request, held.assignment.token)
        if isinstance(reply, FailedRequest):
            return reply
        if not (reply.token.isascii() and reply.token.isprintable()):
            return FailedRequest(0, "bad_message", NOT_ASCII)
        values = held.recent.setdefault(name, deque(maxlen=VALUES_HIDDEN))
        if reply.token not in values:
            values.append(reply.token)
        try:
            self._workspace.keep_token(held.folder, name, reply.token)
        except OSError as why:  # a disk that a payload has filled
            return FailedRequest(0, "disk", f"its file cannot be written: {why}")
        self._log(
            "payload_token_kept",
            {"job": job, "epoch": epoch, "name": name, "expires_in_s": round(reply.expires_in_s)},
        )
        held.told.discard(name)
        held.answered(name)
        return reply

    def _failed(self, held: _HeldTokens, name: str, failure: FailedRequest, failures: int) -> float:
        """Note that a token did not come; return when to try again."""
        if may_pass(failure.status):
            most = min(AGAIN_MAX_S, AGAIN_MIN_S * 2.0 ** min(failures, 10))
            wait_s = self._random.uniform(most / 2, most)
            if name in held.pending:
                held.pending[name] = failure.message
        else:
            wait_s = spread_s(REFUSED_AGAIN_S, self._random.uniform)
            self._tell_once(held, name, f"is refused: {failure.message or failure.text()}")
            held.answered(name)
        facts = {"name": name, "why": failure.text(), "wait_s": round(wait_s, 1)}
        whose = {"job": held.assignment.job, "epoch": held.assignment.epoch}
        self._log("payload_token_failed", {**whose, **facts})
        return wait_s

    def _tell_once(self, held: _HeldTokens, name: str, why: str) -> None:
        if name not in held.told:
            held.told.add(name)
            self._tell(held.assignment.attempt_id, f"token {name} {why}")

    async def _sleep(self, seconds: float) -> None:
        """Sleep by the clock that also runs while the node is suspended."""
        until = self._clock.now() + seconds
        while self._clock.now() < until:
            await self._clock.sleep(min(LOOK_S, until - self._clock.now()))
