"""All requests of a pilot to the central, each of which follows the leader.

A pilot knows one address of the central from its start, its home. Several processes may serve one
central, and only the leader answers all requests. A process that does not lead answers 421 and
names the leader; the pilot then sends the same request there. No other module of the pilot sends a
request to the central, so no kind of request can be left out.
"""

import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, Union

from pilotage.proto.messages import Misdirection
from pilotage.proto.wire import BadMessage, decode

from ..events import Log
from ..ports import Clock, Downloaded, Http, HttpReply, NoReply

R = TypeVar("R", HttpReply, Downloaded)

MISDIRECTED = 421
HOME_AGAIN_S = 600.0  # after so long away from home, files try it again: that relieves the leader


class _Lane:
    """One kept connection: for messages, or for files and what else may wait."""

    def __init__(self, name: str, *, aside: bool) -> None:
        self.name, self.aside = name, aside
        self.at = ""  # where its requests go; empty: home
        self.home_at = math.inf  # when home is tried again
        self.under_way = 0


class Requests:
    """Sends requests where they are answered. Raises what the `Http` port raises."""

    def __init__(self, http: Http, clock: Clock, log: Log) -> None:
        self._http, self._clock, self._log = http, clock, log
        self._messages, self._files = _Lane("messages", aside=False), _Lane("files", aside=True)
        self._told = ""  # the leader, as the central says it over the bus

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        """Send JSON and return the answer; `aside`: over the connection of files."""
        return await self._followed(
            self._files if aside else self._messages,
            lambda: self._http.post(path, body, token=token, timeout_s=timeout_s, aside=aside),
        )

    async def upload(self, path: str, content: Union[Path, bytes], *, token: str) -> HttpReply:
        """PUT a file, or bytes that are at hand."""
        return await self._followed(
            self._files, lambda: self._http.upload(path, content, token=token)
        )

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        """GET into a file."""
        return await self._followed(
            self._files,
            lambda: self._http.download(path, file, token=token, bytes_max=bytes_max),
        )

    # -- what others have found out -------------------------------------------------------------

    def send_messages_to(self, url: str) -> None:
        """The answer to a registration names the process that takes messages."""
        self._go(self._messages, url)

    def leader_is(self, url: str) -> None:
        """Go to this URL, once, if nobody answers at home.

        It may be one that only the other processes of the central reach.
        """
        self._told = url

    def go_home(self) -> None:
        """Go home: the process there knows the new leader."""
        for lane in (self._messages, self._files):
            if lane is self._messages or not lane.under_way:
                self._go(lane, "")

    # -- one way for all ------------------------------------------------------------------------

    async def _followed(self, lane: _Lane, send: Callable[[], Awaitable[R]]) -> R:
        """Send a request; if its process does not lead, send it again to the leader."""
        if lane.aside and not lane.under_way and self._clock.now() >= lane.home_at:
            self._go(lane, "")
        lane.under_way += 1
        went_to = lane.at
        try:
            reply = await send()
            if reply.status == MISDIRECTED:
                leader = _leader_in(reply.body)
                if leader != went_to and self._go(lane, leader):
                    went_to = leader
                    reply = await send()
            return reply
        except NoReply:
            self._no_reply(lane, went_to)
            raise
        finally:
            lane.under_way -= 1

    def _no_reply(self, lane: _Lane, went_to: str) -> None:
        """Leave a process that does not answer; the other lane leaves it as well, unless busy."""
        if went_to != lane.at:
            return  # another request has moved the lane meanwhile
        if went_to and went_to == self._told:
            self._told = ""  # once for each time that the pilot is told of it
        target = "" if went_to else self._messages.at or self._told
        for one in (self._messages, self._files):
            if one is lane or (one.at == went_to and not one.under_way):
                self._go(one, target)

    def _go(self, lane: _Lane, url: str) -> bool:
        """Send what comes next there; empty: home. False if that is no address to trust."""
        if url == lane.at:
            return True
        if not self._http.go_to(url, aside=lane.aside):
            return False
        lane.at = url
        lane.home_at = self._clock.now() + HOME_AGAIN_S if url else math.inf
        self._log("goes_to", {"leader": url, "what": lane.name})
        return True


def _leader_in(body: bytes) -> str:
    """Return the URL that a process names which does not lead; empty: it knows none."""
    try:
        return decode(Misdirection, body).leader
    except BadMessage:
        return ""
