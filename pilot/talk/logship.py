"""Sending of the pilot's own log to the central, in parcels beside its turns.

Lines that somebody may look for (a warning, the end of an attempt, a start) are sent within
seconds, the others within a minute. Without lines, nothing is sent. Failed parcels are repeated
later, and no other part of the pilot waits for them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace

from pilotage.proto.messages import PilotLine, PilotLog
from pilotage.proto.tasks import time_limit

from ..events import WriteEvent
from ..mind.pace import FailedRequest
from ..ports import Clock, UntoldLog
from .conversation import CentralChannel, may_pass

LOOK_S = 5.0
ROUTINE_S = 60.0  # how long a routine line waits
FAILED_MIN_S, FAILED_MAX_S = 10.0, 600.0
LINES_A_PARCEL, CHARACTERS_A_PARCEL = 500, 200_000
LAST_S = 5.0  # at the end of the pilot, for the rest
HIDDEN = "[hidden]"
UNREADABLE = frozenset({400, 413, 422})  # another parcel may be readable


class LogShip:
    """Sends the log of one process of a pilot."""

    def __init__(
        self,
        untold: UntoldLog,
        channel: CentralChannel,
        clock: Clock,
        log: WriteEvent,
        secrets: Callable[[], Iterable[str]],
    ) -> None:
        """Take `secrets`: words that must not leave this host, wherever they appear."""
        self._untold, self._channel, self._clock, self._log = untold, channel, clock, log
        self._secrets = secrets
        self._refused = False  # the central accepts no lines: it is older, or has another store
        self._failures = 0

    async def run(self, gen: str, session: int) -> None:
        """Send waiting lines until cancelled, or until the central refuses all."""
        while not self._refused:
            await self._clock.sleep(self._rest_s())
            if self._untold.is_pressing() or self._untold.waits_s() >= ROUTINE_S:
                await self._tell_all(gen, session)

    async def last(self, gen: str, session: int) -> None:
        """Send the rest at the end, if that is quick; otherwise a later process sends it."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with time_limit(LAST_S):
                await self._tell_all(gen, session)

    def _rest_s(self) -> float:
        if not self._failures:
            return LOOK_S
        return min(FAILED_MAX_S, FAILED_MIN_S * 2.0 ** min(self._failures - 1, 10))

    async def _tell_all(self, gen: str, session: int) -> None:
        while not self._refused:
            lines = self._untold.lines(LINES_A_PARCEL, CHARACTERS_A_PARCEL)
            if not lines:
                return
            parcel = PilotLog(gen, session, tuple(self._shown(lines)))
            answer = await self._channel.pilot_log(parcel)
            if isinstance(answer, FailedRequest):
                self._failures += 1
                if may_pass(answer.status):
                    return
                self._give_up(lines, answer)
            elif answer.n > lines[-1].n:
                # An earlier process had higher numbers, so the central would take these lines for
                # old ones.
                self._untold.renumber(answer.n)
            else:
                self._failures = 0
                self._untold.told(answer.n)

    def _shown(self, lines: Iterable[PilotLine]) -> Iterable[PilotLine]:
        """Yield the lines without any secret. They should contain none; this makes sure."""
        secrets = [one for one in self._secrets() if one]
        for channel in lines:
            for secret in secrets:
                if secret in channel.text:
                    channel = replace(channel, text=channel.text.replace(secret, HIDDEN))
            yield channel

    def _give_up(self, lines: tuple[PilotLine, ...], why: FailedRequest) -> None:
        """Drop these lines, or all lines of this process, because the central refuses them."""
        if why.status in UNREADABLE:
            self._untold.told(lines[-1].n)
        else:
            self._refused = True
        self._log("log_refused", why.facts())
