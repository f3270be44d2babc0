"""A pilot that says what it is told to, true or not, over real HTTP."""

import http.client
import json
import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pilotage.central.client import Client
from pilotage.pilot.talk.conversation import may_pass
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.messages import (
    Ask,
    AskAnswer,
    Assignment,
    Attempt,
    Beat,
    How,
    Node,
    Offer,
    Register,
    Registered,
    Report,
    Turn,
    TurnReply,
    What,
)

OFFER = Offer(cores=4, cores_free=4, memory_mb=8_000, memory_free_mb=8_000, wall_left_s=90_000)


class Zombie:
    """One pilot. Each answer that it hears is kept: its status, and what it says."""

    def __init__(self, url: str, client: Client, site: str = "PIC") -> None:
        self._address = urlsplit(url).netloc
        self._n = 0
        made = client.secrets(SecretRequest(site=site, element="zombies")).secrets[0]
        said = Register(secret=made.secret, nonce=secrets.token_hex(8), node=Node(host="grave"))
        self.token = ""
        _, body = self._post("/v1/pilots/register", said)
        self.me = msgspec.convert(body, Registered)
        self.token = self.me.token

    def ask(self, *, holding: Sequence[Assignment] = (), jobs_max: int = 1) -> AskAnswer:
        self._n += 1
        held = tuple(Attempt(one.job, one.epoch) for one in holding)
        reply = self.turn(ask=Ask(n=self._n, offer=OFFER, holding=held, jobs_max=jobs_max))
        assert reply.ask is not None
        return reply.ask

    def given(self) -> Assignment:
        """Ask for one job and return it; there must be one."""
        (assignment,) = self.ask().assignments
        return assignment

    def started(self, held: Assignment) -> str:
        report = Report(held.job, held.epoch, held.attempt_id, 1, What.STARTED)
        (answer,) = self.turn(reports=(report,)).reports
        return answer.answer.value

    def ended(self, held: Assignment, *, n: int = 2) -> str:
        """Say that it has ended well; return the answer's word, or the refusal's code."""
        report = Report(
            held.job, held.epoch, held.attempt_id, n, What.ENDED, how=How.EXITED, exit_code=0
        )
        status, body = self._post("/v1/report", self._turn(reports=(report,)))
        if status != 200:
            assert not may_pass(status), f"{status} {body}: the sender would say it again for ever"
            return str(body["code"])
        (answer,) = msgspec.convert(body, TurnReply).reports
        return answer.answer.value

    def beat(self, holding: Sequence[Attempt] = (), *, goodbye: bool = False) -> dict[str, Any]:
        """Beat over HTTP; return the answer, or the refusal."""
        self._n += 1
        said = Beat(
            gen=self.me.gen,
            session=self.me.session,
            n=self._n,
            holding=tuple(holding),
            goodbye=goodbye,
        )
        status, body = self._post("/v1/beat", said)
        assert status < 500, body
        return body

    def turn(self, reports: tuple[Report, ...] = (), ask: Ask | None = None) -> TurnReply:
        status, body = self._post("/v1/turn", self._turn(reports, ask))
        assert status == 200, body
        return msgspec.convert(body, TurnReply)

    def _turn(self, reports: tuple[Report, ...] = (), ask: Ask | None = None) -> Turn:
        return Turn(gen=self.me.gen, session=self.me.session, reports=reports, ask=ask)

    def _post(self, path: str, said: object) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(self._address, timeout=20)
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request("POST", path, msgspec.json.encode(said), headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()
