"""Pilots that speak the protocol and run nothing: a job is over as soon as it has come.

Each goes from one central to the next when it is not answered, as behind a load balancer.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from pilotage.proto.messages import (
    Ask,
    Assignment,
    Attempt,
    Beat,
    How,
    Offer,
    Register,
    Registered,
    Report,
    Turn,
    TurnReply,
    What,
)

OFFER = Offer(
    cores=4,
    cores_free=4,
    memory_mb=8_000,
    memory_free_mb=8_000,
    wall_left_s=360_000.0,
    scratch_free_mb=100_000,
)
ANSWER_S = 3.0
AGAIN_S = 0.1


@dataclass
class Ran:
    """What all runners have been given, for how long nobody was given anything."""

    by_job: Mapping[int, set[tuple[str, int]]] = field(
        default_factory=lambda: defaultdict[int, set[tuple[str, int]]](set)
    )
    given: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])  # when, term

    def take(self, pilot: str, one: Assignment, term: int) -> None:
        self.by_job[one.job].add((pilot, one.epoch))
        self.given.append((time.monotonic(), term))

    def first_after(self, term: int) -> float | None:
        """Return when the first job of a later term was given."""
        return next((at for at, of in list(self.given) if of > term), None)

    @property
    def term(self) -> int:
        return self.given[-1][1] if self.given else 0


class Runner(threading.Thread):
    """One pilot."""

    def __init__(self, urls: list[str], secret: str, ran: Ran, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._urls, self._secret, self._ran, self._stop_event = urls, secret, ran, stop
        self._at = 0
        self.failed = self.token = ""
        self._me: Registered | None = None

    def add(self, url: str) -> None:
        """Another central may answer too."""
        self._urls = [*self._urls, url]

    def beat(self) -> bytes:
        """Return what it would say now as a sign of life."""
        assert self._me is not None, "it is registered"
        return msgspec.json.encode(Beat(self._me.gen, self._me.session, 1))

    def run(self) -> None:
        try:
            with httpx.Client(timeout=ANSWER_S, trust_env=False) as http:
                self._live(http)
        except Exception as why:  # the story looks at it
            self.failed = f"{type(why).__name__}: {why}"

    def _live(self, http: httpx.Client) -> None:
        said = Register(self._secret, f"nonce-{self._secret[:8]}")
        me = self._say(http, "/v1/pilots/register", said, "", Registered)
        self._me, self.token = me, "" if me is None else me.token
        n, reports = 0, tuple[Report, ...]()
        while me is not None and not self._stop_event.is_set():
            n += 1
            held = tuple(Attempt(one.job, one.epoch) for one in reports)
            ask = Ask(n, OFFER, holding=held, jobs_max=4)
            turn = Turn(me.gen, me.session, reports, ask)
            reply = self._say(http, "/v1/turn", turn, me.token, TurnReply)
            if reply is None:
                return
            given: Sequence[Assignment] = reply.ask.assignments if reply.ask is not None else ()
            for one in given:
                self._ran.take(me.pilot, one, reply.term)
            reports = tuple(_ended(one) for one in given)
            if not given:
                time.sleep(AGAIN_S)

    def _say(self, http: httpx.Client, path: str, message: Any, token: str, kind: type[Any]) -> Any:
        """Say it until it is answered; None: the story is over. Refusals end the pilot."""
        body = msgspec.json.encode(message)
        headers = {"content-type": "application/json"}
        headers |= {"authorization": f"Bearer {token}"} if token else {}
        while not self._stop_event.is_set():
            try:
                url = f"{self._urls[self._at % len(self._urls)]}{path}"
                reply = http.post(url, content=body, headers=headers)
                if reply.status_code == 200:
                    return msgspec.json.decode(reply.content, type=kind)
                assert reply.status_code in (421, 429, 500, 502, 503), reply.text
            except httpx.HTTPError:
                pass
            self._at += 1
            time.sleep(AGAIN_S)
        return None


def _ended(one: Assignment) -> Report:
    return Report(one.job, one.epoch, one.attempt_id, 1, What.ENDED, how=How.EXITED, exit_code=0)
