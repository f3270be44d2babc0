"""Somebody who has read the journal of a pilot, and speaks for it."""

import asyncio
from typing import TYPE_CHECKING

from pilotage.pilot.journal_entries import Identity, KeptAssignment
from pilotage.pilot.ports import HttpReply, NoReply
from pilotage.proto.messages import (
    PROTOCOL,
    Hello,
    How,
    Registered,
    Report,
    TokenReply,
    TokenRequest,
    Turn,
    What,
)
from pilotage.proto.wire import decode, encode

from .pilots import Life
from .processes import Host

if TYPE_CHECKING:
    from .world import World

FORGES_S = 600.0  # for so long after its theft it tries to forge results
TIMEOUT_S = 20.0


class Thief:
    """Renews with what it has stolen, and forges results once the theft is found."""

    def __init__(self, world: "World", life: Life) -> None:
        self._world, self._host = world, Host("thief")
        journal = life.node.journal
        kept = journal.identity()
        self._who = decode(Identity, kept) if kept is not None else Identity("")
        entries = (decode(KeptAssignment, entry) for entry in journal.assignments().values())
        self._held = [entry.assignment for entry in entries]
        self._token = ""

    async def act(self) -> None:
        """Use the secret some time later. What is lost on the way is not said again."""
        if not self._who.pilot:
            return
        world, chance = self._world, self._world.chance
        await asyncio.sleep(chance.uniform(0.0, 300.0))
        nonce = self._who.renewal_nonce or f"{chance.getrandbits(64):016x}"
        try:
            reply = await self._renew(nonce, says_hello=chance.random() < 0.5)
        except NoReply:
            return
        world.say(f"the thief of {self._who.pilot} hears {reply.status}")
        if reply.status == 200:
            await self._forge()

    async def _renew(self, nonce: str, *, says_hello: bool) -> HttpReply:
        who = self._who
        if not says_hello:
            request = TokenRequest(who.pilot, who.renewal_secret, nonce)
            reply = await self._post("/v1/pilots/token", encode(request))
            if reply.status == 200:
                self._token = decode(TokenReply, reply.body).token
            return reply
        hello = Hello(
            pilot=who.pilot,
            renewal_secret=who.renewal_secret,
            nonce=nonce,
            protocol=PROTOCOL,
            session=who.session + 1,
            renewal_nonce=nonce,
        )
        reply = await self._post("/v1/pilots/hello", encode(hello))
        if reply.status == 200:
            self._token = decode(Registered, reply.body).token
        return reply

    async def _forge(self) -> None:
        """Say that all that the pilot held has ended well. `Invariants` look at what counts."""
        world = self._world
        found = world.invariants.replayed
        for _ in range(int(FORGES_S)):
            if self._who.pilot in found:
                break
            await asyncio.sleep(1.0)
        gen = world.central.disk.rows.generation
        for n, held in enumerate(self._held if self._who.pilot in found else ()):
            forged = Report(
                held.job, held.epoch, held.attempt_id, 900 + n, What.ENDED, how=How.EXITED,
                exit_code=0,
            )  # fmt: skip
            for session in (self._who.session, self._who.session + 1):
                turn = Turn(gen=gen, session=session, reports=(forged,))
                try:
                    reply = await self._post("/v1/report", encode(turn))
                except NoReply:
                    continue
                world.say(f"a forged end of job {held.job}: {reply.status}")

    async def _post(self, path: str, body: bytes) -> HttpReply:
        world = self._world
        return await world.network.request(
            self._host, world.central.host, method="POST", path=path, body=body,
            token=self._token, timeout_s=TIMEOUT_S,
        )  # fmt: skip
