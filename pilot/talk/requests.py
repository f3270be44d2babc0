"""All requests of a pilot to the central, each of which follows the leader.

A pilot starts with one address of the central, its home. Several processes may serve one central,
and only the leader answers all requests. A process that is not the leader answers 421 and names the
leader; the pilot then sends the same request there. No other module of the pilot sends requests to
the central, so every kind of request follows the leader.
"""

import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, Union

from pilotage.proto.messages import Misdirection
from pilotage.proto.wire import BadMessage, decode

from ..events import WriteEvent
from ..ports import Clock, Downloaded, Http, HttpReply, NoReply

R = TypeVar("R", HttpReply, Downloaded)

MISDIRECTED = 421
# After this time away from home, files try it again, which relieves the leader.
HOME_AGAIN_S = 600.0


class _Lane:
    """One kept connection: for messages, or for files and other requests that may wait."""

    def __init__(self, name: str, *, aside: bool) -> None:
        self.name, self.aside = name, aside
        self.at = ""  # where its requests go; empty: home
        self.home_at = math.inf  # when home is tried again
        self.under_way = 0


class Requests:
    """Sends requests to the process that answers them. Raises the errors of the `Http` port."""

    def __init__(self, http: Http, clock: Clock, log: WriteEvent) -> None:
        self._http, self._clock, self._log = http, clock, log
        self._messages, self._files = _Lane("messages", aside=False), _Lane("files", aside=True)
        self._told = ""  # the leader, as announced by the central over the bus

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        """Send JSON and return the answer; `aside`: over the connection of files."""
        return await self._followed(
            self._files if aside else self._messages,
            lambda: self._http.post(path, body, token=token, timeout_s=timeout_s, aside=aside),
        )

    async def upload(self, path: str, content: Union[Path, bytes], *, token: str) -> HttpReply:
        """PUT a file, or bytes."""
        return await self._followed(
            self._files, lambda: self._http.upload(path, content, token=token)
        )

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        """GET into a file."""
        return await self._followed(
            self._files,
            lambda: self._http.download(path, file, token=token, bytes_max=bytes_max),
        )

    # -- news about the leader -------------------------------------------------------------------

    def send_messages_to(self, url: str) -> None:
        """Send messages to the process that the answer to a registration names."""
        self._go(self._messages, url)

    def leader_is(self, url: str) -> None:
        """Use this URL, once, if nobody answers at home.

        Perhaps only the other processes of the central can reach it.
        """
        self._told = url

    def go_home(self) -> None:
        """Use the home address again: its process knows the new leader."""
        for lane in (self._messages, self._files):
            if lane is self._messages or not lane.under_way:
                self._go(lane, "")

    # -- the common way --------------------------------------------------------------------------

    async def _followed(self, lane: _Lane, send: Callable[[], Awaitable[R]]) -> R:
        """Send a request; if its process is not the leader, send it again to the leader."""
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
        """Leave a process that does not answer; the other lane leaves it too, unless busy."""
        if went_to != lane.at:
            return  # another request has moved the lane since
        if went_to and went_to == self._told:
            self._told = ""  # once for each announcement
        target = "" if went_to else self._messages.at or self._told
        for one in (self._messages, self._files):
            if one is lane or (one.at == went_to and not one.under_way):
                self._go(one, target)

    def _go(self, lane: _Lane, url: str) -> bool:
        """Send the next requests there; empty: home.

        Return False for an address that is not trusted.
        """
        if url == lane.at:
            return True
        if not self._http.go_to(url, aside=lane.aside):
            return False
        lane.at = url
        lane.home_at = self._clock.now() + HOME_AGAIN_S if url else math.inf
        self._log("goes_to", {"leader": url, "what": lane.name})
        return True


def _leader_in(body: bytes) -> str:
    """Return the leader's URL from a process that is not the leader; empty: unknown."""
    try:
        return decode(Misdirection, body).leader
    except BadMessage:
        return ""
